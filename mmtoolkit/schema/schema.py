"""The schema of a run: its typed model, built from the installed components, and how to read it from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PrivateAttr,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.catalogue import shipped
from mmtoolkit.catalogue.plugins import Plugins, load_plugins
from mmtoolkit.components import Component, Evaluator, Modality, Model, Source
from mmtoolkit.schema.faults import Origins, fault_lines, key_path
from mmtoolkit.schema.overrides import apply_overrides
from mmtoolkit.schema.train import TrainOptions

DEFAULT_EVALUATE: list[dict[str, Any]] = [{"kind": "elbo"}, {"kind": "prediction"}]


FOLDER_NAME = r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]*$"
_LONGEST_NAME = 200


def check_folder_name(name: str) -> str:
    """Raise a `ValueError` if a name cannot be the name of a run's folder."""
    if not re.fullmatch(FOLDER_NAME[1:-1], name) or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(
            f"must be the name of a folder: no slash, no dot at the front, at most {_LONGEST_NAME} bytes; change it"
        )
    return name


class Schema(BaseModel):
    """The data, modalities, model, training and scores of one run.

    `read_schema` reads one from a file. Its fields then have the classes of the installed components.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, AfterValidator(check_folder_name), Field(json_schema_extra={"pattern": FOLDER_NAME})]
    """The name of the run. Its folder is runs/NAME unless you give --out."""
    data: SerializeAsAny[Source]
    """The source of the rows."""
    modalities: Annotated[dict[str, SerializeAsAny[Modality]], Field(min_length=1)]
    """Name -> modality. `each: [a, b]` in a modality makes one such modality for each name."""
    model: SerializeAsAny[Model]
    """The model over the modalities."""
    train: TrainOptions = TrainOptions()
    """How to train the model."""
    evaluate: list[SerializeAsAny[Evaluator]] = Field(default_factory=list)
    """The evaluators to run after training."""

    _origins: Origins = PrivateAttr(default_factory=Origins)

    @model_validator(mode="after")
    def _fits_together(self) -> Schema:
        """Check that supervision and evaluators name modalities of the schema."""
        groups = (self.data.supervision.groups if self.data.supervision else None) or ()
        faults: list[InitErrorDetails] = []
        for g, group in enumerate(groups):
            for place, name in enumerate(group):
                if name not in self.modalities:
                    hint = did_you_mean(name, list(self.modalities))
                    text = f"there is no modality {name!r}{hint}; the modalities are {', '.join(self.modalities)}"
                    loc = ("data", self.data.kind, "supervision", "groups", g, place)
                    faults.append(_detail(text, loc, name))
        for place, evaluator in enumerate(self.evaluate):
            try:
                evaluator.check(list(self.modalities))
            except ValueError as error:
                faults.append(_detail(str(error), ("evaluate", place, evaluator.kind), evaluator))
        if faults:
            raise ValidationError.from_exception_data("Schema", faults)
        return self

    def __eq__(self, other: object) -> bool:
        """Whether all options and the order of modalities are equal; files and lines do not count."""
        if not isinstance(other, Schema) or list(self.modalities) != list(other.modalities):
            return False
        return all(getattr(self, key) == getattr(other, key) for key in Schema.model_fields)

    def at(self, *path: str | int) -> str:
        """The place of a key as `FILE:LINE: key.path`, for an error that you raise after the schema is read."""
        return self._origins.at(path)

    @property
    def notes(self) -> list[str]:
        """Lines about reading the schema that the user should see, such as keys that were dropped."""
        return self._origins.notes

    def with_learned(self, data: Source, modalities: Mapping[str, Modality]) -> Schema:
        """The same schema with a located source and with modalities that have learned their options."""
        return self.model_copy(update={"data": data, "modalities": dict(modalities)})

    def to_yaml(self) -> str:
        """The resolved schema as YAML, with every default filled in. `read_schema` of it returns an equal schema."""
        return write_yaml(self.model_dump(mode="json"))


def _detail(text: str, loc: tuple[int | str, ...], value: object) -> InitErrorDetails:
    """One of our faults in pydantic's form, so that it is reported together with pydantic's."""
    kind = PydanticCustomError("value_error", "Value error, {text}", {"text": text})
    return InitErrorDetails(type=kind, loc=loc, input=value)


class _ByKind:
    """A union discriminated by `kind`. Unlike pydantic's own, it requires the kind even if it has only one member."""

    def __init__(self, classes: Mapping[str, type[Component]]) -> None:
        self.classes = classes

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {kind: handler.generate_schema(cls) for kind, cls in self.classes.items()}
        return core_schema.tagged_union_schema(choices, discriminator="kind")


def _union(plugins: Plugins, family: str) -> Any:
    classes = plugins.of_family(family)
    if not classes:
        raise UserError(f"no {family} is installed; check MMT_PLUGINS, or reinstall mmtoolkit")
    return Annotated[Any, _ByKind(classes)]


def schema_class(plugins: Plugins) -> type[Schema]:
    """The class of schemas whose fields are discriminated unions of these components."""
    evaluators: Any = list[_union(plugins, "evaluator")]  # type: ignore[misc]
    modalities: Any = Annotated[dict[str, _union(plugins, "modality")], Field(min_length=1)]  # type: ignore[misc]
    default: list[Any] = [entry for entry in DEFAULT_EVALUATE if ("evaluator", entry["kind"]) in plugins.components]
    return create_model(
        "Schema",
        __base__=Schema,
        __module__=__name__,
        data=(_union(plugins, "source"), Field(description=Schema.model_fields["data"].description)),
        modalities=(modalities, Field(description=Schema.model_fields["modalities"].description)),
        model=(_union(plugins, "model"), Field(description=Schema.model_fields["model"].description)),
        evaluate=(
            evaluators,
            Field(
                default_factory=lambda: TypeAdapter(evaluators).validate_python(default),
                description=Schema.model_fields["evaluate"].description,
                json_schema_extra={"default": default},
            ),
        ),
    )


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """The JSON Schema of schema files, with which editors complete and check YAML."""
    schema = schema_class(plugins).model_json_schema()
    each = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "description": "The names of several such modalities.",
    }
    modalities = schema["properties"]["modalities"]["additionalProperties"]["discriminator"]["mapping"]
    for reference in modalities.values():  # by reference, since two plugins may use the same class name
        schema["$defs"][reference.rsplit("/", 1)[-1]]["properties"]["each"] = each
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_path(name: str | Path) -> Path:
    """Find the file of a schema by its path, or by its name in the catalogue.

    Raises:
        UserError: there is no such file or name.
    """
    return shipped.find_document(name, "schema", "schemas", shipped.schemas())


def read_schema(
    name: str | Path,
    overrides: Sequence[str] = (),
    plugins: Plugins | None = None,
) -> Schema:
    """Read, check and complete a schema.

    Args:
        name: a path, or a name in the catalogue.
        overrides: changes of the form `key.path=value`, as for `--set`.
        plugins: the components to choose from. By default the installed ones.

    Raises:
        UserError: the schema has faults; the error has one line for each: `FILE:LINE: key.path: fault; remedy`.
    """
    path = schema_path(name)
    document = shipped.read_document(path)
    # Nobody puts data beside the catalogue's schemas, so their paths are relative to the current folder.
    folder = Path() if path.is_relative_to(shipped.registry()) else path.parent
    return _parsed(document.data, Origins(str(path), document.lines), folder, overrides, plugins)


def parse_schema(
    data: Any,
    *,
    folder: Path | None = None,
    overrides: Sequence[str] = (),
    plugins: Plugins | None = None,
) -> Schema:
    """Check and complete a schema from plain data; see `read_schema`.

    Args:
        data: nested dictionaries and lists, as in YAML. They are not changed.
        folder: the base of relative paths in the data. By default the current folder.
        overrides: changes of the form `key.path=value`.
        plugins: the components to choose from. By default the installed ones.

    Raises:
        UserError: the schema has faults; the error has one line for each.
    """
    return _parsed(data, Origins(), folder or Path(), overrides, plugins)


def _parsed(data: Any, origins: Origins, folder: Path, overrides: Sequence[str], plugins: Plugins | None) -> Schema:
    """Check and complete a schema from plain data whose keys have the places `origins`."""
    plugins = plugins if plugins is not None else load_plugins()
    cls = schema_class(plugins)
    if not isinstance(data, dict):
        keys = ", ".join(cls.model_fields)
        raise UserError(f"{origins.name}: is not a mapping; a schema has the keys {keys}; `mmt init TABLE` writes one")
    data, faults = apply_overrides(data, overrides, origins, plugins, cls)
    data, each_faults = _expand_each(data, origins)
    faults += each_faults
    try:
        schema = cls.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        faults += fault_lines(error, data, origins, plugins, cls)
        raise UserError(faults) from error
    if faults:
        raise UserError(faults)
    schema._origins = origins
    return schema


def _expand_each(data: dict[str, Any], origins: Origins) -> tuple[dict[str, Any], list[str]]:
    """Replace every modality that has `each` by one modality for each of its names."""
    modalities = data.get("modalities")
    if not isinstance(modalities, dict):
        return data, []
    faults: list[str] = []
    expanded: dict[str, Any] = {}
    came_from: dict[str, KeyPath] = {}

    def add(name: str, value: Any, path: KeyPath) -> None:
        if name in expanded:
            faults.append(
                f"{origins.at(path)}: the modality {name!r} exists already, "
                f"from {key_path(came_from[name])}; rename or remove one"
            )
            return
        expanded[name], came_from[name] = value, path

    for group, options in modalities.items():
        path: KeyPath = ("modalities", group)
        if not isinstance(options, dict) or "each" not in options:
            add(group, options, path)
            continue
        names = options["each"]
        shared = {key: value for key, value in options.items() if key != "each"}
        if not isinstance(names, list) or not names or not all(type(name) in (str, int) for name in names):
            faults.append(f"{origins.at((*path, 'each'))}: must be a list of names; write each: [a, b]")
            add(group, shared, path)  # so that its other faults are reported too
            continue
        if "column" in options:
            faults.append(
                f"{origins.at((*path, 'column'))}: one column cannot serve several modalities; "
                "remove it, since each modality reads the column of its name"
            )
            add(group, shared, path)
            continue
        for place, name in enumerate(map(str, names)):
            add(name, dict(shared), (*path, "each", place))
            origins.copy(path, ("modalities", name), keep=shared)
    return {**data, "modalities": expanded}, faults
