"""Replaces cells in the XML of a sheet of Excel; every other byte stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from xml.parsers import expat
from xml.sax.saxutils import escape

_SPANS = re.compile(rb'\s+spans="[^"]*"')
_TAG = re.compile(rb"""(?:[^>"']|"[^"]*"|'[^']*')*>""")


@dataclass(frozen=True)
class NewCell:
    """A cell to write.

    Attributes:
        kind: n for a number, b for yes or no, inlineStr for a text.
        content: its value.
        like: row and column of the cell whose style it takes if it has none.
        restyled: whether it takes that style in any case, as a date does, which has no form without one.
    """

    kind: str
    content: str
    like: tuple[int, int]
    restyled: bool = False


@dataclass
class _Element:
    """An element of the XML.

    Attributes:
        number: of the row or column, from 1.
        start: the place of its first byte.
        inner: the place after its start tag.
        close: the place of its end tag, or its end if it has none.
        end: the place after it.
        empty: whether it has no end tag.
        style: the number of its style, as XML has it; empty if it has none.
        cells: the cells of a row.
    """

    number: int
    start: int
    inner: int = 0
    close: int = 0
    end: int = 0
    empty: bool = False
    style: str = ""
    cells: list[_Element] = field(default_factory=list)


class _Rows:
    """The rows of a sheet and their cells, with their places in the XML."""

    def __init__(self, text: bytes) -> None:
        self.rows: list[_Element] = []
        self.prefix = ""
        self.body = 0
        """The place after the last row."""
        self._text, self._inside = text, False
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.Parse(text, True)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        at, (prefix, _, name) = self._parser.CurrentByteIndex, tag.rpartition(":")
        if name == "sheetData":
            self._inside, self.prefix = True, f"{prefix}:" if prefix else ""
        elif name == "row" and self._inside:
            before = self.rows[-1].number if self.rows else 0
            self.rows.append(_Element(int(attributes.get("r", before + 1)), at, self._after_tag(at)))
        elif name == "c" and self._inside:
            cells = self.rows[-1].cells
            number = column_number(attributes["r"]) if "r" in attributes else cells[-1].number + 1 if cells else 1
            cells.append(_Element(number, at, self._after_tag(at), style=attributes.get("s", "")))

    def _end(self, tag: str) -> None:
        at, name = self._parser.CurrentByteIndex, tag.rpartition(":")[2]
        if name == "sheetData":
            self._inside, self.body = False, at
        elif name in ("row", "c") and self._inside:
            element = self.rows[-1] if name == "row" else self.rows[-1].cells[-1]
            element.empty = self._text[element.inner - 2 : element.inner] == b"/>"
            element.close = element.inner if element.empty else at
            element.end = element.inner if element.empty else self._after_tag(at)

    def _after_tag(self, at: int) -> int:
        match = _TAG.match(self._text, at)
        return match.end() if match else at

    def style(self, row: int, column: int) -> str:
        """The style of a cell; empty if it has none."""
        return self._styles.get((row, column), "")

    @cached_property
    def _styles(self) -> dict[tuple[int, int], str]:
        return {(row.number, cell.number): cell.style for row in self.rows for cell in row.cells if cell.style}


def with_cells(text: bytes, cells: Mapping[int, Mapping[int, NewCell]]) -> bytes:
    """Replace or add cells of a sheet.

    Args:
        text: the XML of the sheet, in UTF-8.
        cells: row -> column -> the new cell; both count from 1.

    Raises:
        ValueError: the XML is damaged.
    """
    if text[:1] not in (b"<", b"\xef"):
        raise ValueError("the sheet is not UTF-8")
    try:
        sheet = _Rows(text)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"the sheet is damaged: {error}") from error
    by_number = {row.number: row for row in sheet.rows}
    edits: list[tuple[int, int, bytes]] = []
    for number in sorted(cells):
        new = {column: _cell(sheet, number, column, cell) for column, cell in sorted(cells[number].items())}
        if number in by_number:
            edits += _edits_of(text, sheet, by_number[number], new)
        else:
            after = next((row.start for row in sheet.rows if row.number > number), sheet.body)
            edits.append((after, after, _row(sheet, f'<{sheet.prefix}row r="{number}"'.encode(), new)))
    parts, rest = [], 0
    for start, end, content in sorted(edits, key=lambda edit: edit[:2]):  # several at one place keep their order
        parts += [text[rest:start], content]
        rest = end
    return b"".join([*parts, text[rest:]])


def _edits_of(text: bytes, sheet: _Rows, row: _Element, new: Mapping[int, bytes]) -> list[tuple[int, int, bytes]]:
    """(start, end, bytes) to put in place of the bytes from start to end of a row."""
    begin = _SPANS.sub(b"", text[row.start : row.inner])
    if row.empty:
        return [(row.start, row.end, _row(sheet, begin.removesuffix(b"/>"), new))]
    old = {cell.number: cell for cell in row.cells}
    edits = [(row.start, row.inner, begin)] if new.keys() - old.keys() else []
    for column, content in new.items():
        if column in old:
            edits.append((old[column].start, old[column].end, content))
        else:
            after = next((cell.start for cell in row.cells if cell.number > column), row.close)
            edits.append((after, after, content))
    return edits


def _row(sheet: _Rows, begin: bytes, new: Mapping[int, bytes]) -> bytes:
    return b"".join([begin, b">", *new.values(), f"</{sheet.prefix}row>".encode()])


def _cell(sheet: _Rows, row: int, column: int, cell: NewCell) -> bytes:
    like, own = sheet.style(*cell.like), sheet.style(row, column)
    style, prefix = (like or own) if cell.restyled else (own or like), sheet.prefix
    styled = f' s="{style}"' if style else ""
    if cell.kind == "inlineStr":
        text = escape(cell.content, {"\r": "&#13;"})
        inner = f'<{prefix}is><{prefix}t xml:space="preserve">{text}</{prefix}t></{prefix}is>'
    else:
        inner = f"<{prefix}v>{cell.content}</{prefix}v>"
    name = f"{column_letters(column)}{row}"
    return f'<{prefix}c r="{name}"{styled} t="{cell.kind}">{inner}</{prefix}c>'.encode()


def column_number(name: str) -> int:
    """The number of a column, from 1, in the name of a cell such as AB12."""
    number = 0
    for letter in name.rstrip("0123456789").replace("$", ""):
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """The letters of a column, such as AB."""
    letters = ""
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters
