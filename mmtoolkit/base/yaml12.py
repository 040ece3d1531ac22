"""Reads and writes YAML 1.2 as plain data, with the line of every key; tags, aliases and duplicate keys are errors."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from mmtoolkit.base.errors import UserError

Path = tuple[str | int, ...]

_DEPTH = 50
_LENGTH = 10_000_000
_UNBROKEN = 1 << 30  # characters a line

# The core schema of YAML 1.2.2, section 10.3.2: `no`, dates and 1_000 are text.
_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_OCTAL, _HEX = re.compile(r"0o[0-7]{1,400}"), re.compile(r"0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF, _NAN = re.compile(r"([-+]?)(\.inf|\.Inf|\.INF)"), re.compile(r"\.nan|\.NaN|\.NAN")

# Characters that YAML forbids (section 5.1), surrogates too; and text that needs no quotes in any place.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNQUOTED = re.compile(r"[\w/][\w/.()+-]*( [\w/.()+-]+)*")


@dataclass(frozen=True)
class Document:
    """A YAML document: its data, and path in the data -> line (from 1)."""

    data: Any
    lines: dict[Path, int]


def plain(text: str) -> Any:
    """The value of an unquoted scalar."""
    for pattern, value in ((_NULL, None), (_TRUE, True), (_FALSE, False), (_NAN, float("nan"))):
        if pattern.fullmatch(text):
            return value
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return int(text, base)
    if match := _INF.fullmatch(text):
        return float(match[1] + "inf")
    return float(text) if _FLOAT.fullmatch(text) else text


class _Reader:
    """Builds data from parser events and collects every fault, not only the first."""

    def __init__(self, events: Iterator[Event], name: str) -> None:
        self.events, self.name = events, name
        self.lines: dict[Path, int] = {}
        self.faults: list[str] = []

    def fault(self, event: Event, text: str) -> None:
        self.faults.append(f"{self.name}:{event.start_mark.line + 1}: {text}")

    def refuse_tag(self, event: Event) -> None:
        if (tag := getattr(event, "tag", None)) is not None:
            self.fault(event, f"{tag} is a tag, which is not read; a schema is plain data, so remove it")

    def refuse_surrogates(self, event: ScalarEvent) -> None:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self.fault(event, "a \\u escape stands for half a character; write the character itself")

    def value(self, event: Event, path: Path) -> Any:
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, AliasEvent):
            self.fault(event, f"*{event.anchor} is an alias, which is not read; write the value out")
            return None
        self.refuse_tag(event)
        if isinstance(event, ScalarEvent):
            self.refuse_surrogates(event)
            return plain(event.value) if event.style is None else event.value
        if len(path) >= _DEPTH:
            self.fault(event, f"more than {_DEPTH} levels deep; a schema has a few")
            raise UserError(self.faults)
        if isinstance(event, SequenceStartEvent):
            return list(self.items(path))
        return self.mapping(path)

    def items(self, path: Path) -> Iterator[Any]:
        place = 0
        while not isinstance(event := next(self.events), SequenceEndEvent):
            yield self.value(event, (*path, place))
            place += 1

    def mapping(self, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self.fault(event, "a key must be a word; quote it if it has brackets or braces")
                self.value(event, (*path, ""))  # one level deeper, so that keys in keys reach the limit
                self.value(next(self.events), (*path, ""))
                continue
            self.refuse_tag(event)
            self.refuse_surrogates(event)
            key = event.value
            if key in data:
                first = self.lines[(*path, key)]
                self.fault(event, f"{key}: stands twice, first in line {first}; remove one")
            self.lines[(*path, key)] = event.start_mark.line + 1
            data[key] = self.value(next(self.events), (*path, key))
        return data


def read_yaml(text: str, name: str) -> Document:
    """Read one YAML 1.2 document.

    Args:
        text: the document.
        name: the name of the document in errors, such as its path.

    Raises:
        UserError: every fault, one line each, `NAME:LINE: fault; remedy`.
    """
    if len(text) > _LENGTH:
        raise UserError(f"{name}: is longer than {_LENGTH:,} characters; is it a schema?")
    if match := _FORBIDDEN.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise UserError(
            f"{name}:{line}: holds the character U+{ord(match[0]):04X}, which YAML does not allow; remove it, "
            "or write it as an escape in double quotes"
        )
    yaml = YAML(typ="safe", pure=True)
    events = iter(yaml.parse(io.StringIO(text)))
    reader = _Reader(events, name)
    try:
        event = next(events)
        while isinstance(event, (StreamStartEvent, DocumentStartEvent)):
            event = next(events)
        if isinstance(event, StreamEndEvent):
            raise UserError(f"{name}: is empty; write a schema there (see `mmt list schemas` for some)")
        data = reader.value(event, ())
        next(events)
        if not isinstance(event := next(events), StreamEndEvent):
            reader.fault(event, "a second document begins here; keep one to a file")
    except YAMLError as error:
        raise UserError([*reader.faults, _syntax_fault(error, name)]) from error
    except (ValueError, OverflowError) as error:  # such as the escape "\U00110000", which stands for no character
        line = yaml.reader.get_mark().line + 1
        fault = f"{name}:{line}: is not YAML: {error}; mend the line (escapes in quotes, directives)"
        raise UserError([*reader.faults, fault]) from error
    if reader.faults:
        raise UserError(reader.faults)
    return Document(data, reader.lines)


def _syntax_fault(error: YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
    where = f"{name}:{mark.line + 1}" if mark else name
    return f"{where}: is not YAML: {problem}; mend the line (indentation, quotes, brackets, colons)"


def _styled(data: Any) -> Any:
    if isinstance(data, dict):
        return CommentedMap({_styled(key): _styled(value) for key, value in data.items()})
    if isinstance(data, (list, tuple)):
        items = CommentedSeq([_styled(item) for item in data])
        if not any(isinstance(item, (dict, list, tuple)) for item in data):
            items.fa.set_flow_style()
        return items
    if isinstance(data, str) and (plain(data) is not data or not _UNQUOTED.fullmatch(data) or not data.isprintable()):
        return DoubleQuotedScalarString(data)
    return data


def write_yaml(data: Any) -> str:
    """Plain data as YAML; `read_yaml` gives the same data back."""
    return _dumped(_styled(data), 110)


def write_entry(key: str, value: Any, block: int = 0) -> list[str]:
    """A key and its value as lines of YAML, which you can put between comments.

    Args:
        key: the key.
        value: plain data.
        block: how many levels of mappings get a line for each key; deeper levels stand in braces on one line.
    """
    styled = _styled({key: value})
    _in_braces(styled[key], block)
    return _dumped(styled, _UNBROKEN).splitlines()


def _in_braces(styled: Any, block: int) -> None:
    if isinstance(styled, (CommentedMap, CommentedSeq)):
        if block <= 0:
            styled.fa.set_flow_style()
        for item in styled.values() if isinstance(styled, CommentedMap) else styled:
            _in_braces(item, block - 1)


def _dumped(styled: Any, width: int) -> str:
    yaml = YAML(typ="rt", pure=True)
    yaml.width = width
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(styled, out)
    return out.getvalue()
