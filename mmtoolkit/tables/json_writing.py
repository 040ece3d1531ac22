"""Writes JSON Lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.fitting import json_text
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
    """An object a line; a new object has every key, with null for a missing cell."""

    def __init__(self, names: Sequence[str], file: Any, out: Path, edits: bool) -> None:
        super().__init__(names)
        self.file, self.out, self.edits = file, out, edits

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Write the rows: the text of `lines` except for changed cells, or new objects without `lines`."""
        try:
            self.file.writelines(self._changed(columns, lines, changed) if lines else self._new(columns))
        except ValueError as error:
            raise UserError(
                f"{self.out}: cannot be written: {error}; write another format, such as .parquet"
            ) from error

    def _new(self, columns: Mapping[str, Raw]) -> Iterator[str]:
        cells = {name: _values(columns[name]) for name in self.names}
        for row in range(len(next(iter(cells.values()), ()))):
            yield f"{json_text({name: column[row] for name, column in cells.items()})}\n"

    def _changed(self, columns: Mapping[str, Raw], lines: Sequence[str], changed: Changed) -> Iterator[str]:
        new: dict[int, dict[str, str]] = {}
        for name, places in changed.items():
            cells = _values(columns[name])
            for row in places:
                new.setdefault(row, {})[name] = json_text(cells[row])
        for row, line in enumerate(lines):
            yield with_values(line, new[row]) if row in new else line

    def close(self) -> None:
        """Nothing to do: `new_table` closes the file."""


def _values(column: Raw) -> Sequence[Any]:
    return column if isinstance(column, list) else column.to_pylist()
