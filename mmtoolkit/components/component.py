"""The base class of all components: a frozen, validated set of options with a kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic.fields import FieldInfo

from mmtoolkit.base.described import Described


class Component(Described):
    """The options of a plugin class, as a frozen pydantic model that refuses unknown keys.

    A concrete class states `kind: Literal["name"] = "name"`; no two classes of a family have the same kind. The
    class alone defines validation, the JSON Schema and the saved schema. The docstring under a field describes it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,  # `classes: [0, 1, 2]` are names
        protected_namespaces=(),
        validate_default=True,
    )

    family: ClassVar[str]
    """The family that the class belongs to, such as modality, likelihood or model."""

    kind: str
    """The name of this class in a schema."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Small, quick instances that `mmt plugins check` tries, a typical one first.

        Default: one instance with all defaults, or none if an option has no default.
        """
        return () if any(option.is_required() for option in cls.model_fields.values()) else (cls.model_validate({}),)

    @classmethod
    def check_class(cls) -> None:
        """Check the class attributes that the family needs beside methods. Default: it needs none.

        Raises:
            TypeError: one is missing, or is no value that it can have.
        """

    def with_options(self, **options: Any) -> Self:
        """A validated copy with other options; its parts stay the instances that they are.

        A new part as plain data may have the kind of any component that is installed, or of one of its own parts.

        Raises:
            ValidationError: an option is not valid.
        """
        own = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**own, **options}, context={"own": [part for _, part in self.parts()]})

    def parts(self) -> Iterator[tuple[tuple[str | int, ...], Component]]:
        """This component and all those among its options, depth first, each with the path of its key."""
        return components_in(self)


def components_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Component]]:
    """All components in a value, such as a list of options, outer ones first, each with its path below `path`."""
    if isinstance(value, Component):
        yield path, value
    entries: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, BaseModel):
        names = zip(keys_of(type(value)), type(value).model_fields, strict=True)
        entries = ((key, getattr(value, name)) for key, name in names)
    elif isinstance(value, Mapping):
        entries = ((str(key), entry) for key, entry in value.items())
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    for key, entry in entries:
        yield from components_in(entry, (*path, key))


def keys_of(cls: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a class's options, as a schema writes them."""
    return tuple(field.alias or name for name, field in cls.model_fields.items())


def option_of(cls: type[BaseModel], key: str) -> FieldInfo | None:
    """The option that a schema writes with this key; None if there is none."""
    return next((field for name, field in cls.model_fields.items() if (field.alias or name) == key), None)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    try:
        resolved = (Path(folder) / path.expanduser()).resolve()
        str(resolved).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path}: lies in a folder whose name is not UTF-8; rename that folder") from None
    except (RuntimeError, OSError) as error:  # ~name of an unknown user, or a loop of links
        raise ValueError(f"{path}: is not a valid path: {error}; correct it") from error
    return resolved


DataPath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a schema: relative to the schema's file, stored as an absolute path."""
