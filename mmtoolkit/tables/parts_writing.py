"""Writes a table in several Parquet files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from mmtoolkit.tables.columnar import Parquet
from mmtoolkit.tables.columnar_writing import ColumnarWriter, open_parquet
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_writer import NOTHING, Changed, TableWriter


class PartsWriter(TableWriter):
    """A folder of Parquet files with the names and the numbers of rows of other files.

    Args:
        fields: the columns with their types.
        parts: the other files. No piece of rows that you write belongs to two of them.
        folder: the folder to fill.
        out: its path when it is complete.
        stack: closes the last file, also after an error.
    """

    def __init__(
        self, fields: pa.Schema, parts: Sequence[Parquet], folder: Path, out: Path, stack: contextlib.ExitStack
    ) -> None:
        super().__init__(fields.names)
        self.fields, self.folder, self.out = fields, folder, out
        self.parts = list(parts)
        self.file = stack.enter_context(contextlib.ExitStack())
        self.left = 0
        self.writer: ColumnarWriter | None = None
        if self.parts:  # a shard may have none
            self._begin()

    def _begin(self) -> None:
        """Begin the next part."""
        part = self.parts.pop(0)
        self.left = len(part)
        file = self.file.enter_context(open_parquet(self.folder / part.path.name, self.fields))
        self.writer = ColumnarWriter(self.fields, file, self.out / part.path.name)

    def _end(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.file.close()

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Add rows to the part that they belong to."""
        while not self.left:
            self._end()
            self._begin()
        self.left -= len(next(iter(columns.values()), ()))
        assert self.writer is not None, "a part has begun"
        self.writer.write(columns, lines, changed)

    def close(self) -> None:
        """End the last part, and write those without rows that follow."""
        self._end()
        while self.parts:
            self._begin()
            self._end()
