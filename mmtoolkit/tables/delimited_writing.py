"""Writes delimited text, such as CSV and TSV (RFC 4180)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.delimited import Delimited, delimiter_for, tabbed
from mmtoolkit.tables.delimited_record import RecordText
from mmtoolkit.tables.fitting import as_text, is_bytes, is_text, positional
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_writer import NOTHING, Changed, TableWriter


@dataclass(frozen=True)
class CsvStyle:
    """The style of delimited text.

    Attributes:
        delimiter: the character between cells.
        quote: the character around cells that need it.
        encoding: the encoding of the text.
        mark: the byte order mark before the text, or nothing.
        line_end: the characters after each row.
    """

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    mark: str = ""
    line_end: str = "\n"

    @classmethod
    def of(cls, table: Delimited, out: Path) -> CsvStyle:
        """The style of a table, for a new file whose ending may require another delimiter."""
        delimiter = table.dialect.delimiter if tabbed(out) == tabbed(table.path) else delimiter_for(out)
        return cls(delimiter, table.dialect.quote, table.encoding, table.mark, table.line_end)


class DelimitedWriter(TableWriter):
    """Delimited text such as CSV (RFC 4180): a new cell has quotes only if it needs them.

    Args:
        names: the columns.
        text: the file to write to.
        style: the style of new text.
        out: the path of the file, for errors.
        like: the table from which the rows come; if it has this delimiter, its text is edited.
    """

    def __init__(self, names: Sequence[str], text: TextIO, style: CsvStyle, out: Path, like: Delimited | None) -> None:
        super().__init__(names)
        self.text, self.style, self.out = text, style, out
        self._record = RecordText(style.delimiter, style.quote)
        marks = (f"\\{mark}" if mark in "\\^]-[" else mark for mark in (style.quote, style.delimiter))
        self._special = f"[\r\n{''.join(marks)}]"
        self._old = like.names if like is not None and like.dialect.delimiter == style.delimiter else ()
        self.edits = bool(self._old)
        self._new = self.names[len(self._old) :]
        try:
            self.text.write(style.mark)
            if like is not None and self.edits:
                self._put_prologue(like)
            else:
                self._put([pa.array([name]) for name in self.names])
        except ValueError as error:
            raise self._unwritable(error) from error

    def _put_prologue(self, like: Delimited) -> None:
        head = self._joined([pa.array([name]) for name in self._new]) if like.dialect.head else []
        self.text.write(self._record.with_more(like.prologue, head[0]) if head else like.prologue)

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Write the rows: the text of `lines` except for changed cells and new columns, or new text without `lines`."""
        try:
            if lines:
                self.text.write("".join(self._edited(columns, lines, changed)))
            else:
                self._put([_texts(columns[name]) for name in self.names])
        except ValueError as error:
            raise self._unwritable(error) from error

    def _edited(self, columns: Mapping[str, Raw], lines: Sequence[str], changed: Changed) -> Sequence[str]:
        new: dict[int, dict[int, str]] = {}
        for place, name in enumerate(self._old):
            rows = list(changed.get(name, ()))
            for row, cell in zip(rows, _texts(_taken(columns[name], rows)).to_pylist() if rows else (), strict=True):
                new.setdefault(row, {})[place] = cell or ""
        edited = list(lines)
        for row, cells in new.items():
            edited[row] = self._record.with_cells(edited[row], cells)
        if self._new:
            more = self._joined([_texts(columns[name]) for name in self._new])
            edited = [self._record.with_more(line, cells) for line, cells in zip(edited, more, strict=True)]
        return edited

    def _unwritable(self, error: ValueError) -> UserError:
        if isinstance(error, UnicodeEncodeError):
            letters = error.object[error.start : error.end]
            fault = f"{self.style.encoding} has no {letters!r}; write another format, such as .parquet"
        else:
            fault = f"{error}; write another format, such as .parquet"
        return UserError(f"{self.out}: cannot be written: {fault}")

    def _put(self, columns: Sequence[pa.Array]) -> None:
        self.text.write("".join(f"{line}{self.style.line_end}" for line in self._joined(columns)))

    def _joined(self, columns: Sequence[pa.Array]) -> list[str]:
        """The texts of the cells of each row, with a delimiter between them."""
        quoted = [self._quoted(column) for column in columns]
        if len(quoted) > 1:
            quoted = [pc.binary_join_element_wise(*quoted, _large(self.style.delimiter))]
        return quoted[0].to_pylist() if quoted else []

    def _quoted(self, column: pa.Array) -> pa.Array:
        column, quote = pc.fill_null(column.cast(pa.large_string()), ""), self.style.quote
        special = pc.match_substring_regex(column, self._special)
        if not pc.any(special).as_py():
            return column
        doubled = pc.replace_substring(column, quote, 2 * quote)
        return pc.if_else(
            special, pc.binary_join_element_wise(_large(quote), doubled, _large(quote), _large("")), column
        )

    def close(self) -> None:
        """Write the rest of the buffer."""
        try:
            self.text.flush()
        except UnicodeEncodeError as error:
            raise self._unwritable(error) from error


def _taken(column: Raw, rows: Sequence[int]) -> Raw:
    return [column[row] for row in rows] if isinstance(column, list) else column.take(pa.array(rows))


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
        if pc.any(pc.match_substring(text, "e")).as_py():
            text = pa.array([cell and positional(cell) for cell in text.to_pylist()], pa.large_string())
        whole = pc.match_substring_regex(text, r"^-?[0-9]+$")
        return pc.if_else(whole, pc.binary_join_element_wise(text, _large(".0"), _large("")), text)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.large_string())
    return _texts(column.to_pylist())
