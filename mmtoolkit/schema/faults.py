"""Faults of a schema as lines for the user: `FILE:LINE: key.path: fault; remedy`."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mmtoolkit.base.words import did_you_mean, shorten
from mmtoolkit.base.yaml12 import Path
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.catalogue.shipped import install_hint

_LONGEST = 60  # characters of a value in a fault
_PLAIN_KEY = re.compile(r"[^\s.\"'=]+")


def key_path(path: Path) -> str:
    """A path in the notation of `--set`, such as `modalities."a.b".shape`."""
    return ".".join(_quoted(str(key)) for key in path)


def _quoted(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return key
    return f"'{key}'" if '"' in key else f'"{key}"'


@dataclass
class Origins:
    """The place of each key of a schema: a line of its file, or `--set`."""

    name: str = "schema"
    lines: dict[Path, int] = field(default_factory=dict)
    overridden: set[Path] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def at(self, path: Path) -> str:
        """The place of a path, as `FILE:LINE: key.path` or `--set key.path`.

        If the path itself is not written anywhere, it is the line of its deepest part that is.
        """
        text = key_path(path) or "schema"
        if (*path, "kind") in self.overridden:
            return f"--set {key_path((*path, 'kind'))}"
        for length in range(len(path), -1, -1):
            if path[:length] in self.overridden:
                return f"--set {text}"
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}: {text}"
        return f"{self.name}: {text}"

    def override(self, path: Path) -> None:
        """Make `--set` the place of a path and of all paths below it."""
        self.overridden.add(path)
        for below in [below for below in self.lines if below[: len(path)] == path]:
            del self.lines[below]

    def copy(self, source: Path, target: Path, keep: Container[str]) -> None:
        """Give the keys below `target` the places of those below `source`, as far as `keep` names them."""
        n = len(source)
        for path in [p for p in self.lines if p[:n] == source and (len(p) == n or p[n] in keep)]:
            self.lines[(*target, *path[n:])] = self.lines[path]
        for path in [p for p in self.overridden if p[:n] == source]:
            self.overridden.add((*target, *path[n:]))


# The components of a schema: first key -> their family, and the length of their path.
_COMPONENTS = {
    "data": ("source", 1),
    "model": ("model", 1),
    "modalities": ("modality", 2),
    "evaluate": ("evaluator", 2),
}


def family_at(path: Path) -> str | None:
    """The family of the component at a path of a schema; None if there is none."""
    family, length = _COMPONENTS.get(str(path[0]), (None, 0)) if path else (None, 0)
    return family if len(path) == length else None


# First word of pydantic's fault type -> the remedy.
_REMEDIES = {
    "int": "give a whole number",
    "float": "give a number",
    "bool": "give true or false",
    "string": "give a text, in quotes if YAML reads it as something else",
    "list": "give a list, such as [a, b]",
    "tuple": "give a list, such as [a, b]",
    "dict": "give a mapping, such as {key: value}",
    "literal": "give one of these",
    "greater": "give a larger number",
    "less": "give a smaller number",
    "finite": "give a finite number",
    "too": "give another number of entries",
}


def fault_lines(
    error: ValidationError, data: dict[str, Any], origins: Origins, plugins: Plugins, schema: type[BaseModel]
) -> list[str]:
    """One line for each fault of a validation, in the order of the file."""
    numbered = []
    for fault in error.errors(include_url=False):
        path, family = _place(fault["loc"])
        if fault["type"] == "union_tag_invalid":  # the fault lies in the kind
            path = (*path, "kind")
        text = _text(fault, path, family, data, plugins, schema)
        number = next((origins.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins.lines), 0)
        numbered.append((number, f"{origins.at(path)}: {text}"))
    return [line for _, line in sorted(numbered, key=lambda entry: entry[0])]


def _place(loc: tuple[int | str, ...]) -> tuple[Path, str | None]:
    """The path of a fault in the schema, and the family of the component that contains it.

    pydantic's location has the union's tag after the component's key; the schema does not.
    """
    family, depth = _COMPONENTS.get(str(loc[0]) if loc else "", (None, 0))
    if family is None or len(loc) <= depth:
        return loc, family if len(loc) == depth else None
    return (*loc[:depth], *loc[depth + 1 :]), family


def _at(data: Any, path: Path) -> Any:
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _text(
    fault: ErrorDetails,
    path: Path,
    family: str | None,
    data: dict[str, Any],
    plugins: Plugins,
    schema: type[BaseModel],
) -> str:
    kinds = plugins.of_family(family) if family else {}
    value = shorten(repr(fault["input"]), _LONGEST)
    match fault["type"]:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            known = list(_known_keys(path, family, data, kinds, schema))
            return f"unknown key{did_you_mean(str(path[-1]), known)}; the keys here are {', '.join(known)}"
        case "union_tag_not_found":
            return f"has no kind; add kind: one of {', '.join(kinds)}"
        case "union_tag_invalid":
            kind = str(_at(data, path))
            hint = install_hint(str(family), kind)
            return (
                f"there is no {family} of kind {shorten(repr(kind), _LONGEST)}{did_you_mean(kind, list(kinds))}; "
                + (hint if hint else f"the kinds are {', '.join(kinds)}")
            )
        case "model_type" | "model_attributes_type":
            example = "{kind: …}" if family else "{key: value}"
            return f"must be a mapping such as {example}, not {value}; give its keys"
        case "path_type":
            return f"must be a path, not {value}; give one, in quotes if YAML reads it as something else"
        case "value_error":
            text = fault["msg"].removeprefix("Value error, ")
            return text if ";" in text else f"{text}; change it"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    remedy = _REMEDIES.get(fault["type"].split("_")[0], "change it")
    hint = ""
    if fault["type"] == "literal_error":
        hint = did_you_mean(str(fault["input"]), re.findall(r"'([^']*)'", str(fault.get("ctx", {}).get("expected"))))
    but = "" if ", not " in message else f", not {value}"
    return f"{message}{but}{hint}; {remedy}"


def _known_keys(
    path: Path, family: str | None, data: dict[str, Any], kinds: dict[str, Any], schema: type[BaseModel]
) -> list[str]:
    """The valid keys of the mapping that contains an unknown key."""
    model: Any = schema
    rest = path[:-1]
    if family:
        depth = _COMPONENTS[str(path[0])][1]
        model, rest = kinds.get(str(_at(data, (*path[:depth], "kind")))), path[depth:-1]
    for key in rest:
        if isinstance(key, int):  # all entries of a list have the same keys
            continue
        info = model.model_fields.get(key) if model is not None else None
        model = _model_in(info.annotation) if info is not None else None
    return list(model.model_fields) if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as `Supervision | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in getattr(annotation, "__args__", ()) if (model := _model_in(part))), None)
