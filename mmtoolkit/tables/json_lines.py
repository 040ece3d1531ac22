"""Reads tables of JSON Lines: an object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from pydantic_core import from_json

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import unreadable
from mmtoolkit.tables.text_file import TextFile

_MOST_FAULTS = 5
_BLANK = " \t\r\n"


class JsonLines(TextFile):
    """Rows of plain values of any type. The columns are the keys of all lines; a key that a line lacks is null."""

    @cached_property
    def _names_and_count(self) -> tuple[tuple[str, ...], int]:
        """The columns and the number of rows. It raises every fault of the text, with its line."""
        names: dict[str, None] = {}
        faults: list[str] = []
        rows = 0
        for number, line in self._lines():
            fault = ""
            try:
                row = from_json(line)
            except ValueError as error:
                fault = f"is not JSON: {error}"
            else:
                if isinstance(row, dict):
                    names.update(dict.fromkeys(row))
                else:
                    fault = "is not a JSON object"
            if fault and len(faults) <= _MOST_FAULTS:
                faults.append(f'{self.path}:{number}: {fault}; write an object a line, such as {{"price": 3}}')
            rows += 1
        if faults:
            raise UserError(first_lines(faults, _MOST_FAULTS, f"{self.path}: and more lines like these"))
        if not names:
            raise UserError(f'{self.path}: holds no row; write an object a line, such as {{"price": 3}}')
        return tuple(names), rows

    def _read_names(self) -> Sequence[str]:
        return self._names_and_count[0]

    def _count(self) -> int:
        return self._names_and_count[1]

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        lines: list[str] = []
        for _, line in self._lines():
            lines.append(line)
            if len(lines) == size:
                yield self._piece(lines, names)
                lines = []
        yield self._piece(lines, names)

    def _piece(self, lines: list[str], names: list[str]) -> Rows:
        rows = [from_json(line) for line in lines]
        return Rows({name: [row.get(name) for row in rows] for name in names}, self.missing, lines)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not empty, each with the empty ones after it, and their numbers from 1."""
        begins, joined = 0, ""
        try:
            with self._text("\n") as text:
                for number, line in enumerate(text, 1):
                    if line.strip(_BLANK):
                        if begins:
                            yield begins, joined
                            joined = ""
                        begins = number
                    joined += line
            if begins:
                yield begins, joined
        except UnicodeError as error:
            raise UserError(self._not_text(error)) from error
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error
