"""Tables in files, written some rows at a time, whole or not at all."""

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
    """How delimited text is written.

    Attributes:
        delimiter: between cells.
        encoding: of the text; utf-8-sig begins with a byte order mark.
        line_end: after each row.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"

    @classmethod
    def of(cls, table: Delimited, out: Path) -> CsvStyle:
        """That of a table, for a file whose ending may ask for another delimiter."""
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
    """Writes rows to a file that nobody sees until it is whole: what `new_table` gives."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @abstractmethod
    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
        """Add rows.

        Args:
            columns: all of them, of one length, arrays in the types that were told or plain values.
            lines: the rows as JSON Lines, as they were before.
            changed: column -> the places of the rows in which it is not as in `lines`.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is left."""


@contextlib.contextmanager
def new_table(out: Path, fields: pa.Schema, like: TableFile | None = None) -> Iterator[TableWriter]:
    """A writer of a table, which stands at `out` when the block ends well.

    Args:
        out: the file; its ending tells the format, and `.gz` after that of text that it is packed.
        fields: the columns, in order, with their types.
        like: the table whose rows these were, from which text of the same format takes its delimiter, encoding and
            line ends.

    Raises:
        UserError: the ending tells no format, or the file cannot be written; nothing half-written stays.
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
    # Numbers that were computed are all different: a dictionary of them is work for nothing.
    coded = [field.name for field in fields if not pa.types.is_floating(field.type)]
    return pa.parquet.ParquetWriter(new, fields, use_dictionary=coded or False)


def unwritable(out: Path, error: Exception) -> UserError:
    """The fault of cells that the format of a file has no form for."""
    return UserError(f"{out}: cannot be written: {error_text(error)}; write another format")


class _Columns(TableWriter):
    """Parquet or Arrow, in groups of many rows."""

    def __init__(self, fields: pa.Schema, file: Any, out: Path) -> None:
        super().__init__(fields.names)
        self.fields, self.file, self.out = fields, file, out
        self.kept: list[pa.RecordBatch] = []
        self.rows = self.bytes = 0
        self.dictionaries: dict[str, pa.Array] = {}

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
        """Keep the rows until there are enough for a group."""
        try:
            arrays = [self._array(columns[field.name], field) for field in self.fields]
            batch = pa.RecordBatch.from_arrays(arrays, schema=self.fields)
            self.kept.append(batch)
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
            return self._grown(field.name, column)
        return column

    def _grown(self, name: str, column: pa.DictionaryArray) -> pa.DictionaryArray:
        """The same values by one dictionary for the whole file, to which what is new is added."""
        known = self.dictionaries.get(name, column.dictionary)
        fresh = column.dictionary.filter(pc.invert(pc.is_in(column.dictionary, known)))
        known = self.dictionaries[name] = pa.concat_arrays([known, fresh])
        moved = pc.index_in(column.dictionary, known).take(column.indices).cast(column.type.index_type)
        return pa.DictionaryArray.from_arrays(moved, known, ordered=column.type.ordered)

    def _flush(self) -> None:
        if self.kept:
            table = pa.Table.from_batches(self.kept, schema=self.fields)
            self.file.write_table(table.unify_dictionaries() if self.dictionaries else table.combine_chunks())
        self.kept, self.rows, self.bytes = [], 0, 0

    def close(self) -> None:
        """Write the last group."""
        self._flush()


class _Delimited(TableWriter):
    """CSV and its like (RFC 4180): a cell stands in quotes where it must."""

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
            raise self._no_text(error) from error

    def _no_text(self, error: ValueError) -> UserError:
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
        """Write what the buffer holds."""
        try:
            self.text.flush()
        except UnicodeEncodeError as error:
            raise self._no_text(error) from error


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _texts(column: Raw) -> pa.Array:
    """A column as text, null where missing.

    Raises:
        ValueError: it holds what has no form as text.
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
    """Letters of JSON that an encoding has not, as escapes, which every encoding has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "mmtoolkit.json"
codecs.register_error(_ESCAPED, _escaped)


class _JsonLines(TableWriter):
    """An object a line; a new one has every key, with null where its cell is missing."""

    def __init__(self, names: Sequence[str], file: Any, out: Path) -> None:
        super().__init__(names)
        self.file, self.out = file, out

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = _NOTHING) -> None:
        """Write the rows: as they were where `lines` are given, but for what changed."""
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
            if not line.endswith("\n"):  # the last
                yield "\n"

    def close(self) -> None:
        """The file is closed by who opened it."""


def _values(column: Raw) -> Sequence[Any]:
    return column if isinstance(column, list) else column.to_pylist()


def fields_of(table: TableFile) -> pa.Schema:
    """The columns of a table with the types in which they are kept; texts where the file has none."""
    if isinstance(table, Columnar):
        return table.schema
    if isinstance(table, Delimited):
        return pa.schema([(name, pa.string()) for name in table.names])
    kinds = value_types(table, markers=True)
    return pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in kinds.items()])


def value_types(table: TableFile, markers: bool) -> dict[str, pa.DataType]:
    """The narrowest types that hold all values of columns that have none; null of a column that has no value.

    Args:
        table: is read through.
        markers: whether texts that stand for a missing cell are values.
    """
    found = dict.fromkeys(table.names, pa.null())
    for rows in table.rows(_GROUP_ROWS):
        for name, kind in found.items():
            try:
                seen = pa.array(rows.raw[name] if markers else rows.cells(name)).type  # `infer_type` takes ["", 1.5]
                both = [pa.schema([("x", kind)]), pa.schema([("x", seen)])]
                found[name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except (pa.ArrowException, OverflowError):
                found[name] = pa.string()
    return found
