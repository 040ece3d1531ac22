"""The interface of every table: rows in order, read a piece at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.rows import Rows

_PIECE = 1 << 16


class RowTable(ABC):
    """A `Table` whose rows you read a piece at a time, as the file holds them or as cells."""

    has_null: ClassVar[bool] = True
    """Whether its cells can be null, so that every text is a value."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The columns."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows in order, in pieces of up to `size` rows; no piece is empty.

        Args:
            size: the most rows in a piece.
            names: the columns to read; by default, all.
        """

    def rows_with_lines(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """As `rows`, with `Rows.lines` if the rows have a text."""
        return self.rows(size, names)

    @property
    def called(self) -> str:
        """The name of the table in errors and notes."""
        return "the table"

    @property
    def remarks(self) -> list[str]:
        """How the table is read, where its owner may not expect it; words that follow `called`."""
        return []

    def option(self, key: str, value: str) -> str:
        """An option for reading the table as its user gives it."""
        return f'{key}="{value}"'

    def place(self, row: int) -> str:
        """The name of a row in errors; `row` counts from 0, and the row under the head is row 1."""
        return f"{self.called}, row {row + 1}"

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns as cells, up to `size` rows at a time."""
        for rows in self.rows(size, names):
            yield {name: rows.cells(name) for name in names}

    def column(self, name: str) -> Cells:
        """All cells of a column."""
        return [cell for rows in self.rows(_PIECE, [name]) for cell in rows.cells(name)]
