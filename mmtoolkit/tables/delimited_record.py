"""Replaces cells in the text of a record of delimited text; every other character stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping


class RecordText:
    """The texts of the records of a table.

    Python's reader and Arrow cut a record in the same way: a quote opens a cell only at its start, two quotes within
    quotes are one, and all other quotes are letters.

    Args:
        delimiter: the character between cells.
        quote: the character around cells that hold a delimiter, a quote or a line break.
    """

    def __init__(self, delimiter: str, quote: str) -> None:
        self.delimiter, self.quote = delimiter, quote
        quote_, delimiter_ = re.escape(quote), re.escape(delimiter)
        self._in_quotes = re.compile(f"[^{quote_}]*(?:{quote_}{quote_}[^{quote_}]*)*")
        self._special = re.compile(f"[{quote_}{delimiter_}\r\n]")

    def records(self, lines: Iterable[str], keep_empty: bool) -> Iterator[str]:
        """The texts of the records in some lines: each with its line end and the empty lines after it.

        Args:
            lines: with their ends; the first begins a record.
            keep_empty: whether an empty line is a record, as it is where there is one column.
        """
        text, opened = "", False
        for line in lines:
            if opened:
                text += line
            elif text and (keep_empty or line not in ("\n", "\r\n", "\r")):
                yield text
                text = line
            else:
                text += line
            if opened or self.quote in line:
                opened = self._ends_in_quotes(line, opened)
        if text:
            yield text

    def with_cells(self, text: str, cells: Mapping[int, str]) -> str:
        """Replace the cells at some places. A new cell has quotes if it needs them, or if the old one has them."""
        body = text.rstrip("\r\n")
        fields = self._fields(body)
        for place, cell in cells.items():
            fields[place] = self.quoted(cell, fields[place].startswith(self.quote))
        return self.delimiter.join(fields) + text[len(body) :]

    def with_more(self, text: str, more: str) -> str:
        """Add the text of more cells to the end of a record."""
        body = text.rstrip("\r\n")
        return f"{body}{self.delimiter}{more}{text[len(body) :]}"

    def quoted(self, cell: str, always: bool = False) -> str:
        """The text of a cell."""
        if not always and not self._special.search(cell):
            return cell
        return f"{self.quote}{cell.replace(self.quote, 2 * self.quote)}{self.quote}"

    def _fields(self, body: str) -> list[str]:
        """The texts of the cells of a record without its line end."""
        if self.quote not in body:
            return body.split(self.delimiter)
        fields: list[str] = []
        start = 0
        while True:
            place = start
            if body.startswith(self.quote, start):
                place = self._closing(body, start + 1)
            end = body.find(self.delimiter, place)
            if end < 0:
                return [*fields, body[start:]]
            fields.append(body[start:end])
            start = end + 1

    def _closing(self, text: str, start: int) -> int:
        """The place of the quote that closes a cell; the end of the text if none does."""
        match = self._in_quotes.match(text, start)
        return match.end() if match else len(text)

    def _ends_in_quotes(self, line: str, opened: bool) -> bool:
        """Whether a line ends within quotes, by whether it begins there."""
        place = 0
        if not opened:
            if not line.startswith(self.quote):
                place = line.find(self.delimiter + self.quote)
                if place < 0:
                    return False
                place += 1
            place += 1
        while True:
            closing = self._closing(line, place)
            if closing == len(line):
                return True
            place = line.find(self.delimiter + self.quote, closing)
            if place < 0:
                return False
            place += 2
