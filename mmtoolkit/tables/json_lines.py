"""Reads tables of JSON Lines: an object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

from pydantic_core import from_json

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines
from mmtoolkit.tables.json_object import doubled_key
from mmtoolkit.tables.reading import Format
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import unreadable
from mmtoolkit.tables.text_file import TextFile

_MOST_FAULTS = 5
_REMEDY = 'write an object a line, such as {"price": 3}'


class JsonLines(TextFile):
    """Rows of plain values of any type. The columns are the keys of all lines; a key that a line lacks is null."""

    format: ClassVar[Format] = "jsonl"

    @cached_property
    def _names_and_count(self) -> tuple[tuple[str, ...], int]:
        """The columns and the number of rows. It raises every fault of the text, with its line."""
        names: dict[str, None] = {}
        faults: list[str] = []
        rows = 0
        for number, line in self._lines():
            if is_blank(line):
                continue
            row, fault = _parsed(line)
            names.update(row)
            if fault and len(faults) <= _MOST_FAULTS:
                faults.append(f"{self.path}:{number}: {fault}")
            rows += 1
        if faults:
            raise UserError(first_lines(faults, _MOST_FAULTS, f"{self.path}: and more lines like these"))
        if not names:
            raise UserError(f"{self.path}: holds no row; {_REMEDY}")
        return tuple(names), rows

    def _read_names(self) -> Sequence[str]:
        return self._names_and_count[0]

    def _count(self) -> int:
        return self._names_and_count[1]

    @property
    def prologue(self) -> str:
        """The empty lines before the first row."""
        lines = []
        for _, line in self._lines():
            if not is_blank(line):
                break
            lines.append(line)
        return "".join(lines)

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        lines: list[str] = []
        for _, line in self._lines():
            if is_blank(line):  # it stays with the row before it
                lines[-1:] = [last + line for last in lines[-1:]]
                continue
            if len(lines) == size:
                yield self._piece(lines, names)
                lines = []
            lines.append(line)
        yield self._piece(lines, names)

    def _piece(self, lines: list[str], names: list[str]) -> Rows:
        rows = [from_json(line) for line in lines]
        return Rows({name: [row.get(name) for row in rows] for name in names}, self.missing, lines)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their ends, and their numbers from 1."""
        try:
            with self._text("\n") as text:
                yield from enumerate(text, 1)
        except UnicodeError as error:
            raise UserError(self._not_text(error)) from error
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error


def is_blank(line: str) -> bool:
    """Whether a line holds nothing."""
    return not line.strip(" \t\r\n")


def _parsed(line: str) -> tuple[dict[str, Any], str]:
    """The object of a line, and its fault; empty if it has none."""
    try:
        row = from_json(line)
    except ValueError as error:
        return {}, f"is not JSON: {error}; {_REMEDY}"
    if isinstance(row, list):
        return {}, f"is not a JSON object but an array; {_REMEDY}, or, for an array of rows, give the format json"
    if not isinstance(row, dict):
        return {}, f"is not a JSON object; {_REMEDY}"
    key = doubled_key(row, line)
    return row, "" if key is None else f"two values have the key {key!r}; rename one"
