"""Tables with typed columns: Parquet, and Arrow's own files (Feather)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mmtoolkit.errors import UserError
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import TableFile, pieces, unreadable


class Columnar(TableFile):
    """Rows of an Arrow schema."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns with their types."""

    def _read_names(self) -> Sequence[str]:
        try:
            return list(self.schema.names)
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}: the name of a column is not UTF-8; write the table anew") from error

    def _pieces(self, batch: pa.RecordBatch, names: list[str], size: int) -> Iterator[Rows]:
        for start, stop in pieces(batch.num_rows, size):
            part = batch.slice(start, stop - start)
            yield Rows({name: part.column(name) for name in names}, self.reading.missing)


class Parquet(Columnar):
    """A Parquet file, row group by row group."""

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
                    yield from self._pieces(batch, names, size)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error


class Arrow(Columnar):
    """An Arrow file, as Feather is, mapped into memory; or an Arrow stream."""

    def _batches(self) -> Iterator[Any]:
        """The schema, then the record batches."""
        try:
            with pa.memory_map(str(self.path)) as file:
                try:
                    reader = pa.ipc.open_file(file)
                except pa.ArrowInvalid:
                    file.seek(0)
                    stream = pa.ipc.open_stream(file)
                    yield stream.schema
                    for batch in stream:
                        yield _checked(batch)
                    return
                yield reader.schema
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


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same batch; Arrow takes a file's word for where its cells lie, and a damaged one would end the process."""
    batch.validate(full=True)
    return batch
