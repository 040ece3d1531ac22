"""The interface of tables in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmtoolkit.tables.fitting import plain
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Raw, Rows

Fills = Mapping[str, tuple[Sequence[int], Sequence[Any]]]
"""Column -> the rows to fill, and their cells."""
New: TypeAlias = pa.Array | list[Any] | NDArray[np.float64]
"""A new column: an Arrow array, cells of any type, or numbers with NaN for missing ones."""


class Frame(RowTable):
    """A table in memory. Its methods return new tables of the same kind and never change it.

    Args:
        data: the table.
        missing: texts that mean a missing cell.
    """

    def __init__(self, data: Any, missing: Collection[str]) -> None:
        self.data, self.missing = data, missing

    @abstractmethod
    def raw(self, name: str) -> Raw:
        """A column: an Arrow array with null where missing, or a list if its cells are of any type."""

    @abstractmethod
    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        """Fill cells and add columns: the new table, and column -> how many cells did not fit its type."""

    @abstractmethod
    def alongside(self, keep: Sequence[str], new: Mapping[str, NDArray[Any] | list[Any]]) -> Any:
        """A table of some columns of this one, then new columns: numbers with NaN for missing ones, or plain cells."""

    @cached_property
    def _columns(self) -> dict[str, Raw]:
        return {}

    def values(self, name: str) -> Raw:
        """`raw` of a column, computed once."""
        if name not in self._columns:
            self._columns[name] = self.raw(name)
        return self._columns[name]

    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows in order, up to `size` at a time."""
        columns = {name: self.values(name) for name in (self.names if names is None else names)}
        for start in range(0, len(self), size):
            yield Rows({name: column[start : start + size] for name, column in columns.items()}, self.missing)


def listed(column: New) -> Any:
    """A new column as an array or a list."""
    if isinstance(column, pa.Array):
        return column.to_pylist()
    return column if isinstance(column, np.ndarray) else [plain(cell) for cell in column]
