"""Writes tables to files, a piece at a time; a file is complete or not there."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mmtoolkit.base.files import filling_folder, make_folder, replacing, replacing_folder
from mmtoolkit.tables.columnar import Columnar
from mmtoolkit.tables.columnar_writing import ColumnarWriter, open_parquet
from mmtoolkit.tables.compression import write_bytes
from mmtoolkit.tables.delimited import Delimited, delimiter_for
from mmtoolkit.tables.delimited_writing import CsvStyle, DelimitedWriter
from mmtoolkit.tables.excel import Excel
from mmtoolkit.tables.excel_writing import ExcelEditor, ExcelWriter
from mmtoolkit.tables.json_array import JsonArray
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.json_writing import ESCAPED, JsonArrayWriter, JsonLinesWriter
from mmtoolkit.tables.output import names_folder, output_format
from mmtoolkit.tables.parts import Parts
from mmtoolkit.tables.parts_writing import PartsWriter
from mmtoolkit.tables.reading import Format
from mmtoolkit.tables.shard import Shard
from mmtoolkit.tables.table_file import TableFile
from mmtoolkit.tables.table_writer import TableWriter, unwritable

_PIECE = 1 << 16


@contextlib.contextmanager
def new_table(out: Path, fields: pa.Schema, like: TableFile | None = None) -> Iterator[TableWriter]:
    """A writer of a table. The file is there when the block ends well.

    Args:
        out: the file. Its ending names the format; .gz, .bz2 or .zst after that of a text format compresses it. For
            a table in parts it may be a folder, for parts with the same names; those of a shard join others there.
        fields: the columns, in order, with their types.
        like: the table from which the rows come. Text of the same format takes its encoding and line ends. Text with
            the same delimiter, JSON and Excel are edited copies of it; a writer that says `edits` takes its lines, and
            `fields` begin with its columns.

    Raises:
        UserError: the ending names no format, or the file cannot be written; no partial file stays.
    """
    shard = like.shard if isinstance(like, Parts) else None
    with place_of_table(out, shard) as new, table_at(new, out, fields, like) as writer:
        yield writer


@contextlib.contextmanager
def place_of_table(out: Path, shard: Shard | None = None) -> Iterator[Path]:
    """Where to write a table that stands at `out`, a file or a folder, when the block ends well.

    Args:
        out: the file or folder.
        shard: if you write a share of the table's files; they then join others in the folder.
    """
    output_format(out)
    make_folder(out.parent)
    whole = replacing_folder if names_folder(out) else replacing
    with (whole if shard is None else filling_folder)(out) as new:
        yield new


@contextlib.contextmanager
def table_at(new: Path, out: Path, fields: pa.Schema, like: TableFile | None = None) -> Iterator[TableWriter]:
    """A writer of a table to the `place_of_table`, complete when the block ends well; else as `new_table`."""
    with contextlib.ExitStack() as stack:
        if names_folder(out) and isinstance(like, Parts):
            writer: TableWriter = PartsWriter(fields, like.parts, new, out, stack)
        else:
            writer = _writer(output_format(out), out, new, fields, like, stack)
        yield writer
        try:
            writer.close()
        except pa.ArrowException as error:
            raise unwritable(out, error) from error


def _writer(
    kind: Format, out: Path, new: Path, fields: pa.Schema, like: TableFile | None, stack: contextlib.ExitStack
) -> TableWriter:
    if kind == "parquet":
        return ColumnarWriter(fields, stack.enter_context(open_parquet(new, fields)), out)
    if kind == "arrow":
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        return ColumnarWriter(fields, stack.enter_context(pa.ipc.new_file(str(new), fields, options=options)), out)
    if kind == "xlsx":
        return (
            ExcelEditor(fields.names, like, new, out)
            if isinstance(like, Excel)
            else ExcelWriter(fields.names, new, out, stack)
        )
    if kind == "csv":
        delimited = like if isinstance(like, Delimited) else None
        style = CsvStyle(delimiter_for(out)) if delimited is None else CsvStyle.of(delimited, out)
        text = stack.enter_context(io.TextIOWrapper(write_bytes(new, out), style.encoding, newline=""))
        return DelimitedWriter(fields.names, text, style, out, delimited)
    alike = like if isinstance(like, (JsonLines, JsonArray)) and like.format == kind else None
    encoding = "utf-8" if alike is None else alike.encoding
    text = stack.enter_context(io.TextIOWrapper(write_bytes(new, out), encoding, errors=ESCAPED, newline=""))
    if kind == "json" and alike is None:
        return JsonArrayWriter(fields.names, text, out)
    return JsonLinesWriter(fields.names, text, out, alike)


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
    for rows in table.rows(_PIECE):
        for name, kind in kinds.items():
            try:
                cells = rows.raw[name] if markers else rows.cells(name)
                new = pa.array(cells).type  # `infer_type` would accept ["", 1.5]
                both = [pa.schema([("x", kind)]), pa.schema([("x", new)])]
                kinds[name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except (pa.ArrowException, OverflowError):
                kinds[name] = pa.string()
    return kinds
