"""Reads tables of JSON: an array of objects, or an object a line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic_core import from_json

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines, listing
from mmtoolkit.tables.compression import read_bytes
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.json_object import after_blanks, doubled_key
from mmtoolkit.tables.reading import Format, Reading
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import TableFile, pieces, unreadable
from mmtoolkit.tables.text_file import TextFile

_MOST_FAULTS = 5
_MOST_KEYS = 4
_REMEDY = 'write an array of objects, such as [{"price": 3}], or an object a line'
_KINDS = {dict: "an object", list: "an array", str: "a text", bool: "yes or no", int: "a number", float: "a number"}
_START = 1024
_BEFORE = b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"  # blanks, byte order marks, and the zeros of UTF-16
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # numbers of any length


@dataclass(frozen=True)
class _Array:
    """The text of an array.

    Attributes:
        prologue: the text before the first row.
        lines: the text of each row, with what follows it up to the next one.
        rows: the objects.
    """

    prologue: str
    lines: list[str]
    rows: list[dict[str, Any]]


class JsonArray(TextFile):
    """Rows of plain values of any type, as in JSON Lines. The whole array is in memory."""

    format = "json"

    @cached_property
    def _array(self) -> _Array:
        text = self._whole()
        starts, ends = self._spans(text)
        rows: list[dict[str, Any]] = []
        faults: list[str] = []
        for start, end in zip(starts, ends, strict=True):
            row, fault = _parsed(text[start:end])
            rows.append(row)
            if fault and len(faults) <= _MOST_FAULTS:
                faults.append(f"{self._line(text, start)}: {fault}")
        if faults:
            raise UserError(
                first_lines(list(dict.fromkeys(faults)), _MOST_FAULTS, f"{self.path}: and more objects like these")
            )
        if not any(rows):
            raise UserError(f"{self.path}: holds no row; {_REMEDY}")
        stops = [*starts[1:], len(text)]
        return _Array(text[: starts[0]], [text[a:b] for a, b in zip(starts, stops, strict=True)], rows)

    def _whole(self) -> str:
        try:
            with self._text("") as text:
                return text.read()
        except UnicodeError as error:
            raise UserError(self._not_text(error)) from error
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error

    def _spans(self, text: str) -> tuple[list[int], list[int]]:
        """The places where the values of the array begin and end."""
        starts: list[int] = []
        ends: list[int] = []
        place = after_blanks(text, 0)
        if text[place : place + 1] != "[":
            raise UserError(f"{self.path}: holds no array; {_REMEDY}")
        place = after_blanks(text, place + 1)
        while text[place : place + 1] != "]" or starts:
            try:
                _, end = _DECODER.raw_decode(text, place)
            except (json.JSONDecodeError, RecursionError) as error:
                at = getattr(error, "pos", place)
                raise UserError(self._not_json(text, at, str(getattr(error, "msg", error)).lower())) from None
            starts.append(place)
            ends.append(end)
            place = after_blanks(text, end)
            if text[place : place + 1] == "]":
                break
            if text[place : place + 1] != ",":
                raise UserError(self._not_json(text, place, "expecting ',' or ']'"))
            place = after_blanks(text, place + 1)
        if after_blanks(text, place + 1) < len(text):
            fault = "text follows the array; keep one array, or write an object a line"
            raise UserError(f"{self._line(text, after_blanks(text, place + 1))}: {fault}")
        return starts, ends

    def _line(self, text: str, place: int) -> str:
        return f"{self.path}:{text.count(chr(10), 0, place) + 1}"

    def _not_json(self, text: str, place: int, fault: str) -> str:
        if place >= len(text.rstrip()):
            return f"{self._line(text, place)}: ends within the array; the file is cut off, or lacks its ]"
        column = place - text.rfind("\n", 0, place)
        return f"{self._line(text, place)}: is not JSON: {fault} at column {column}; mend the line"

    def _read_names(self) -> Sequence[str]:
        return tuple(dict.fromkeys(key for row in self._array.rows for key in row))

    def _count(self) -> int:
        return len(self._array.rows)

    @property
    def prologue(self) -> str:
        """The text before the first row."""
        return self._array.prologue

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        for start, stop in pieces(len(self), size):
            rows = self._array.rows[start:stop]
            columns = {name: [row.get(name) for row in rows] for name in names}
            yield Rows(columns, self.missing, self._array.lines[start:stop])


def _parsed(text: str) -> tuple[dict[str, Any], str]:
    """The object of a row, and its fault; empty if it has none."""
    try:
        row = from_json(text)
    except ValueError as error:
        return {}, f"is not JSON: {error}; mend the object"
    if not isinstance(row, dict):
        return {}, f"the array holds {_kind(row)}, not an object; {_REMEDY}"
    key = doubled_key(row, text)
    return row, "" if key is None else f"two values of the object that begins here have the key {key!r}; rename one"


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS[type(value)]


class LinesInJson(JsonLines):
    """JSON Lines in a file of JSON."""

    format: ClassVar[Format] = "json"

    @cached_property
    def _names_and_count(self) -> tuple[tuple[str, ...], int]:
        try:
            names, count = super()._names_and_count
        except UserError:
            if (whole := self._value()) is not None:
                raise _other(self.path, whole) from None
            raise
        if count == 1 and all(isinstance(self.column(name)[0], (list, dict)) for name in names):
            raise _other(self.path, dict.fromkeys(names))
        return names, count

    def _value(self) -> Any:
        """The value of the whole text; None if it is not JSON."""
        with contextlib.suppress(UnicodeError, OSError, EOFError), self._text("\n") as text:
            return _value(text.read())
        return None


def open_json(path: Path, reading: Reading) -> TableFile:
    """Open a file of JSON: an array of objects, or an object a line, whichever its first character begins.

    Raises:
        UserError: the file holds other JSON, or cannot be read.
    """
    try:
        with read_bytes(path) as file:
            start = file.peek(_START)[:_START].translate(None, _BEFORE)
    except (OSError, EOFError) as error:
        raise unreadable(path, error) from error
    return JsonArray(path, reading) if start.startswith(b"[") else LinesInJson(path, reading)


def _value(text: str) -> Any:
    """The value of a text; None if it is not JSON."""
    try:
        return from_json(text)
    except ValueError:
        return None


def _other(path: Path, value: Any) -> UserError:
    keys = f" with the keys {listing(list(value), _MOST_KEYS)}" if isinstance(value, dict) and value else ""
    return UserError(f"{path}: holds {_kind(value)}{keys}, not rows; {_REMEDY}")
