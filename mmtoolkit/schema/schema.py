"""The schema of a run: its typed model, built from the installed components, and how to read it from YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic.json_schema import models_json_schema
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmtoolkit.base.described import Described
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.catalogue import shipped
from mmtoolkit.components import FAMILIES, Component, Evaluator, Modality, Model, Part, Parted, Source, Unit
from mmtoolkit.components.component import components_in, keys_of
from mmtoolkit.components.modality import members_of, with_learned
from mmtoolkit.components.part import FAMILY_KEY
from mmtoolkit.components.plugins import Plugins, load_plugins
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


class Schema(Described):
    """The data, modalities, model, training and scores of one run.

    `read_schema` reads one from a file. Its components then have the classes of the installed plugins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(check_folder_name), Field(json_schema_extra={"pattern": FOLDER_NAME})]
    """The name of the run. Its folder is runs/NAME unless you give --out."""
    data: Part[Source]
    """The source of the rows."""
    units: Annotated[dict[str, Part[Unit]], Field(min_length=1)] = Field(alias="modalities")
    """Name -> modality or record. `each: [a, b]` in a modality makes one such modality for each name."""
    model: Part[Model]
    """The model over the modalities."""
    train: TrainOptions = TrainOptions()
    """How to train the model."""
    evaluate: list[Part[Evaluator]] = Field(default_factory=list)
    """The evaluators to run after training."""

    _origins: Origins = PrivateAttr(default_factory=Origins)

    @model_validator(mode="after")
    def _fits_together(self) -> Schema:
        """Check that names differ, that some modality is modelled, and that supervision and evaluators name them."""
        self._check_names()
        groups = (self.data.supervision.groups if self.data.supervision else None) or ()
        faults: list[InitErrorDetails] = []
        if not any(modality.modelled for modality in self.modalities.values()):
            text = "no modality is modelled, so there is nothing to learn; remove modelled: false from one"
            faults.append(_detail(text, ("modalities",), None))
        for g, group in enumerate(groups):
            for place, name in enumerate(group):
                if name not in self.modalities:
                    hint = did_you_mean(name, list(self.modalities))
                    text = f"there is no modality {name!r}{hint}; the modalities are {', '.join(self.modalities)}"
                    loc = ("data", "supervision", "groups", g, place)
                    faults.append(_detail(text, loc, name))
                elif not self.modalities[name].modelled:
                    text = f"{name} is not modelled, and supervision hides only what the model sees; take it out"
                    faults.append(_detail(text, ("data", "supervision", "groups", g, place), name))
        for place, evaluator in enumerate(self.evaluate):
            try:
                evaluator.check(list(self.modalities))
            except ValueError as error:
                faults.append(_detail(str(error), ("evaluate", place), evaluator))
        if faults:
            raise ValidationError.from_exception_data("Schema", faults)
        return self

    def _check_names(self) -> None:
        """Raise if two modalities have the same name, or a record that of another modality."""
        places: dict[str, str] = {unit: key_path(("modalities", unit)) for unit in self.units}
        faults = []
        for unit, of in self.units.items():
            for name in of.members(unit):
                if name == unit and of.members(unit)[name] is of:
                    continue
                if name in places:
                    text = f"the modality {name!r} exists already, from {places[name]}; rename or remove one"
                    faults.append(_detail(text, ("modalities", unit, "columns", name), name))
                places[name] = key_path(("modalities", unit, "columns", name))
        if faults:
            raise ValidationError.from_exception_data("Schema", faults)

    @property
    def modalities(self) -> dict[str, Modality]:
        """Name -> modality, in order, with the columns of each record in its place."""
        return members_of(self.units)

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

    def components(self) -> Iterator[tuple[tuple[str | int, ...], Component]]:
        """All components of the schema, also those among the options of others, each with the path of its key."""
        return components_in(self)

    def with_learned(self, data: Source, modalities: Mapping[str, Modality]) -> Schema:
        """The same schema with a located source and with modalities that have learned their options."""
        return self.model_copy(update={"data": data, "units": with_learned(self.units, modalities)})

    def to_yaml(self) -> str:
        """The resolved schema as YAML, with every default filled in. `read_schema` of it returns an equal schema."""
        return write_yaml(self.model_dump(mode="json", by_alias=True))


def _detail(text: str, loc: tuple[int | str, ...], value: object) -> InitErrorDetails:
    """One of our faults in pydantic's form, so that it is reported together with pydantic's."""
    kind = PydanticCustomError("value_error", "Value error, {text}", {"text": text})
    return InitErrorDetails(type=kind, loc=loc, input=value)


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """The JSON Schema of schema files, with which editors complete and check YAML.

    Each family has a definition, a word or a mapping of one of its kinds, to which all places of such a component
    refer.
    """
    schema = Schema.model_json_schema()
    schema["properties"]["evaluate"]["default"] = _default_evaluate(plugins)
    references, described = models_json_schema([(cls, "validation") for cls in plugins.components.values()])
    definitions = {**schema["$defs"], **described["$defs"]}
    for cls in FAMILIES:
        kinds = {
            kind: references[component, "validation"]["$ref"]
            for kind, component in plugins.of_family(cls.family).items()
        }
        if cls is Unit:
            for kind, reference in kinds.items():  # by reference, since two plugins may use the same class name
                properties = definitions[reference.rsplit("/", 1)[-1]]["properties"]
                properties["each"] = _EACH
                component = plugins.components[cls.family, kind]
                if issubclass(component, Parted):
                    properties.update({option: _moved_to(part) for option, part in component.moved.items()})
        words = [kind for kind, component in plugins.of_family(cls.family).items() if not _needs_options(component)]
        mapping = {
            "discriminator": {"mapping": kinds, "propertyName": "kind"},
            "oneOf": [{"$ref": reference} for reference in kinds.values()],
        }
        definitions[cls.family] = {"anyOf": [mapping, {"enum": words}]} if words else mapping
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}
    filled: dict[str, Any] = _with_references(whole)
    return filled


_EACH = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "description": "The names of several such modalities.",
}


def _moved_to(part: str) -> dict[str, Any]:
    """An option of 0.1, which is still read."""
    return {"deprecated": True, "description": f"An option of `{part}`; write it there."}


def _needs_options(cls: type[Component]) -> bool:
    return any(option.is_required() for option in cls.model_fields.values())


def _with_references(schema: Any) -> Any:
    """The same JSON Schema, in which each place of a component refers to the definition of its family."""
    if isinstance(schema, list):
        return [_with_references(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    entries = {key: _with_references(entry) for key, entry in schema.items() if key != FAMILY_KEY}
    return {"$ref": f"#/$defs/{schema[FAMILY_KEY]}", **entries} if FAMILY_KEY in schema else entries


def _default_evaluate(plugins: Plugins) -> list[dict[str, Any]]:
    """The evaluators of a schema that names none: those of `DEFAULT_EVALUATE` that are installed."""
    return [entry for entry in DEFAULT_EVALUATE if ("evaluator", entry["kind"]) in plugins.components]


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
    for family in (Source, Modality, Model, Evaluator):
        if not plugins.of_family(family.family):
            raise UserError(f"no {family.family} is installed; check MMT_PLUGINS, or reinstall mmtoolkit")
    if not isinstance(data, dict):
        keys = ", ".join(keys_of(Schema))
        raise UserError(f"{origins.name}: is not a mapping; a schema has the keys {keys}; `mmt init TABLE` writes one")
    data, faults = apply_overrides(data, overrides, origins, plugins, Schema)
    data, each_faults = _expand_each(data, origins)
    faults += each_faults
    data.setdefault("evaluate", _default_evaluate(plugins))
    data = _expand_records(data)
    try:
        schema = Schema.model_validate(data, context={"folder": folder, "plugins": plugins, "notes": origins.notes})
    except ValidationError as error:
        faults += fault_lines(error, data, origins, plugins, Schema)
        raise UserError(faults) from error
    if faults:
        raise UserError(faults)
    schema._origins = origins
    return schema


def _expand_records(data: dict[str, Any]) -> dict[str, Any]:
    """Replace the name of a record by those of its columns where evaluators and supervision name modalities."""
    modalities = data.get("modalities")
    columns = {
        unit: list(options["columns"])
        for unit, options in (modalities.items() if isinstance(modalities, dict) else ())
        if isinstance(options, dict) and isinstance(options.get("columns"), dict)
    }

    def expanded(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, entry) for key, entry in value.items() for name in columns.get(str(key), [key])]
            return {name: expanded(entry) for name, entry in items}
        if isinstance(value, list):
            names = [columns.get(entry, [entry]) if isinstance(entry, str) else [entry] for entry in value]
            return [expanded(name) for of in names for name in of]
        return value

    if not columns:
        return data
    source = data.get("data")
    if isinstance(source, dict) and "supervision" in source:
        source = {**source, "supervision": expanded(source["supervision"])}
    return {**data, "data": source, "evaluate": expanded(data["evaluate"])}


def _expand_each(data: dict[str, Any], origins: Origins) -> tuple[dict[str, Any], list[str]]:
    """Replace every modality that has `each` by one modality for each of its names, also among a record's columns."""
    modalities = data.get("modalities")
    if not isinstance(modalities, dict):
        return data, []
    faults: list[str] = []
    within: dict[str, Any] = {}
    for unit, options in modalities.items():
        if isinstance(options, dict) and isinstance(columns := options.get("columns"), dict):
            expanded, column_faults = _each(columns, ("modalities", unit, "columns"), origins)
            options, faults = {**options, "columns": expanded}, faults + column_faults
        within[unit] = options
    expanded, unit_faults = _each(within, ("modalities",), origins)
    return {**data, "modalities": expanded}, faults + unit_faults


def _each(modalities: dict[str, Any], parent: KeyPath, origins: Origins) -> tuple[dict[str, Any], list[str]]:
    """Expand the modalities that stand at the path `parent`."""
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
        path: KeyPath = (*parent, group)
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
            origins.copy(path, (*parent, name), keep=shared)
    return expanded, faults
