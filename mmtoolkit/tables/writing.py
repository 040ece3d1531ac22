"""Writes tables to files, a piece at a time; a file is complete or not there."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, replacing
from mmtoolkit.base.words import error_text
from mmtoolkit.tables.columnar import Columnar
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.fitting import as_text, is_bytes, is_text, json_text
from mmtoolkit.tables.formats import format_of
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.json_object import with_values
from mmtoolkit.tables.reading import Format
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_file import TableFile

_GROUP_ROWS, _GROUP_BYTES = 1 << 16, 1 << 26

Changed: TypeAlias = Mapping[str, Collection[int]]
_NOTHING: Changed = MappingProxyType({})


@dataclass(frozen=True)
class CsvStyle:
    """The style of delimited text.

    Attributes:
        delimiter: the character between cells.
        encoding: the encoding of the text; utf-8-sig begins with a byte order mark.
        line_end: the characters after each row.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"

    @classmethod
    def of(cls, table: Delimited, out: Path) -> CsvStyle:
        """The style of a table, for a new file whose ending may require another delimiter."""
        encoding, opened = table.reading.encoding, gzip.open if table.path.suffix == ".gz" else open
        with opened(table.path, "rb") as file:
            if file.read(3) == b"\xef\xbb\xbf":
                encoding = "utf-8-sig"
        ends: list[str] = []

        def lines(text: TextIO) -> Iterator[str]:
            for line in text:
                ends.append(line[len(line.rstrip("\r\n")) :])
                yield line

        with opened(table.path, "rb") as file, io.TextIOWrapper(file, encoding, newline="") as text:
            next(csv.reader(lines(text), delimiter=table.delimiter), None)  # the head, which may hold line breaks
        delimiter = table.delimiter if _tabbed(out) == _tabbed(table.path) else _delimiter(out)
        return cls(delimiter, encoding, (ends or [""])[-1] or "\n")


class TableWriter(ABC):
    """Writes rows to a new table; get one from `new_table`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @abstractmethod
    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
        """Add rows.

        Args:
            columns: every column, all of one length: arrays in the types of `new_table`, or plain values.
            lines: the rows as JSON Lines before any change.
            changed: column -> the places of the rows whose cells differ from `lines`.
        """

    @abstractmethod
    def close(self) -> None:
        """Write the remaining rows."""


@contextlib.contextmanager
def new_table(out: Path, fields: pa.Schema, like: TableFile | None = None) -> Iterator[TableWriter]:
    """A writer of a table. The file is there when the block ends well.

    Args:
        out: the file. Its ending names the format; `.gz` after the ending of a text format compresses it.
        fields: the columns, in order, with their types.
        like: the table from which the rows come. Text of the same format takes its delimiter, encoding and line ends.

    Raises:
        UserError: the ending names no format, or the file cannot be written; no partial file stays.
    """
    kind = format_of(out)
    make_folder(out.parent)
    with replacing(out) as new, contextlib.ExitStack() as stack:
        writer = _writer(kind, out, new, fields, like, stack)
        yield writer
        try:
            writer.close()
        except pa.ArrowException as error:
            raise unwritable(out, error) from error


def _writer(
    kind: Format, out: Path, new: Path, fields: pa.Schema, like: TableFile | None, stack: contextlib.ExitStack
) -> TableWriter:
    if kind == "parquet":
        return _Columns(fields, stack.enter_context(_parquet(new, fields)), out)
    if kind == "arrow":
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        return _Columns(fields, stack.enter_context(pa.ipc.new_file(str(new), fields, options=options)), out)
    opened: Callable[..., Any] = gzip.open if out.suffix.lower() == ".gz" else open
    if kind == "jsonl":
        encoding = like.reading.encoding if isinstance(like, JsonLines) else "utf-8"
        json_file = opened(new, "wt", encoding=encoding, errors=_ESCAPED, newline="")
        return _JsonLines(fields.names, stack.enter_context(json_file), out)
    style = CsvStyle.of(like, out) if isinstance(like, Delimited) else CsvStyle(_delimiter(out))
    text = stack.enter_context(opened(new, "wt", encoding=style.encoding, newline=""))
    return _Delimited(fields.names, text, style, out)


def _tabbed(path: Path) -> bool:
    return bool({".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes[-2:]})


def _delimiter(out: Path) -> str:
    return "\t" if _tabbed(out) else ","


def _parquet(new: Path, fields: pa.Schema) -> Any:
    # Computed numbers are all different: a dictionary of them costs time and saves nothing.
    coded = [field.name for field in fields if not pa.types.is_floating(field.type)]
    return pa.parquet.ParquetWriter(new, fields, use_dictionary=coded or False)


def unwritable(out: Path, error: Exception) -> UserError:
    """The error of cells that the format of a file cannot hold."""
    return UserError(f"{out}: cannot be written: {error_text(error)}; write another format")


class _Columns(TableWriter):
    """Parquet or Arrow, in groups of many rows."""

    def __init__(self, fields: pa.Schema, file: Any, out: Path) -> None:
        super().__init__(fields.names)
        self.fields, self.file, self.out = fields, file, out
        self.batches: list[pa.RecordBatch] = []
        self.rows = self.bytes = 0
        self.dictionaries: dict[str, pa.Array] = {}

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
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


class _Delimited(TableWriter):
    """Delimited text such as CSV (RFC 4180): a cell has quotes only if it needs them."""

    def __init__(self, names: Sequence[str], text: TextIO, style: CsvStyle, out: Path) -> None:
        super().__init__(names)
        self.text, self.style, self.out = text, style, out
        delimiter = f"\\{style.delimiter}" if style.delimiter in "\\^]-[" else style.delimiter
        self._special = f'["\r\n{delimiter}]'
        self._put([pa.array([name]) for name in self.names])

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
        """Write the rows."""
        try:
            self._put([_texts(columns[name]) for name in self.names])
        except ValueError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: ValueError) -> UserError:
        if isinstance(error, UnicodeEncodeError):
            letters = error.object[error.start : error.end]
            fault = f"{self.style.encoding} has no {letters!r}; write another format, such as .parquet"
        else:
            fault = f"{error}; write another format, such as .parquet"
        return UserError(f"{self.out}: cannot be written: {fault}")

    def _put(self, columns: Sequence[pa.Array]) -> None:
        quoted = [self._quoted(column) for column in columns]
        if len(quoted) > 1:
            quoted = [pc.binary_join_element_wise(*quoted, _large(self.style.delimiter))]
        self.text.write("".join(f"{line}{self.style.line_end}" for line in quoted[0].to_pylist()))

    def _quoted(self, column: pa.Array) -> pa.Array:
        column = pc.fill_null(column.cast(pa.large_string()), "")
        special = pc.match_substring_regex(column, self._special)
        if not pc.any(special).as_py():
            return column
        doubled = pc.replace_substring(column, '"', '""')
        return pc.if_else(special, pc.binary_join_element_wise(_large('"'), doubled, _large('"'), _large("")), column)

    def close(self) -> None:
        """Write the rest of the buffer."""
        try:
            self.text.flush()
        except UnicodeEncodeError as error:
            raise self._unwritable(error) from error


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _texts(column: Raw) -> pa.Array:
    """A column as text, null where missing.

    Raises:
        ValueError: text cannot hold the column.
    """
    if isinstance(column, list):
        return pa.array([None if cell is None else as_text(cell) for cell in column], pa.large_string())
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if is_text(kind):
        return column
    if is_bytes(kind):
        raise ValueError("a column of bytes has no form as text")
    if pa.types.is_floating(kind):
        text = column.cast(pa.large_string())
        whole = pc.match_substring_regex(text, r"^-?[0-9]+$")
        return pc.if_else(whole, pc.binary_join_element_wise(text, _large(".0"), _large("")), text)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.large_string())
    return _texts(column.to_pylist())


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Write letters that an encoding lacks as JSON escapes, which every encoding has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "mmtoolkit.json"
codecs.register_error(_ESCAPED, _escaped)


class _JsonLines(TableWriter):
    """An object a line; a new object has every key, with null for a missing cell."""

    def __init__(self, names: Sequence[str], file: Any, out: Path) -> None:
        super().__init__(names)
        self.file, self.out = file, out

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
        """Write the rows: the text of `lines` except for changed cells, or new objects without `lines`."""
        try:
            self.file.writelines(self._changed(columns, lines, changed) if lines else self._new(columns))
        except ValueError as error:
            raise UserError(
                f"{self.out}: cannot be written: {error}; write another format, such as .parquet"
            ) from error

    def _new(self, columns: Mapping[str, Raw]) -> Iterator[str]:
        cells = {name: _values(columns[name]) for name in self.names}
        for row in range(len(next(iter(cells.values()), ()))):
            yield f"{json_text({name: column[row] for name, column in cells.items()})}\n"

    def _changed(self, columns: Mapping[str, Raw], lines: Sequence[str], changed: Changed) -> Iterator[str]:
        new: dict[int, dict[str, str]] = {}
        for name, places in changed.items():
            cells = _values(columns[name])
            for row in places:
                new.setdefault(row, {})[name] = json_text(cells[row])
        for row, line in enumerate(lines):
            yield with_values(line, new[row]) if row in new else line
            if not line.endswith("\n"):  # the last line
                yield "\n"

    def close(self) -> None:
        """Nothing to do: `new_table` closes the file."""


def _values(column: Raw) -> Sequence[Any]:
    return column if isinstance(column, list) else column.to_pylist()


def fields_of(table: TableFile) -> pa.Schema:
    """The columns of a table with their types; text if the file has no types."""
    if isinstance(table, Columnar):
        return table.schema
    if isinstance(table, Delimited):
        return pa.schema([(name, pa.string()) for name in table.names])
    kinds = value_types(table, markers=True)
    return pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in kinds.items()])


def value_types(table: TableFile, markers: bool) -> dict[str, pa.DataType]:
    """The narrowest type that holds all values of each column; null for a column without values.

    Args:
        table: a table without types; the function reads it to its end.
        markers: whether texts that mean a missing cell are values.
    """
    kinds = dict.fromkeys(table.names, pa.null())
    for rows in table.rows(_GROUP_ROWS):
        for name, kind in kinds.items():
            try:
                cells = rows.raw[name] if markers else rows.cells(name)
                new = pa.array(cells).type  # `infer_type` would accept ["", 1.5]
                both = [pa.schema([("x", kind)]), pa.schema([("x", new)])]
                kinds[name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except (pa.ArrowException, OverflowError):
                kinds[name] = pa.string()
    return kinds
