"""Reads tables of delimited text, such as CSV and TSV (RFC 4180)."""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines, shorten
from mmtoolkit.tables.compression import codec_of, unpacked
from mmtoolkit.tables.delimited_record import RecordText
from mmtoolkit.tables.dialect import (
    DELIMITERS,
    LONGEST_CELL,
    MOST_CHARACTERS,
    MOST_LINES,
    Dialect,
    Sample,
    excel_delimiter,
    judge,
    long_cells,
    makes_sense,
)
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import pieces, unreadable
from mmtoolkit.tables.text_file import TextFile

_BLOCK = 2 * LONGEST_CELL
_MOST_FAULTS = 5
_LONGEST_NAME = 60  # characters of a head in an error
# The first bytes of other formats, and what an error says of them.
_OTHER_FORMATS = {
    b"PAR1": "Parquet, not text; name it .parquet, or say format: parquet",
    b"ARROW1": "Arrow, not text; name it .arrow, or say format: arrow",
    b"PK\x03\x04": "a spreadsheet or a packed archive, not text; name a spreadsheet .xlsx, or export it as CSV",
    b"\xd0\xcf\x11\xe0": "an old or protected spreadsheet, not text; export it as .xlsx or CSV",
    b"\x1f\x8b": "gzip data, not text; name it .csv.gz",
    b"BZh91AY": "bzip2 data, not text; name it .csv.bz2",
    b"\x28\xb5\x2f\xfd": "Zstandard data, not text; name it .csv.zst",
}


class Delimited(TextFile):
    """Rows of text. Each cell is the string between two delimiters, without its quotes.

    Arrow reads the rows, some twenty times as fast as Python's reader. Python's reader checks the file once before:
    after a quote that is never closed, Arrow reads the rest of the file as one cell, and its errors name no line.
    """

    format = "csv"
    has_null = False

    @cached_property
    def dialect(self) -> Dialect:
        """What separates the cells, and where the head is."""
        self._check_start()
        reading, lines = self.reading, []
        with self._lines() as text:
            characters = 0
            for line in islice(text, MOST_LINES + (reading.head or 0)):
                lines.append(line)
                characters += len(line)
                if characters > MOST_CHARACTERS:
                    break
            whole = next(text, None) is None
        if reading.head and whole and len(lines) < reading.head:
            raise UserError(f"{self.path}: has no line {reading.head} to be the head; change the option head")
        sample = Sample(lines, whole)
        return judge(sample, str(self.path), self._delimiters(lines), reading.quote, reading.head)

    def _delimiters(self, lines: Sequence[str]) -> Sequence[str]:
        """The delimiters to choose among."""
        if self.reading.delimiter is not None:
            return [self.reading.delimiter]
        if lines and (delimiter := excel_delimiter(lines[0])):
            return [delimiter]
        return ["\t"] if tabbed(self.path) else DELIMITERS

    @property
    def has_usual_delimiter(self) -> bool:
        """Whether the delimiter is that of the file's ending, or there is nothing to separate."""
        return len(self.names) == 1 or self.dialect.delimiter == delimiter_for(self.path)

    @property
    def remarks(self) -> list[str]:
        """How the file is read, where its owner may not expect it."""
        head = self.dialect.head
        if self.reading.head is not None or head < 2:
            return super().remarks
        skipped = "line 1 is" if head == 2 else f"lines 1 to {head - 1} are"
        return [*super().remarks, f"the head is line {head}; {skipped} skipped"]

    @property
    def prologue(self) -> str:
        """The text above the first row, without a byte order mark."""
        return "".join(self._lines_above)

    @cached_property
    def _lines_above(self) -> list[str]:
        with self._lines() as text:
            lines = list(islice(text, self.dialect.above))
            empty = takewhile(lambda line: len(self.names) > 1 and not line.strip("\r\n"), text)
            return [*lines, *empty]

    @property
    def line_end(self) -> str:
        """The characters after the head, or after the first row if there is no head."""
        body = self.prologue.rstrip("\r\n")
        ends = self.prologue[len(body) :]
        if not ends:
            with self._lines() as text:
                line = next(text, "")
                ends = line[len(line.rstrip("\r\n")) :]
        return next((end for end in ("\r\n", "\n", "\r") if ends.startswith(end)), "\n")

    @property
    def record_text(self) -> RecordText:
        """Edits the text of records."""
        return RecordText(self.dialect.delimiter, self.dialect.quote)

    def _read_names(self) -> Sequence[str]:
        names, delimiter = self.dialect.names, self.dialect.delimiter
        if not names:
            with self._records(self.dialect.above) as records:
                next(iter(records), None)  # may raise what is wrong
            raise UserError(
                f"{self.path}: is empty, or its first line is; give it a head with the names of the columns"
            )
        other = next((other for other in DELIMITERS if other != delimiter and other in names[0]), None)
        if len(names) == 1 and other is not None and not self.dialect.head_in_quotes and not makes_sense(names[0]):
            raise UserError(
                f"{self.path}:{self.dialect.head}: {delimiter!r} separates nothing in the head "
                f"{shorten(names[0], _LONGEST_NAME)!r}; if {other!r} does, give that as the delimiter"
            )
        if duplicate := next((name for name, count in Counter(names).items() if count > 1), None):
            raise UserError(
                f"{self.path}:{self.dialect.head}: two columns are named {duplicate!r}; rename one, or say head: 0 if "
                "no line has names"
            )
        return names

    def _check_start(self) -> None:
        """Raise if the file does not begin like text."""
        start = self._start
        if fault := next((fault for mark, fault in _OTHER_FORMATS.items() if start.startswith(mark)), None):
            raise UserError(f"{self.path}: holds {fault}")
        in_bytes = b",".decode(self.encoding, "replace") == ","
        if in_bytes and 4 * start.count(0) > len(start):
            raise UserError(
                f"{self.path}: has many zero bytes, as UTF-16 text has; give its encoding, such as utf-16-le, or "
                "save it as UTF-8"
            )

    def _count(self) -> int:
        """The number of rows. It raises every fault of the text, with its line."""
        width, above, rows = len(self.names), self.dialect.above, 0
        faults: list[str] = []
        widths: Counter[tuple[int, bool]] = Counter()  # of rows that do not fit, and whether their last cell is empty
        with self._records(above) as records:
            begins, ends = 0, above + 1
            for record in records:
                begins, ends = ends, above + records.line_num + 1
                if not record and width > 1:  # an empty line
                    continue
                rows += 1
                if len(record) != width and (record or width > 1):
                    widths[len(record), not record[-1]] += 1
                    if len(faults) <= _MOST_FAULTS:
                        faults.append(self._fault_of_row(begins, rows, len(record)))
        counts = {count for count, _ in widths}
        if len(counts) == 1 and widths.total() == rows > 1:
            raise UserError(self._fault_of_head(rows, counts.pop(), all(last_empty for _, last_empty in widths)))
        if faults:
            raise UserError(first_lines(faults, _MOST_FAULTS, f"{self.path}: and more lines like these"))
        return rows

    def _fault_of_row(self, line: int, row: int, count: int) -> str:
        delimiter, names = self.dialect.delimiter, len(self.names)
        return (
            f"{self.path}:{line}: row {row} has {_cells(count)} and the head {names}; "
            f"mend the line: a cell that holds {delimiter!r} or a line break stands in quotes"
        )

    def _fault_of_head(self, rows: int, count: int, last_empty: bool) -> str:
        """The fault of a head that fits no row, when all rows have as many cells as each other."""
        delimiter, names = self.dialect.delimiter, len(self.names)
        fault = f"{self.path}:{self.dialect.head}: the head has {_cells(names)} and all {rows:,} rows have {count}"
        if count != names + 1:
            return f"{fault}; give the line of the head as the option head, or another delimiter than {delimiter!r}"
        if last_empty:
            remedy = f"add {delimiter!r} at the end of the head, or remove it from the rows"
            return f"{fault}, the last of them empty; {remedy}"
        return (
            f"{fault}; add the name that the head lacks, which is the first if R wrote the names of the rows, or give "
            "the line of the head as the option head"
        )

    def rows_with_lines(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """As `rows`, with the text of each row in `Rows.lines`."""
        return self._checked(self._read_with_lines(size, list(self.names if names is None else names)))

    def _read_with_lines(self, size: int, names: list[str]) -> Iterator[Rows]:
        with self._lines() as text:
            lines = islice(text, len(self._lines_above), None)
            records = self.record_text.records(lines, len(self.names) == 1)
            for rows in self._read(size, names):
                yield Rows(rows.raw, rows.missing, list(islice(records, len(rows))))

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        text, dialect = pa.string(), self.dialect
        options = {
            "read_options": pa.csv.ReadOptions(
                block_size=_BLOCK, encoding=self.encoding, column_names=self.names, skip_rows=dialect.above
            ),
            "parse_options": pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=True,
                ignore_empty_lines=len(self.names) > 1,
            ),
            "convert_options": pa.csv.ConvertOptions(
                strings_can_be_null=False,
                null_values=[],
                column_types=dict.fromkeys(names, text),
                include_columns=names,
            ),
        }
        try:
            with pa.input_stream(str(self.path), compression=codec_of(self.path)) as stream:
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
    def _lines(self) -> Iterator[Iterator[str]]:
        """The lines of the text, with their ends."""
        try:
            with self._text("") as text:
                yield iter(text)
        except UnicodeError as error:
            raise UserError(self._not_text(error)) from error
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error

    @contextlib.contextmanager
    def _records(self, above: int) -> Iterator[Any]:  # of csv.reader, whose type has no name
        """The records below some lines. An error of the reader becomes a `UserError` that names its line."""
        records = None
        try:
            with self._lines() as text, long_cells():
                records = self._reader(islice(text, above, None))
                yield records
        except csv.Error as error:
            raise UserError(self._broken(error, above, records.line_num if records else 1)) from error

    def _reader(self, lines: Iterator[str]) -> Any:
        return csv.reader(lines, delimiter=self.dialect.delimiter, quotechar=self.dialect.quote, strict=True)

    def _broken(self, error: csv.Error, above: int, line: int) -> str:
        quote = self.dialect.quote
        if "unexpected end of data" in str(error):
            return (
                f"{self.path}:{self._last_record(above)}: a quote in the row that begins here is never closed; "
                "the file is cut off, or the quote must be doubled or removed"
            )
        where = f"{self.path}:{above + line}"
        if "field larger" in str(error):
            most = f"{LONGEST_CELL / 1e6:.0f} MB"
            return f"{where}: a cell is longer than {most}, or its quote is never closed; mend the line"
        if "expected after" in str(error):
            return f"{where}: text follows a closing quote; write a quote within quotes twice, as {2 * quote}"
        return f"{where}: {error}; mend the line"

    def _last_record(self, above: int) -> int:
        """The line in which the last record begins."""
        with self._lines() as text, long_cells():
            records, begins = self._reader(islice(text, above, None)), above + 1
            with contextlib.suppress(csv.Error):
                for _ in records:
                    begins = above + records.line_num + 1
        return begins


def tabbed(path: Path) -> bool:
    """Whether the ending of a file asks for tabs."""
    return unpacked(path).suffix.lower() in (".tsv", ".tab")


def delimiter_for(path: Path) -> str:
    """The delimiter that the ending of a file asks for."""
    return "\t" if tabbed(path) else ","


def _cells(count: int) -> str:
    return f"{count} cell{'s' * (count != 1)}"
