"""What stands at a place of a schema: a component of which family, with which options."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from mmtoolkit.base.yaml12 import Path
from mmtoolkit.components.component import keys_of, option_of
from mmtoolkit.components.part import PartOf, expanded
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.schema.choice import Choice


class Place(NamedTuple):
    """What the classes ask for at a path of a schema.

    Attributes:
        family: the family of the component there; None if it is no component.
        cls: the class whose options stand there; None if there are none, or the kind is unknown.
        keys: the keys of those options.
        has_kind: whether a kind chooses the class, and a word may stand for it.
    """

    family: str | None = None
    cls: type[BaseModel] | None = None
    keys: tuple[str, ...] = ()
    has_kind: bool = False


def place_at(path: Path, data: Any, schema: type[BaseModel], plugins: Plugins) -> Place:
    """Find what stands at a path, which depends on the kinds of the components around it.

    Args:
        path: the keys, from the top.
        data: the schema as plain data, which may have faults.
        schema: the class of the whole.
        plugins: the components to choose from.
    """
    place, annotation = _of(schema), None
    for key in path:
        data = entry(data, key)
        if place.cls is not None:
            field = option_of(place.cls, str(key))
            annotation = Annotated[field.annotation, *field.metadata, ...] if field is not None else None
        else:  # an entry of a list or a mapping
            annotation = _entries(annotation)
        place = _place(annotation, data, plugins)
    return place


def entry(data: Any, key: str | int) -> Any:
    """The entry of a mapping or a list; None if there is none."""
    try:
        return data[key]
    except (KeyError, IndexError, TypeError):
        return None


def _place(annotation: Any, data: Any, plugins: Plugins) -> Place:
    """What an annotation asks for outside of lists and mappings, where the schema has `data`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of(annotation)
    if get_origin(annotation) is Annotated:
        for mark in annotation.__metadata__:
            if isinstance(mark, PartOf):
                options = expanded(data)
                kind = options.get("kind") if isinstance(options, dict) else None
                cls = plugins.components.get((mark.family.family, str(kind)))
                return Place(mark.family.family, cls, keys_of(cls) if cls else (), has_kind=True)
            if isinstance(mark, Choice):
                choice = mark.options(data)
                return Place(None, choice.cls, choice.keys, True) if choice else Place(has_kind=True)
        return _place(annotation.__origin__, data, plugins)
    if _is_container(annotation):
        return Place()
    return next((place for part in get_args(annotation) if (place := _place(part, data, plugins)) != Place()), Place())


def _of(cls: type[BaseModel]) -> Place:
    """The place of options whose class is fixed."""
    return Place(cls=cls, keys=keys_of(cls))


def _entries(annotation: Any) -> Any:
    """The annotation of the entries of a list or a mapping."""
    if _is_container(annotation):
        return next(part for part in reversed(get_args(annotation)) if part is not ...)
    return next((entries for part in get_args(annotation) if (entries := _entries(part)) is not None), None)


def _is_container(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Collection) and bool(get_args(annotation))
