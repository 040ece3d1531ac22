"""A table whose rows are created as they are read."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

import pyarrow as pa

from mmtoolkit.tables import Rows, RowTable


class Endless(RowTable):
    """Creates each piece of rows when it is read, and counts the pieces in memory."""

    @property
    def names(self) -> tuple[str, ...]:
        return ("a", "b")

    def __init__(self, rows: int) -> None:
        self.length, self.alive, self.most = rows, 0, 0

    def __len__(self) -> int:
        return self.length

    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        for _ in range(0, self.length, size):
            rows = Rows({"a": pa.array([None, 1.5] * (size // 2)), "b": pa.array(["x", None] * (size // 2))}, ())
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(rows, self._gone)
            yield rows
            del rows

    def _gone(self) -> None:
        self.alive -= 1
