"""Writes Parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from mmtoolkit.tables.fitting import as_text, is_text
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_writer import NOTHING, Changed, TableWriter, unwritable

_GROUP_ROWS, _GROUP_BYTES = 1 << 16, 1 << 26


def open_parquet(new: Path, fields: pa.Schema) -> Any:
    """A writer of Parquet files."""
    # Computed numbers are all different: a dictionary of them costs time and saves nothing.
    coded = [field.name for field in fields if not pa.types.is_floating(field.type)]
    return pa.parquet.ParquetWriter(new, fields, use_dictionary=coded or False)


class ColumnarWriter(TableWriter):
    """Parquet or Arrow, in groups of many rows."""

    def __init__(self, fields: pa.Schema, file: Any, out: Path) -> None:
        super().__init__(fields.names)
        self.fields, self.file, self.out = fields, file, out
        self.batches: list[pa.RecordBatch] = []
        self.rows = self.bytes = 0
        self.dictionaries: dict[str, pa.Array] = {}

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Collect rows, and write a group when there are enough."""
        try:
            arrays = [self._array(columns[field.name], field) for field in self.fields]
            batch = pa.RecordBatch.from_arrays(arrays, schema=self.fields)
            self.batches.append(batch)
            self.rows += batch.num_rows
            self.bytes += batch.nbytes
            if self.rows >= _GROUP_ROWS or self.bytes >= _GROUP_BYTES:
                self._flush()
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise unwritable(self.out, error) from error

    def _array(self, column: Raw, field: pa.Field) -> pa.Array:
        if isinstance(column, list):
            if is_text(field.type):
                column = [None if cell is None else as_text(cell) for cell in column]
            return pa.array(column, field.type)
        column = column.cast(field.type) if column.type != field.type else column
        if pa.types.is_dictionary(field.type):
            return self._by_one_dictionary(field.name, column)
        return column

    def _by_one_dictionary(self, name: str, column: pa.DictionaryArray) -> pa.DictionaryArray:
        """The same values by one dictionary for the whole file, after it has grown by the new values."""
        known = self.dictionaries.get(name, column.dictionary)
        new = column.dictionary.filter(pc.invert(pc.is_in(column.dictionary, known)))
        known = self.dictionaries[name] = pa.concat_arrays([known, new])
        indices = pc.index_in(column.dictionary, known).take(column.indices).cast(column.type.index_type)
        return pa.DictionaryArray.from_arrays(indices, known, ordered=column.type.ordered)

    def _flush(self) -> None:
        if self.batches:
            table = pa.Table.from_batches(self.batches, schema=self.fields)
            self.file.write_table(table.unify_dictionaries() if self.dictionaries else table.combine_chunks())
        self.batches, self.rows, self.bytes = [], 0, 0

    def close(self) -> None:
        """Write the last group."""
        self._flush()
