"""The base of sources that cut one table into splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, model_validator

from mmtoolkit.components import Source, Table
from mmtoolkit.sources.assignment import assign_splits, read_splits
from mmtoolkit.tables import Rows, RowTable
from mmtoolkit.tables.summary import ColumnSummary, summarise_columns


class CutSource(Source):
    """A source with one table that is cut into splits, or with a table for each split."""

    split: Annotated[dict[str, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] | str | None = None
    """The share of rows of each split, drawn once from `split_seed`; or the column that names each row's split.
    By default train 0.8, valid 0.1, test 0.1."""
    split_seed: NonNegativeInt = 0
    """Fixes the split of each row."""
    group: str | None = None
    """A column, such as a person's name; rows with the same value stay in one split."""

    @model_validator(mode="after")
    def _can_be_cut(self) -> Self:
        if isinstance(self.split, str):
            if self.group is not None:
                raise ValueError(
                    "split is a column that names each row's split, so group has no effect; remove one of them"
                )
        elif self.split is not None:
            if "train" not in self.split:
                raise ValueError("split has no share for train; add one")
            if abs(sum(self.split.values()) - 1) > 1e-6:
                raise ValueError(f"the shares of split sum to {sum(self.split.values()):g}; make them sum to 1")
        return self

    # A source defines these.

    @abstractmethod
    def of_splits(self) -> tuple[str, ...] | None:
        """The splits if each has its own table; None if one table is cut."""

    @abstractmethod
    def _table(self, split: str) -> RowTable:
        """The table of a split, or the table to cut."""

    # These follow.

    def splits(self) -> tuple[str, ...]:
        """The names of the tables, of the shares, or in the column `split`: train, valid and test first."""
        own = self.of_splits()
        if own is not None:
            return own
        return self._named[0] if isinstance(self.split, str) else tuple(self._shares)

    def load(self, split: str) -> Table:
        """The rows of a split."""
        table = self._table(split)
        return table if self.of_splits() is not None else _Part(table, self._rows_of(split))

    def place(self, split: str, row: int) -> str:
        """The table and the row in it; the first row is row 1."""
        place = row if self.of_splits() is not None else int(np.flatnonzero(self._rows_of(split))[row])
        return self._table(split).place(place)

    def notes(self) -> Sequence[str]:
        """The number of rows without a split in the column `split`."""
        left_out = int((self._assigned < 0).sum()) if isinstance(self.split, str) else 0
        rows = "1 row is" if left_out == 1 else f"{left_out:,} rows are"
        note = f"{rows} left out: column {self.split} names no split for them; name one there to use them"
        return [note] if left_out else []

    def summaries(self, signs: Mapping[str, Collection[str]]) -> Sequence[ColumnSummary]:
        """Of each table: of the one that is cut, or of all."""
        tables = [self._table(split) for split in self.of_splits() or ("train",)]
        return [column for table in tables for column in summarise_columns(table, list(signs), signs=signs)]

    @property
    def _shares(self) -> Mapping[str, float]:
        return self.split if isinstance(self.split, dict) else {"train": 0.8, "valid": 0.1, "test": 0.1}

    def _rows_of(self, split: str) -> NDArray[np.bool_]:
        rows: NDArray[np.bool_] = self._assigned == self.splits().index(split)
        return rows

    @cached_property
    def _named(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The splits that the column `split` names, and the place of each row's split among them."""
        assert isinstance(self.split, str)
        return read_splits(self._table("train"), self.split)

    @cached_property
    def _assigned(self) -> NDArray[np.int64]:
        """The place of each row's split among the splits: (rows,)."""
        if isinstance(self.split, str):
            return self._named[1]
        return assign_splits(self._table("train"), self._shares, self.group, self.split_seed)


class _Part(RowTable):
    """Some rows of a table."""

    def __init__(self, table: RowTable, mask: NDArray[np.bool_]) -> None:
        self.table, self.mask = table, mask

    @property
    def names(self) -> tuple[str, ...]:
        return self.table.names

    def __len__(self) -> int:
        return int(self.mask.sum())

    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        start = 0
        for rows in self.table.rows(size, names):
            stop = start + len(rows)
            part = rows.take(self.mask[start:stop])
            start = stop
            if len(part):
                yield part
