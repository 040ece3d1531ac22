"""The typed schema: what `mmt run` is told, built from the components that are installed."""

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
    """Refuse a name that cannot be that of a run's folder."""
    if not re.fullmatch(FOLDER_NAME[1:-1], name) or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(
            f"must be the name of a folder: no slash, no dot at the front, at most {_LONGEST_NAME} bytes; change it"
        )
    return name


class Schema(BaseModel):
    """Data, modalities, model, training and scores of one run.

    `read_schema` reads one from a file; its fields are then the installed components' own classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, AfterValidator(check_folder_name), Field(json_schema_extra={"pattern": FOLDER_NAME})]
    """Names the run; its folder is runs/NAME unless --out says otherwise."""
    data: SerializeAsAny[Source]
    """Where the rows come from."""
    modalities: Annotated[dict[str, SerializeAsAny[Modality]], Field(min_length=1)]
    """Name -> modality. `each: [a, b]` beside a modality stands for one such modality per name."""
    model: SerializeAsAny[Model]
    """The model over the modalities."""
    train: TrainOptions = TrainOptions()
    """How it is trained."""
    evaluate: list[SerializeAsAny[Evaluator]] = Field(default_factory=list)
    """What is scored after training."""

    _origins: Origins = PrivateAttr(default_factory=Origins)

    @model_validator(mode="after")
    def _fits_together(self) -> Schema:
        """What is said of modalities elsewhere names modalities that there are."""
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
        """Whether all is the same, the order of modalities too; where it was written does not count."""
        if not isinstance(other, Schema) or list(self.modalities) != list(other.modalities):
            return False
        return all(getattr(self, key) == getattr(other, key) for key in Schema.model_fields)

    def at(self, *path: str | int) -> str:
        """`FILE:LINE: key.path` of a place in the schema, for a fault that is found later."""
        return self._origins.at(path)

    @property
    def notes(self) -> list[str]:
        """What the user should know of how the schema was read."""
        return self._origins.notes

    def with_learned(self, data: Source, modalities: Mapping[str, Modality]) -> Schema:
        """The same schema with the data located and what modalities learned filled in."""
        return self.model_copy(update={"data": data, "modalities": dict(modalities)})

    def to_yaml(self) -> str:
        """The resolved schema: every default filled in; `read_schema` of it gives an equal schema."""
        return write_yaml(self.model_dump(mode="json"))


def _detail(text: str, loc: tuple[int | str, ...], given: object) -> InitErrorDetails:
    """A fault of ours in pydantic's form, so that it is told together with pydantic's."""
    kind = PydanticCustomError("value_error", "Value error, {text}", {"text": text})
    return InitErrorDetails(type=kind, loc=loc, input=given)


class _ByKind:
    """A union told apart by `kind`. Unlike pydantic's own it may have one member, whose kind must be given too."""

    def __init__(self, classes: Mapping[str, type[Component]]) -> None:
        self.classes = classes

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {kind: handler.generate_schema(cls) for kind, cls in self.classes.items()}
        return core_schema.tagged_union_schema(choices, discriminator="kind")


def _union(plugins: Plugins, family: str) -> Any:
    classes = plugins.of_family(family)
    if not classes:
        raise UserError(f"no {family} is installed; MMT_PLUGINS may leave them out, or reinstall mmtoolkit")
    return Annotated[Any, _ByKind(classes)]


def schema_class(plugins: Plugins) -> type[Schema]:
    """The schema whose fields are discriminated unions of the installed components."""
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
    """The JSON Schema of schema files, for editors that complete and check YAML."""
    schema = schema_class(plugins).model_json_schema()
    each = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "description": "One such modality for each of these names.",
    }
    modalities = schema["properties"]["modalities"]["additionalProperties"]["discriminator"]["mapping"]
    for reference in modalities.values():  # two plugins may name their classes alike, so not by name
        schema["$defs"][reference.rsplit("/", 1)[-1]]["properties"]["each"] = each
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_path(name: str | Path) -> Path:
    """The file of a schema named by its path, or by its name in the catalogue.

    Raises:
        UserError: there is neither.
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
        overrides: `key.path=value` each, as `--set` gives them.
        plugins: the components to build it from; the installed ones where left out.

    Raises:
        UserError: every fault at once, one line each: `FILE:LINE: key.path: fault; remedy`.
    """
    path = schema_path(name)
    document = shipped.read_document(path)
    # Nobody keeps data beside the catalogue's schemas: a path that --set gives them is meant from here.
    folder = Path() if path.is_relative_to(shipped.registry()) else path.parent
    return _parsed(document.data, Origins(str(path), document.lines), folder, overrides, plugins)


def parse_schema(
    data: Any,
    *,
    folder: Path | None = None,
    overrides: Sequence[str] = (),
    plugins: Plugins | None = None,
) -> Schema:
    """Check and complete a schema given as plain data; see `read_schema`.

    Args:
        data: nested dictionaries and lists, as YAML gives them; left as they are.
        folder: what relative paths in it are relative to.
        overrides: `key.path=value` each.
        plugins: the components to build it from; the installed ones where left out.

    Raises:
        UserError: every fault at once.
    """
    return _parsed(data, Origins(), folder or Path(), overrides, plugins)


def _parsed(data: Any, origins: Origins, folder: Path, overrides: Sequence[str], plugins: Plugins | None) -> Schema:
    """The schema of plain data whose keys were written at `origins`."""
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
    """Replace every modality that has `each` by one modality for each name in it."""
    modalities = data.get("modalities")
    if not isinstance(modalities, dict):
        return data, []
    faults: list[str] = []
    expanded: dict[str, Any] = {}
    came_from: dict[str, KeyPath] = {}

    def add(name: str, value: Any, path: KeyPath) -> None:
        if name in expanded:
            faults.append(
                f"{origins.at(path)}: the modality {name!r} is there already, "
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
            add(group, shared, path)  # so that its other faults are found too
            continue
        if "column" in options:
            faults.append(
                f"{origins.at((*path, 'column'))}: one column cannot serve each of several; "
                "remove it, the columns are those named in each"
            )
            add(group, shared, path)
            continue
        for place, name in enumerate(map(str, names)):
            add(name, dict(shared), (*path, "each", place))
            origins.copy(path, ("modalities", name), keep=shared)
    return {**data, "modalities": expanded}, faults
