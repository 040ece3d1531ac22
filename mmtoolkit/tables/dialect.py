"""Judges from the first lines of delimited text what separates its cells and where its head is."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import shorten
from mmtoolkit.tables.reading import MISSING

DELIMITERS = (",", ";", "\t", "|")
LONGEST_CELL = 1 << 22
MOST_LINES, MOST_CHARACTERS = 1000, 1 << 20
_MOST_SCORED = 200  # records
_MOST_TITLES = 20  # lines above the head
_CLEAR = 0.1  # difference of two scores
_LONGEST_LINE = 60  # characters, in an error

_NUMBER = re.compile(
    r"\s*[-+−]?(?:\d+(?:[.,]\d*)?|[.,]\d+|\d{1,3}(?:[ .'’]\d{3})+(?:,\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?)"
    r"(?:[eE][-+]?\d+)?\s*%?\s*"
)
_EXCEL = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """The first lines of a text.

    Attributes:
        lines: with their ends.
        whole: whether the text ends after them.
    """

    lines: Sequence[str]
    whole: bool


@dataclass(frozen=True)
class Dialect:
    """How a text holds a table.

    Attributes:
        delimiter: the character between cells.
        quote: the character around cells that hold a delimiter or a line break.
        names: the columns; empty if the text has no head where it should.
        head: the line with the names, from 1; 0 if no line has them.
        above: how many lines are above the first row: those that are skipped, and the head.
        head_in_quotes: whether the head begins with a quote.
    """

    delimiter: str
    quote: str
    names: tuple[str, ...]
    head: int
    above: int
    head_in_quotes: bool = False


def is_number(text: str) -> bool:
    """Whether a text is a number, perhaps with a decimal comma, a sign between thousands, or a per cent sign."""
    return _NUMBER.fullmatch(text) is not None


def excel_delimiter(line: str) -> str | None:
    """The delimiter that the line `sep=;` names, which Excel reads and which is no head."""
    match = _EXCEL.fullmatch(line)
    return match[1] if match else None


@contextlib.contextmanager
def long_cells() -> Iterator[None]:
    """Let Python's reader read cells as long as those that Arrow reads."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def judge(sample: Sample, called: str, delimiters: Sequence[str], quote: str | None, head: int | None) -> Dialect:
    """Judge the dialect of a text.

    Args:
        sample: its first lines.
        called: its name, for errors.
        delimiters: those to choose among.
        quote: the quote; None to judge it.
        head: the line with the names, from 1, or 0 if there is none; None to judge it.

    Raises:
        UserError: two delimiters cut the lines equally well.
    """
    layouts = [_with_quote(sample, delimiter, quote, head) for delimiter in delimiters]
    likely = [layout for layout in layouts if layout.likely]
    best = max((layout.score for layout in likely), default=0)
    likely = [layout for layout in likely if layout.score > best - _CLEAR]
    likely = [layout for layout in likely if layout.regular] or likely
    if len(likely) > 1:
        line = shorten(likely[0].last_line, _LONGEST_LINE)
        raise UserError(
            f"{called}: {' and '.join(repr(layout.delimiter) for layout in likely)} separate cells equally well in its "
            f"lines, such as {line!r}; give the delimiter"
        )
    in_head = [layout for layout in layouts if len(layout.head) > 1]
    one_column = [layout for layout in layouts if layout.is_column]
    return (likely or one_column or in_head or layouts)[0].dialect


@dataclass(frozen=True)
class _Record:
    """The cells of a record, and its first and last line, from 1."""

    cells: list[str]
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _Layout:
    """A sample as a delimiter and a quote cut it."""

    sample: Sample
    delimiter: str
    quote: str
    asked: int | None  # the line of the head

    @property
    def lines(self) -> Sequence[str]:
        return self.sample.lines

    @cached_property
    def _skipped(self) -> int:
        if self.asked:
            return self.asked - 1
        return int(bool(self.lines) and excel_delimiter(self.lines[0]) is not None)

    @cached_property
    def _read(self) -> tuple[list[_Record], bool]:
        """The records, and whether its quotes fit the text."""
        lines = iter(self.lines[self._skipped :])
        reader = csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=True)
        records, last = [], self._skipped
        try:
            with long_cells():
                for cells in reader:
                    first, last = last + 1, self._skipped + reader.line_num
                    records.append(_Record(cells, first, last))
        except csv.Error as error:
            return records, "unexpected end" in str(error) and not self.sample.whole
        return records, True

    @property
    def records(self) -> list[_Record]:
        return self._read[0]

    @cached_property
    def width(self) -> int:
        """The number of cells that most rows have."""
        counts = Counter(len(record.cells) for record in self.records if record.cells)
        return max(counts, key=lambda width: (counts[width], width), default=0)

    @cached_property
    def _place(self) -> int:
        """The place of the head among the records."""
        if self.asked is not None or not self.records or self.width < 2:
            return 0
        place = next((n for n, record in enumerate(self.records) if not self._is_title(record.cells)), 0)
        names = self.records[place].cells
        named = len(names) == self.width == len({*names} - {*MISSING})
        if place > _MOST_TITLES or not named or any(is_number(name) or not name.strip() for name in names):
            return 0
        return place if self._are_sure_titles(self.records[:place]) or self._above_numbers(place) else 0

    def _is_title(self, cells: Sequence[str]) -> bool:
        """Whether a line lacks names to be the head.

        A single name may lack in the head of three columns or more: pandas and R write none for the names of rows.
        """
        lacks = self.width - sum(map(bool, map(str.strip, cells)))
        return lacks > 1 or (lacks == 1 and self.width == 2)

    def _are_sure_titles(self, records: Sequence[_Record]) -> bool:
        """Whether some lines are titles even above texts, and not the names of one column or of all but one."""
        texts = [[cell for cell in record.cells if cell.strip()] for record in records]
        no_names = [len(record.cells) > 1 or len(" ".join(record.cells).split()) > 1 for record in records]
        alone = all(len(cells) < 2 for cells in texts)
        return alone and (not all(texts) or (all(no_names) and self.width > 2))

    def _above_numbers(self, place: int) -> bool:
        """Whether all cells of a column below a place are numbers."""
        below = [record.cells for record in self.records[place + 1 :] if len(record.cells) == self.width]
        columns = ([cell for cell in column if cell.strip()] for column in zip(*below, strict=True))
        return any(len(column) > 1 and all(map(is_number, column)) for column in columns)

    @cached_property
    def rows(self) -> list[_Record]:
        """The records below the head that are no empty lines."""
        first = 0 if self.asked == 0 else self._place + 1
        return [record for record in self.records[first:] if record.cells]

    @property
    def head(self) -> list[str]:
        """The cells of the head; of the first row, if there is no head."""
        return self.records[self._place].cells if self.records else []

    @property
    def last_line(self) -> str:
        """The first line of the last record."""
        return self.lines[self.records[-1].first - 1].rstrip("\r\n")

    @cached_property
    def regular(self) -> bool:
        """Whether head and rows have equal cells, two or more."""
        widths = {len(record.cells) for record in self.rows} | {len(self.head)}
        return self._read[1] and widths == {self.width} and self.width > 1

    @cached_property
    def likely(self) -> bool:
        """Whether the delimiter cuts the head, and most rows into equal cells."""
        equal = sum(len(record.cells) == self.width for record in self.rows)
        cuts = self.width > 1 and 2 * equal >= len(self.rows) and len(self.head) > 1
        return self._read[1] and cuts

    @cached_property
    def head_in_quotes(self) -> bool:
        """Whether the head begins with a quote."""
        return bool(self.records) and self.lines[self.records[self._place].first - 1].startswith(self.quote)

    @cached_property
    def is_column(self) -> bool:
        """Whether the text is one column whose cells make sense: it may have a decimal comma."""
        if len(self.head) != 1 or not (self.head_in_quotes or makes_sense(self.head[0])):
            return False
        cells = [record.cells[0] for record in self.rows if len(record.cells) == 1]
        counted = [cell.split(",")[0] for cell in cells] == [str(row + 1) for row in range(len(cells))]  # rows of R
        return len(cells) == len(self.rows) and not counted and all(map(makes_sense, cells))

    @cached_property
    def score(self) -> float:
        """The share of cells that make sense: numbers, and texts without another delimiter."""
        others = [other for other in DELIMITERS if other != self.delimiter]
        cells = [cell for record in self._shown for cell in record.cells]
        return sum(makes_sense(cell, others) for cell in cells) / max(len(cells), 1)

    @property
    def _shown(self) -> list[_Record]:
        head = [] if self.asked == 0 else self.records[self._place : self._place + 1]
        return [*head, *self.rows[:_MOST_SCORED]]

    @cached_property
    def in_quotes(self) -> bool:
        """Whether the quote of a layout without double quotes stands around all cells of a column."""
        rows = [record.cells for record in self.rows if len(record.cells) == self.width]
        columns = [[cell for cell in column if cell] for column in zip(*rows, strict=True)]
        return any(len(column) > 1 and all(map(_is_quoted, column)) for column in columns)

    @property
    def dialect(self) -> Dialect:
        """The dialect."""
        if self.asked == 0:
            names = tuple(f"column_{place + 1}" for place in range(len(self.head)))
            return Dialect(self.delimiter, self.quote, names, 0, self._skipped)
        if not self.records:
            return Dialect(self.delimiter, self.quote, (), self._skipped + 1, self._skipped)
        head = self.records[self._place]
        return Dialect(self.delimiter, self.quote, tuple(head.cells), head.first, head.last, self.head_in_quotes)


def _with_quote(sample: Sample, delimiter: str, quote: str | None, head: int | None) -> _Layout:
    """The sample as a delimiter cuts it, with single quotes if they explain more and no cell is in double quotes."""
    double = _Layout(sample, delimiter, quote or '"', head)
    if quote is not None or not any(line.startswith("'") or f"{delimiter}'" in line for line in sample.lines):
        return double
    single = _Layout(sample, delimiter, "'", head)
    has_double = any(cell.startswith('"') for record in single.records for cell in record.cells)
    explains = single.regular and (not double.regular or double.in_quotes)
    return single if explains and not has_double else double


def makes_sense(cell: str, others: Sequence[str] = DELIMITERS) -> bool:
    """Whether a cell is a number, or a text without a delimiter as `others` are; in prose, a comma has a space."""
    if is_number(cell):
        return True
    text = cell.replace(", ", "")
    return not cell.startswith(" ") and not any(other in text for other in others)


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == "'"
