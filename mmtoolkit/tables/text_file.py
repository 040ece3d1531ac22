"""Tables in text files, compressed or not, in any encoding."""

from __future__ import annotations

import codecs
import gzip
import io

from mmtoolkit.tables.table_file import TableFile

MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # comes first: it begins with the mark of UTF-16
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Encoding -> the byte order marks at the start of its files."""


class TextFile(TableFile):
    """A table in a text file."""

    def _text(self, newline: str) -> io.TextIOWrapper:
        """The text in its encoding, without a byte order mark; `newline` as `open` takes it."""
        return io.TextIOWrapper(self._bytes(), _without_mark(self.reading.encoding), newline=newline)

    def _bytes(self) -> io.BufferedReader:
        return io.BufferedReader(gzip.open(self.path)) if self.path.suffix == ".gz" else self.path.open("rb")

    def _not_text(self, error: UnicodeError) -> str:
        """The error of text in another encoding: its line, and the encoding that it may have."""
        encoding = self.reading.encoding
        with self._bytes() as file:
            start = file.peek(4)
            for other, marks in MARKS.items():
                if start.startswith(marks):
                    fault = f"is not {encoding} text but {other.upper()}, as its first bytes show"
                    return f"{self.path}: {fault}; give the encoding {other}"
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeError as at:
                    byte = f"byte {at.start + 1} of the line, " if isinstance(at, UnicodeDecodeError) else ""
                    remedy = "save it as UTF-8, or give its encoding, such as cp1252"
                    return f"{self.path}:{number}: is not {encoding} text ({byte}{line[:20]!r}); {remedy}"
        return f"{self.path}: is not {encoding} text ({error}); save it as UTF-8, or give its encoding"


def _without_mark(encoding: str) -> str:
    """The same encoding, which also skips a byte order mark of UTF-8."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
