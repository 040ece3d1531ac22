"""Reads tables in sheets of Excel (.xlsx)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from mmtoolkit.base.words import listing
from mmtoolkit.tables.columnar import Columnar
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.sheet import Sheet, read_sheet, sheet_names
from mmtoolkit.tables.table_file import pieces

_MOST_SHEETS = 8


class Excel(Columnar):
    """A sheet of an Excel file, in memory.

    A cell with a formula has the value that was last computed. An error such as #N/A is a missing cell. A column whose
    cells have one type has that type; the cells of any other column are plain values.
    """

    format = "xlsx"

    @cached_property
    def sheet(self) -> Sheet:
        """The sheet that is read."""
        return read_sheet(self.path, self.reading.sheet, self._identity)

    def notes(self) -> Sequence[str]:
        """The sheet, if there are several and the user named none."""
        others = sheet_names(self.path)[1:]
        if not others or self.reading.sheet is not None:
            return ()
        rest = f"the others are {listing(others, _MOST_SHEETS)}"
        return [f"{self.path}: the first sheet, {self.sheet.name!r}, is read; {rest}, and the option sheet names one"]

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns with their types; text if the cells of a column have several."""
        cells = {name: column.cells for name, column in self.sheet.columns.items()}
        return pa.schema([(name, pa.string() if isinstance(c, list) else c.type) for name, c in cells.items()])

    def place(self, row: int) -> str:
        """The row under the head, and in the sheet."""
        return f"{super().place(row)} (row {self.sheet.rows[row]} of the sheet)"

    def _count(self) -> int:
        return len(self.sheet.rows)

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        for start, stop in pieces(len(self), size):
            columns = {name: self.sheet.columns[name] for name in names}
            formulas = {
                name: frozenset(place - start for place in column.formulas if start <= place < stop)
                for name, column in columns.items()
            }
            cells = {name: column.cells[start:stop] for name, column in columns.items()}
            yield Rows(cells, self.missing, formulas=formulas)
