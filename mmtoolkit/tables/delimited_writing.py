"""Writes delimited text, such as CSV and TSV (RFC 4180)."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.fitting import as_text, is_bytes, is_text
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_writer import NOTHING, Changed, TableWriter


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
        delimiter = table.delimiter if _tabbed(out) == _tabbed(table.path) else delimiter_for(out)
        return cls(delimiter, encoding, (ends or [""])[-1] or "\n")


def _tabbed(path: Path) -> bool:
    return bool({".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes[-2:]})


def delimiter_for(out: Path) -> str:
    """The delimiter that the ending of a file asks for."""
    return "\t" if _tabbed(out) else ","


class DelimitedWriter(TableWriter):
    """Delimited text such as CSV (RFC 4180): a cell has quotes only if it needs them."""

    def __init__(self, names: Sequence[str], text: TextIO, style: CsvStyle, out: Path) -> None:
        super().__init__(names)
        self.text, self.style, self.out = text, style, out
        delimiter = f"\\{style.delimiter}" if style.delimiter in "\\^]-[" else style.delimiter
        self._special = f'["\r\n{delimiter}]'
        self._put([pa.array([name]) for name in self.names])

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
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
