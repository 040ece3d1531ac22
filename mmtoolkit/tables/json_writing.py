"""Writes JSON Lines and arrays of JSON."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.fitting import json_text
from mmtoolkit.tables.json_array import JsonArray
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.json_object import with_values
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_writer import NOTHING, Changed, TableWriter


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Write letters that an encoding lacks as JSON escapes, which every encoding has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


ESCAPED = "mmtoolkit.json"
codecs.register_error(ESCAPED, _escaped)


class JsonLinesWriter(TableWriter):
    """An object a line; a new object has every key, with null for a missing cell.

    Args:
        names: the columns.
        file: the text to write to.
        out: its path when it is complete.
        like: the table from which the rows come, if the new one is an edited copy of it.
    """

    def __init__(self, names: Sequence[str], file: Any, out: Path, like: JsonLines | JsonArray | None = None) -> None:
        super().__init__(names)
        self.file, self.out, self.edits = file, out, like is not None
        if like is not None:
            self.file.write(like.mark + like.prologue)

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Write the rows: the text of `lines` except for changed cells, or new objects without `lines`."""
        try:
            self.file.writelines(_changed(columns, lines, changed) if lines else self._new(columns))
        except ValueError as error:
            raise UserError(
                f"{self.out}: cannot be written: {error}; write another format, such as .parquet"
            ) from error

    def _new(self, columns: Mapping[str, Raw]) -> Iterator[str]:
        for row in self._objects(columns):
            yield f"{row}\n"

    def _objects(self, columns: Mapping[str, Raw]) -> Iterator[str]:
        cells = {name: _values(columns[name]) for name in self.names}
        for row in range(len(next(iter(cells.values()), ()))):
            yield json_text({name: column[row] for name, column in cells.items()})

    def close(self) -> None:
        """Nothing to do: `new_table` closes the file."""


class JsonArrayWriter(JsonLinesWriter):
    """A new array with an object a line."""

    def __init__(self, names: Sequence[str], file: Any, out: Path) -> None:
        super().__init__(names, file, out)
        self.before = "[\n"

    def _new(self, columns: Mapping[str, Raw]) -> Iterator[str]:
        for row in self._objects(columns):
            yield f"{self.before}{row}"
            self.before = ",\n"

    def close(self) -> None:
        """End the array."""
        self.file.write("[]\n" if self.before == "[\n" else "\n]\n")


def _changed(columns: Mapping[str, Raw], lines: Sequence[str], changed: Changed) -> Iterator[str]:
    new: dict[int, dict[str, str]] = {}
    for name, places in changed.items():
        cells = _values(columns[name])
        for row in places:
            new.setdefault(row, {})[name] = json_text(cells[row])
    for row, line in enumerate(lines):
        yield with_values(line, new[row]) if row in new else line


def _values(column: Raw) -> Sequence[Any]:
    return column if isinstance(column, list) else column.to_pylist()
