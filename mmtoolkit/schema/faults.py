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
from mmtoolkit.catalogue.shipped import install_hint
from mmtoolkit.components import Modality, Model, Parted, part
from mmtoolkit.components.component import keys_of
from mmtoolkit.components.part import expanded
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.schema.places import entry, place_at

_LONGEST = 60  # characters of a value in a fault
_CHOSEN = {"network": "networks", "likelihood": "likelihood"}
"""The parts that a `Parted` modality lets you choose, and what another kind has in their place."""
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
    numbered: dict[str, int] = {}
    tried: set[Path] = set()
    for fault in error.errors(include_url=False):
        path = _written(fault["loc"], data, schema, plugins)
        if len(path) < len(fault["loc"]) and path in tried:  # the value fits no type of a union: the first is enough
            continue
        tried.add(path)
        text = _text(fault, path, data, plugins, schema)
        number = next((origins.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins.lines), 0)
        numbered.setdefault(f"{origins.at(path)}: {text}", number)
    return [line for line, _ in sorted(numbered.items(), key=lambda entry: entry[1])]


def _written(loc: Path, data: Any, schema: type[BaseModel], plugins: Plugins) -> Path:
    """The path of a fault as you write it.

    Pydantic also names the types of a union that it tried, which are no keys; and an option of 0.1 stands in the part
    that it moved to.
    """
    path: Path = ()
    value = data
    for key in loc:
        place = place_at(path, data, schema, plugins)
        if place.has_kind:
            value = expanded(value)
        if not isinstance(value, (dict, list)) and place.cls is None and not place.has_kind:
            break
        if isinstance(value, list) and not isinstance(key, int):
            break
        path, value = (*path, key), entry(value, key)
    if len(path) > 1 and value is None:
        cls = place_at(path[:-2], data, schema, plugins).cls
        moved = cls.moved if cls is not None and issubclass(cls, Parted) else {}
        if moved.get(str(path[-1])) == path[-2]:
            return (*path[:-2], path[-1])
    return path


def _text(fault: ErrorDetails, path: Path, data: dict[str, Any], plugins: Plugins, schema: type[BaseModel]) -> str:
    value = shorten(repr(fault["input"]), _LONGEST)
    facts = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            cls = place_at(path[:-1], data, schema, plugins).cls
            if cls is not None and (own := _own_part(cls, str(path[-1]))):
                return own
            known = keys_of(cls) if cls is not None else ()
            return f"unknown key{did_you_mean(str(path[-1]), known)}; the keys here are {', '.join(known)}"
        case part.UNKNOWN:
            return _unknown_kind(facts["family"], facts["kind"], plugins)
        case part.MISSING:
            return fault["msg"]
        case part.TYPE:
            return f"{fault['msg']}, not {value}; give its keys"
        case "model_type" | "model_attributes_type":
            return f"must be a mapping such as {{key: value}}, not {value}; give its keys"
        case "path_type":
            return f"must be a path, not {value}; give one, in quotes if YAML reads it as something else"
        case "value_error":
            text = fault["msg"].removeprefix("Value error, ")
            return text if ";" in text else f"{text}; change it"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    remedy = _REMEDIES.get(fault["type"].split("_")[0], "change it")
    hint = ""
    if fault["type"] == "literal_error":
        hint = did_you_mean(str(fault["input"]), re.findall(r"'([^']*)'", str(facts.get("expected"))))
    but = "" if ", not " in message else f", not {value}"
    return f"{message}{but}{hint}; {remedy}"


def _own_part(cls: type[BaseModel], key: str) -> str:
    """The fault of a key that names a part which this kind does not let you choose; empty if it is another key."""
    kind = cls.model_fields["kind"].default if "kind" in cls.model_fields else ""
    if issubclass(cls, Parted) and key in cls.moved:
        part = cls.moved[key]
        return f"is an option of {part}, and the {part} here has none; remove it, or choose another {part}"
    if issubclass(cls, Modality) and key in _CHOSEN:
        return f"{kind} brings its own {_CHOSEN[key]}, and you cannot choose another; remove it"
    if issubclass(cls, Model) and key == "prior":
        return f"{kind} brings its own prior or has none, and you cannot choose one; remove it"
    if issubclass(cls, Model) and key == "private_dim":
        return f"{kind} has no private latent variables; remove it, or take a kind that has, such as mmvaeplus"
    return ""


def _unknown_kind(family: str, kind: str, plugins: Plugins) -> str:
    kinds = list(plugins.of_family(family))
    install = install_hint(family, kind)
    remedy = f"; {install}" if install else f"{did_you_mean(kind, kinds)}; the kinds are {', '.join(kinds)}"
    other = next((of for of, known in plugins.components if known == kind), None)
    which = f" ({kind} is a kind of {other})" if other else ""
    return f"there is no {family} of kind {shorten(repr(kind), _LONGEST)}{which}{remedy}"
