"""Sources whose splits are cut from one table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, model_validator

from mmtoolkit.components import Source, Table
from mmtoolkit.sources.assignment import assigned, named_splits
from mmtoolkit.tables import Rows, RowTable, row_of


class CutSource(Source):
    """A source over one table that is cut into splits, or over a table for each split."""

    split: Annotated[dict[str, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] | str | None = None
    """The share of rows of each split, drawn once from `split_seed`; or the column that names each row's split.
    Where left out: train 0.8, valid 0.1, test 0.1."""
    split_seed: NonNegativeInt = 0
    """Fixes which row is in which split."""
    group: str | None = None
    """A column whose rows of equal value stay in one split, such as a person's."""

    @model_validator(mode="after")
    def _can_be_cut(self) -> Self:
        if isinstance(self.split, str):
            if self.group is not None:
                raise ValueError(
                    "the column split says which split a row is in, so group has no part; remove one of them"
                )
        elif self.split is not None:
            if "train" not in self.split:
                raise ValueError("split has no share for train; add it")
            if abs(sum(self.split.values()) - 1) > 1e-6:
                raise ValueError(f"the shares of split add up to {sum(self.split.values()):g}; let them add up to 1")
        return self

    # What a source defines.

    @abstractmethod
    def of_splits(self) -> tuple[str, ...] | None:
        """The splits where each has a table of its own; None where one table is cut."""

    @abstractmethod
    def _table(self, split: str) -> RowTable:
        """The table of a split, or the one that is cut."""

    # What follows from that.

    def splits(self) -> tuple[str, ...]:
        """As the tables or `split` name them, or the column does: train, valid and test first."""
        own = self.of_splits()
        if own is not None:
            return own
        return self._named[0] if isinstance(self.split, str) else tuple(self._shares)

    def load(self, split: str) -> Table:
        """The rows of a split."""
        table = self._table(split)
        return table if self.of_splits() is not None else _Part(table, self._kept(split))

    def place(self, split: str, row: int) -> str:
        """The table and the row in it; the first one is row 1."""
        place = row if self.of_splits() is not None else int(np.flatnonzero(self._kept(split))[row])
        return f"{self._table(split).called}, {row_of(place)}"

    def notes(self) -> Sequence[str]:
        """How many rows the column `split` leaves out."""
        left_out = int((self._assigned < 0).sum()) if isinstance(self.split, str) else 0
        return [f"{left_out} rows name no split in column {self.split} and are left out"] if left_out else []

    @property
    def _shares(self) -> Mapping[str, float]:
        return self.split if isinstance(self.split, dict) else {"train": 0.8, "valid": 0.1, "test": 0.1}

    def _kept(self, split: str) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = self._assigned == self.splits().index(split)
        return kept

    @cached_property
    def _named(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The splits that the column `split` names, and for each row the place of its own."""
        assert isinstance(self.split, str)
        return named_splits(self._table("train"), self.split)

    @cached_property
    def _assigned(self) -> NDArray[np.int64]:
        """For each row of the table the place of its split: (rows,)."""
        if isinstance(self.split, str):
            return self._named[1]
        return assigned(self._table("train"), self._shares, self.group, self.split_seed)


class _Part(RowTable):
    """The rows of a table that are kept."""

    def __init__(self, table: RowTable, kept: NDArray[np.bool_]) -> None:
        self.table, self.kept = table, kept

    @property
    def names(self) -> tuple[str, ...]:
        return self.table.names

    def __len__(self) -> int:
        return int(self.kept.sum())

    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        start = 0
        for rows in self.table.rows(size, names):
            stop = start + len(rows)
            kept = rows.take(self.kept[start:stop])
            start = stop
            if len(kept):
                yield kept
