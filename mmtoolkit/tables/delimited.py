"""Reads tables of delimited text, such as CSV and TSV (RFC 4180)."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.csv

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines, shorten
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import pieces, unreadable
from mmtoolkit.tables.text_file import MARKS, TextFile

_BLOCK = 1 << 23
_LONGEST_CELL = _BLOCK // 2
_MOST_FAULTS = 5
_LONGEST_NAME = 60  # characters of a head in an error
_DELIMITERS = (",", ";", "\t", "|")
_START = 1024
# The first bytes of other formats, and what an error says of them.
_OTHER_FORMATS = {
    b"PAR1": "Parquet, not text; name it .parquet, or say format: parquet",
    b"ARROW1": "Arrow, not text; name it .arrow, or say format: arrow",
    b"PK\x03\x04": "a spreadsheet or a packed archive, not text; export it as CSV",
}
_EXCEL = re.compile(rb"(?:\xef\xbb\xbf)?sep=(.)\r?\n", re.IGNORECASE)


class Delimited(TextFile):
    """Rows of text. Each cell is the string between two delimiters, without its quotes.

    Arrow reads the rows, some twenty times as fast as Python's reader. Python's reader checks the file once before:
    after a quote that is never closed, Arrow reads the rest of the file as one cell, and its errors name no line.
    """

    has_null = False

    @cached_property
    def delimiter(self) -> str:
        """The character between cells."""
        if self.reading.delimiter is not None:
            return self.reading.delimiter
        if {".tsv", ".tab"} & {suffix.lower() for suffix in self.path.suffixes[-2:]}:
            return "\t"
        head = self._head(",")
        return next((other for other in _DELIMITERS[1:] if other in head[0]), ",") if len(head) == 1 else ","

    def _read_names(self) -> Sequence[str]:
        names = self._head(self.delimiter)
        other = next((other for other in _DELIMITERS if len(names) == 1 and other in names[0]), None)
        if other is not None:
            raise UserError(
                f"{self.path}:1: {self.delimiter!r} separates nothing in the head "
                f"{shorten(names[0], _LONGEST_NAME)!r}; if {other!r} does, give that as the delimiter"
            )
        return names

    def _head(self, delimiter: str) -> list[str]:
        self._check_start()
        with self._records(delimiter) as records:
            names: list[str] = next(iter(records), [])
        if not names:
            raise UserError(
                f"{self.path}: is empty, or its first line is; give it a head with the names of the columns"
            )
        return names

    def _check_start(self) -> None:
        """Raise if the file does not begin like text with a head."""
        try:
            with self._bytes() as file:
                start = file.peek(_START)[:_START]
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error
        if fault := next((fault for mark, fault in _OTHER_FORMATS.items() if start.startswith(mark)), None):
            raise UserError(f"{self.path}: holds {fault}")
        marked = any(start.startswith(marks) for marks in MARKS.values())
        in_bytes = b",".decode(self.reading.encoding, "replace") == ","
        if in_bytes and not marked and 4 * start.count(0) > len(start):
            raise UserError(
                f"{self.path}: has many zero bytes, as UTF-16 text has; give its encoding, such as utf-16-le, or "
                "save it as UTF-8"
            )
        if match := _EXCEL.match(start):
            character = match[1].decode("latin-1")
            raise UserError(
                f"{self.path}:1: is a note for Excel, not the head; remove the line, and give {character!r} as the "
                "delimiter"
            )

    def _count(self) -> int:
        """The number of rows. It raises every fault of the text, with its line."""
        width, rows = len(self.names), -1
        faults: list[str] = []
        with self._records(self.delimiter) as records:
            begins, ends = 1, 1
            for record in records:
                begins, ends = ends, records.line_num + 1
                if not record and width > 1:  # an empty line
                    continue
                rows += 1
                if len(record) != width and (record or width > 1) and len(faults) <= _MOST_FAULTS:
                    count = f"{len(record)} cell{'s' * (len(record) != 1)}"
                    faults.append(
                        f"{self.path}:{begins}: row {rows} has {count} and the head {width}; "
                        f"mend the line: a cell that holds {self.delimiter!r} or a line break stands in quotes"
                    )
        if faults:
            raise UserError(first_lines(faults, _MOST_FAULTS, f"{self.path}: and more lines like these"))
        return rows

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        text = pa.string()
        options = {
            "read_options": pa.csv.ReadOptions(block_size=_BLOCK, encoding=self.reading.encoding),
            "parse_options": pa.csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, ignore_empty_lines=len(self.names) > 1
            ),
            "convert_options": pa.csv.ConvertOptions(
                strings_can_be_null=False,
                null_values=[],
                column_types=dict.fromkeys(names, text),
                include_columns=names,
            ),
        }
        try:
            with pa.input_stream(str(self.path), compression="detect") as stream:
                if not len(self):  # without rows, Arrow finds columns of no type
                    return
                for batch in pa.csv.open_csv(stream, **options):
                    for start, stop in pieces(batch.num_rows, size):
                        columns = batch.slice(start, stop - start).columns
                        yield Rows(dict(zip(names, columns, strict=True)), self.missing)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise unreadable(self.path, error) from error

    # Python's reader.

    @contextlib.contextmanager
    def _records(self, delimiter: str) -> Iterator[Any]:  # of csv.reader, whose type has no name
        """The records of the file. An error of the reader becomes a `UserError` that names its line."""
        records = None
        before = csv.field_size_limit(_LONGEST_CELL)
        try:
            with self._text("") as text:
                records = csv.reader(text, delimiter=delimiter, strict=True)
                yield records
        except UnicodeError as error:
            raise UserError(self._not_text(error)) from error
        except csv.Error as error:
            raise UserError(self._broken(error, records.line_num if records else 1, delimiter)) from error
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error
        finally:
            csv.field_size_limit(before)

    def _broken(self, error: csv.Error, line: int, delimiter: str) -> str:
        if "unexpected end of data" in str(error):
            return (
                f"{self.path}:{self._last_record(delimiter)}: a quote in the row that begins here is never closed; "
                "the file is cut off, or the quote must be doubled or removed"
            )
        if "field larger" in str(error):
            most = f"{_LONGEST_CELL / 1e6:.0f} MB"
            return f"{self.path}:{line}: a cell is longer than {most}, or its quote is never closed; mend the line"
        if "expected after" in str(error):
            return f'{self.path}:{line}: text follows a closing quote; write a quote within quotes twice, as ""'
        return f"{self.path}:{line}: {error}; mend the line"

    def _last_record(self, delimiter: str) -> int:
        """The line in which the last record begins."""
        with self._text("") as text:
            records, begins = csv.reader(text, delimiter=delimiter, strict=True), 1
            with contextlib.suppress(csv.Error):
                for _ in records:
                    begins = records.line_num + 1
        return begins
