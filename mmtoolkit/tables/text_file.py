"""Tables in files of text, packed or not, in any encoding."""

from __future__ import annotations

import codecs
import gzip
import io

from mmtoolkit.tables.table_file import TableFile

MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # before UTF-16, whose mark it begins with
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Encodings that a file may name by its first bytes."""


class TextFile(TableFile):
    """A table in a file of text."""

    def _text(self, newline: str) -> io.TextIOWrapper:
        """The text in its encoding, without a byte order mark; `newline` as `open` takes it."""
        return io.TextIOWrapper(self._bytes(), _without_mark(self.reading.encoding), newline=newline)

    def _bytes(self) -> io.BufferedReader:
        return io.BufferedReader(gzip.open(self.path)) if self.path.suffix == ".gz" else self.path.open("rb")

    def _not_text(self, error: UnicodeError) -> str:
        """Where the text is not of its encoding, and what it may be."""
        encoding = self.reading.encoding
        with self._bytes() as file:
            start = file.peek(4)
            for other, marks in MARKS.items():
                if start.startswith(marks):
                    said = f"is not {encoding} text but {other.upper()}, as its first bytes say"
                    return f"{self.path}: {said}; give the encoding {other}"
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeError as fault:
                    byte = f"byte {fault.start + 1} of the line, " if isinstance(fault, UnicodeDecodeError) else ""
                    remedy = "save it as UTF-8, or give its encoding, such as cp1252"
                    return f"{self.path}:{number}: is not {encoding} text ({byte}{line[:20]!r}); {remedy}"
        return f"{self.path}: is not {encoding} text ({error}); save it as UTF-8, or give its encoding"


def _without_mark(encoding: str) -> str:
    """The same encoding, with a byte order mark at the front left out."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
