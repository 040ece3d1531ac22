"""`--set key.path=value`: changes to a schema from the command line."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.base.yaml12 import Path, read_yaml
from mmtoolkit.components import Architecture, Likelihood, Parted
from mmtoolkit.components.component import keys_of, option_of
from mmtoolkit.components.part import expanded
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.schema.faults import Origins, key_path
from mmtoolkit.schema.places import entry, place_at

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^."'=]+))\s*(\.|=|$)""")


def parse_override(text: str) -> tuple[Path, Any]:
    """Split `key.path=value` into path and value. Quotes enclose a name with a dot; the value is YAML.

    Raises:
        UserError: the text does not have this form.
    """
    path: list[str | int] = []
    place, end = 0, "."
    while end == ".":
        match = _KEY.match(text, place)
        if match is None:
            break
        double, single, bare, end = match.groups()
        name = next(group for group in (double, single, bare) if group is not None)
        name = name if bare is None else name.strip()
        path.append(int(name) if bare is not None and _INDEX.fullmatch(name) else name)
        place = match.end()
    if not path or end != "=":
        raise UserError(f"--set {text}: is not key.path=value; write for instance --set train.epochs=10")
    value = text[place:]
    if not value.strip():
        return tuple(path), None
    name = f"--set {key_path(tuple(path))}"
    if value.lstrip().startswith("#"):
        raise UserError(f"{name}: has no value, since # begins a comment; put it in quotes")
    try:
        return tuple(path), read_yaml(value, name).data
    except UserError as error:  # a value has one line, so drop the line number
        raise UserError([fault.replace(f"{name}:1: ", f"{name}: ", 1) for fault in error.faults]) from error


def apply_overrides(
    data: dict[str, Any],
    overrides: Sequence[str],
    origins: Origins,
    plugins: Plugins,
    schema: type[BaseModel],
) -> tuple[dict[str, Any], list[str]]:
    """Apply overrides to the schema's data, in order. Returns the new data and a line for each faulty override.

    `null` deletes a key. A new `kind` drops the keys that its class does not have; a note in `origins` names each.
    """
    data = copy.deepcopy(data)
    faults: list[str] = []
    for text in overrides:
        try:
            path, value = parse_override(text)
            before = copy.deepcopy(data)
            if value is not None:  # to delete a key, nothing needs to be written
                _write_parts(data, path[:-1], schema, plugins)
            path, written = _put(data, path, value, schema)
        except UserError as error:
            faults += error.faults
            continue
        origins.override(written)
        if path[-1] == "kind" and isinstance(value, str):
            _drop_foreign_keys(data, before, path[:-1], value, origins, plugins, schema)
        elif isinstance(value, str) and place_at(path, data, schema, plugins).has_kind:
            options = [key for key in expanded(_at(before, path)) or () if key != "kind"]
            if options:
                origins.notes.append(f"--set {key_path(path)}={value}: dropped {', '.join(options)}")
    return data, faults


def _write_parts(data: Any, path: Path, schema: type[BaseModel], plugins: Plugins) -> None:
    """Write each part along a path as a mapping with its kind, so that it has keys: a word, or a default."""
    whole = data
    for depth, key in enumerate(path, 1):
        key = key if isinstance(data, list) else str(key)
        value = entry(data, key)
        if isinstance(value, str) and place_at(path[:depth], whole, schema, plugins).has_kind:
            value = data[key] = expanded(value)
        elif value is None and isinstance(data, dict) and (default := _default(whole, path[:depth], schema, plugins)):
            value = data[key] = default
        data = value


def _default(data: Any, path: Path, schema: type[BaseModel], plugins: Plugins) -> dict[str, Any] | None:
    """The options with a kind that an option has by default, as plain data; None if it has none."""
    cls = place_at(path[:-1], data, schema, plugins).cls
    field = None if cls is None else option_of(cls, str(path[-1]))
    default = None if field is None else field.default
    if not isinstance(default, BaseModel) or "kind" not in type(default).model_fields:
        return None
    options = default.model_dump(mode="json")
    return {"kind": options["kind"], **default.model_dump(mode="json", exclude_defaults=True)}


def _put(data: Any, path: Path, value: Any, schema: type[BaseModel]) -> tuple[Path, Path]:
    """Put a value into the data.

    Returns:
        The path, with each number as a name or an index, as the data requires; and the part of the path that the
        override now defines. That part is shorter if the override created mappings or deleted an entry of a list.
    """
    place = f"--set {key_path(path)}"
    if str(path[0]) not in (known := keys_of(schema)):
        raise UserError(f"{place}: unknown key{did_you_mean(str(path[0]), known)}; the keys are {', '.join(known)}")
    parent: Path = ()
    first_new: Path | None = None
    for key in path[:-1]:
        if isinstance(data, list):
            data = data[_index(data, key, place)]
            parent = (*parent, key)
        elif isinstance(data, dict):
            parent = (*parent, str(key))
            if data.get(str(key)) is None:
                if value is None:  # there is nothing to delete
                    return path, path
                data[str(key)], first_new = {}, first_new or parent
            data = data[str(key)]
        else:
            raise UserError(f"{place}: {key_path(parent)} has no keys; set it as a whole")
    last = path[-1]
    if isinstance(data, list):
        index = _index(data, last, place)
        if value is None:
            del data[index]
            return (*parent, last), parent
        data[index] = value
        return (*parent, last), (*parent, last)
    if not isinstance(data, dict):
        raise UserError(f"{place}: {key_path(parent)} has no keys; set it as a whole")
    if value is None:
        data.pop(str(last), None)
    else:
        data[str(last)] = value
    return (*parent, str(last)), first_new or (*parent, str(last))


def _index(data: list[Any], key: str | int, place: str) -> int:
    if not isinstance(key, int) or key >= len(data):
        raise UserError(f"{place}: {key!r} is not an index of a list of {len(data)}; count from 0")
    return key


def _drop_foreign_keys(
    data: dict[str, Any],
    before: dict[str, Any],
    path: Path,
    kind: str,
    origins: Origins,
    plugins: Plugins,
    schema: type[BaseModel],
) -> None:
    """Drop keys of the kind before that the new class lacks, or whose values do not fit it."""
    place = place_at(path, data, schema, plugins)
    cls = place.cls
    if not place.has_kind or cls is None:  # validation reports it
        return
    options, old = _at(data, path), place_at(path, before, schema, plugins).cls
    for key in [key for key in options if key not in ("kind", "each")]:
        if key not in place.keys:
            reason = f"which {kind} does not have"
        elif old is not None and _fits(old, key, options[key], plugins) and not _fits(cls, key, options[key], plugins):
            reason = f"which does not fit {kind}"
        else:
            continue
        del options[key]
        origins.notes.append(f"--set {key_path(path)}.kind={kind}: dropped {key}, {reason}")


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data.get(key, {}) if isinstance(data, dict) else data[key]
    return data


def _fits(cls: type[BaseModel], key: str, value: Any, plugins: Plugins) -> bool:
    """Whether a value is valid for an option of a class, apart from its other options."""
    if (info := option_of(cls, key)) is None:
        return False
    annotation: Any = Annotated[info.annotation, info]  # type: ignore[valid-type, unused-ignore]
    try:
        option = TypeAdapter(annotation).validate_python(value, context={"plugins": plugins})
    except ValidationError:
        return False
    if issubclass(cls, Parted) and isinstance(option, (Architecture, Likelihood)):
        return issubclass(cls.gives, option.reads if isinstance(option, Architecture) else option.scores)
    return True
