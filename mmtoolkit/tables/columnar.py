"""Reads tables with typed columns: Parquet and Arrow (Feather) files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import TableFile, pieces, unreadable


class Columnar(TableFile):
    """A table with an Arrow schema; its rows have types that Arrow can compute with."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns with their types."""

    def _read_names(self) -> Sequence[str]:
        try:
            names = list(self.schema.names)
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}: the name of a column is not UTF-8; write the table again") from error
        if not names:
            raise UserError(f"{self.path}: has no column; write the table again, with at least one")
        return names

    def _pieces(self, batch: pa.RecordBatch, names: list[str], size: int) -> Iterator[Rows]:
        for start, stop in pieces(batch.num_rows, size):
            part = batch.slice(start, stop - start)
            yield Rows({name: _computable(part.column(name)) for name in names}, self.missing)


class Parquet(Columnar):
    """A Parquet file, read one row group at a time."""

    format = "parquet"

    @cached_property
    def _metadata(self) -> pa.parquet.FileMetaData:
        try:
            return pa.parquet.read_metadata(self.path)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns with their types."""
        return self._metadata.schema.to_arrow_schema()

    def _count(self) -> int:
        return int(self._metadata.num_rows)

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        try:
            with pa.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=size, columns=names):
                    yield from self._pieces(_checked(batch), names, size)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error


class Arrow(Columnar):
    """An Arrow file (Feather is one), mapped into memory; or an Arrow stream."""

    format = "arrow"

    def _batches(self) -> Iterator[Any]:
        """The schema, then the record batches."""
        try:
            with pa.memory_map(str(self.path)) as file:
                try:
                    reader = pa.ipc.open_file(file)
                except pa.ArrowInvalid:
                    file.seek(0)
                    stream = pa.ipc.open_stream(file)
                    yield _without_runs(stream.schema)
                    for batch in stream:
                        yield _checked(batch)
                    return
                yield _without_runs(reader.schema)
                for place in range(reader.num_record_batches):
                    yield _checked(reader.get_batch(place))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns with their types."""
        return next(self._batches())

    def _count(self) -> int:
        batches = self._batches()
        next(batches)
        return sum(batch.num_rows for batch in batches)

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        batches = self._batches()
        next(batches)
        for batch in batches:
            yield from self._pieces(batch, names, size)


def _computable(array: pa.Array) -> pa.Array:
    """The same values in a type that Arrow has functions for: no views of texts or bytes, no runs of equal values."""
    kind = array.type
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    if pa.types.is_run_end_encoded(kind):
        return _computable(pc.run_end_decode(array))
    if pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type):
        return pa.DictionaryArray.from_arrays(array.indices, _computable(array.dictionary), ordered=kind.ordered)
    return array


def _without_runs(schema: pa.Schema) -> pa.Schema:
    """The schema with plain types in place of runs of equal values, which no other format has."""
    for place, field in enumerate(schema):
        if pa.types.is_run_end_encoded(field.type):
            schema = schema.set(place, field.with_type(field.type.value_type))
    return schema


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Check that the cells of a batch lie inside it and that its texts are UTF-8; return the batch.

    Arrow trusts the file. Without this check a damaged file could end the process, or fail later when you read a cell.
    """
    batch.validate(full=True)
    for column in batch.columns:
        if pa.types.is_string_view(column.type):  # of these, Arrow checks the places of the texts alone
            column.cast(pa.large_string()).validate(full=True)
    return batch
