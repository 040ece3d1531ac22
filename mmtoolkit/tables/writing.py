"""Writes tables to files, a piece at a time; a file is complete or not there."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmtoolkit.base.files import make_folder, replacing
from mmtoolkit.tables.columnar import Columnar
from mmtoolkit.tables.columnar_writing import ColumnarWriter, open_parquet
from mmtoolkit.tables.delimited import Delimited, delimiter_for
from mmtoolkit.tables.delimited_writing import CsvStyle, DelimitedWriter
from mmtoolkit.tables.formats import format_of
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.json_writing import ESCAPED, JsonLinesWriter
from mmtoolkit.tables.reading import Format
from mmtoolkit.tables.table_file import TableFile
from mmtoolkit.tables.table_writer import TableWriter, unwritable

_PIECE = 1 << 16


@contextlib.contextmanager
def new_table(out: Path, fields: pa.Schema, like: TableFile | None = None) -> Iterator[TableWriter]:
    """A writer of a table. The file is there when the block ends well.

    Args:
        out: the file. Its ending names the format; `.gz` after the ending of a text format compresses it.
        fields: the columns, in order, with their types.
        like: the table from which the rows come. Text of the same format takes its encoding and line ends, and text
            with the same delimiter is an edited copy of it: the writer takes its lines, and `fields` begin with its
            columns.

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
        return ColumnarWriter(fields, stack.enter_context(open_parquet(new, fields)), out)
    if kind == "arrow":
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        return ColumnarWriter(fields, stack.enter_context(pa.ipc.new_file(str(new), fields, options=options)), out)
    opened: Callable[..., Any] = gzip.open if out.suffix.lower() == ".gz" else open
    if kind == "jsonl":
        json = like if isinstance(like, JsonLines) else None
        encoding, mark = (json.encoding, json.mark) if json is not None else ("utf-8", "")
        json_file = stack.enter_context(opened(new, "wt", encoding=encoding, errors=ESCAPED, newline=""))
        json_file.write(mark)
        return JsonLinesWriter(fields.names, json_file, out, edits=json is not None)
    delimited = like if isinstance(like, Delimited) else None
    style = CsvStyle(delimiter_for(out)) if delimited is None else CsvStyle.of(delimited, out)
    text = stack.enter_context(opened(new, "wt", encoding=style.encoding, newline=""))
    return DelimitedWriter(fields.names, text, style, out, delimited)


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
