"""Cells that hold several columns of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

from mmtoolkit.tables.cells import Cells


class Records(Sequence[dict[str, Any] | None]):
    """Columns of equal length as a sequence of rows, each a mapping column -> value.

    A mapping omits the columns in which the row has None. A row with None in every column is itself None, a missing
    cell. To read whole columns, use `columns`.

    Attributes:
        columns: column -> its cells.
    """

    def __init__(self, columns: Mapping[str, Cells]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @overload
    def __getitem__(self, row: int) -> dict[str, Any] | None: ...
    @overload
    def __getitem__(self, row: slice) -> Records: ...
    def __getitem__(self, row: int | slice) -> dict[str, Any] | Records | None:
        """The mapping of a row, or the records of some rows."""
        if isinstance(row, slice):
            return Records({name: cells[row] for name, cells in self.columns.items()})
        values = {name: cells[row] for name, cells in self.columns.items()}
        return {name: value for name, value in values.items() if value is not None} or None
