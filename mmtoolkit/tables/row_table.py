"""What every table is here: rows that are read some at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.rows import Rows

_PIECE = 1 << 16


class RowTable(ABC):
    """Rows in order, read some at a time: a `Table`, and what it holds beside cells."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The columns."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows in order, up to `size` at a time; none of the pieces is empty.

        Args:
            size: of a piece.
            names: the columns that are wanted; all where left out.
        """

    @property
    def called(self) -> str:
        """How the table is named to the user."""
        return "the table"

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns as cells, up to `size` rows at a time."""
        for rows in self.rows(size, names):
            yield {name: rows.cells(name) for name in names}

    def column(self, name: str) -> Cells:
        """All cells of a column."""
        return [cell for rows in self.rows(_PIECE, [name]) for cell in rows.cells(name)]
