"""Tables in text files, compressed or not, in any encoding."""

from __future__ import annotations

import codecs
import io
import sys
from functools import cached_property

from mmtoolkit.tables.compression import read_bytes
from mmtoolkit.tables.table_file import TableFile, unreadable

_MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-32-le": codecs.BOM_UTF32_LE,  # comes before UTF-16, whose mark it begins with
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}
_MARK = "\ufeff"
_START = 1024
_PIECE = 1 << 20
_UTF8 = ("utf-8", "utf-8-sig")
_WIDE = ("utf-16", "utf-32")


class TextFile(TableFile):
    """A table in a text file."""

    @cached_property
    def encoding(self) -> str:
        """The encoding of the text, which never writes a byte order mark.

        It is the encoding given, unless the file shows that it has another: by its byte order mark, or because it is
        valid UTF-8 with letters beyond ASCII, which text in another encoding hardly ever is.
        """
        if self._marked is not None:
            return self._marked
        codec = codecs.lookup(self.reading.encoding).name
        if codec in _UTF8 or (_may_be_utf8(codec) and self._is_utf8(codec)):
            return "utf-8"
        order = "le" if sys.byteorder == "little" else "be"
        return f"{codec}-{order}" if codec in _WIDE else self.reading.encoding

    @cached_property
    def mark(self) -> str:
        """The byte order mark before the text, or nothing."""
        return "" if self._marked is None else _MARK

    @property
    def remarks(self) -> list[str]:
        """How the file is read, where its owner may not expect it."""
        given, real = (codecs.lookup(encoding).name for encoding in (self.reading.encoding, self.encoding))
        if given in _UTF8 or real.startswith(given):
            return []
        sign = "its byte order mark shows" if self.mark else "its letters show"
        return [f"is read as {self.encoding}, as {sign}, not as {self.reading.encoding}"]

    @cached_property
    def _start(self) -> bytes:
        try:
            with self._bytes() as file:
                return file.peek(_START)[:_START]
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def _marked(self) -> str | None:
        """The encoding that the byte order mark shows."""
        return next((codec for codec, mark in _MARKS.items() if self._start.startswith(mark)), None)

    def _is_utf8(self, codec: str) -> bool:
        """Whether all bytes are UTF-8 text, and as ASCII would not do for text in another encoding."""
        decoder, plain = codecs.getincrementaldecoder("utf-8")(), True
        try:
            with self._bytes() as file:
                while piece := file.read(_PIECE):
                    text = decoder.decode(piece)
                    plain = plain and text.isascii()
                    if "\0" in text:
                        return False
                decoder.decode(b"", True)
        except UnicodeError:
            return False
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error
        return not plain or not _has_ascii(codec)

    def _text(self, newline: str) -> io.TextIOWrapper:
        """The text without its byte order mark; `newline` as `open` takes it."""
        encoding, file = self.encoding, self._bytes()
        file.read(len(self.mark.encode(encoding)))
        return io.TextIOWrapper(file, encoding, newline=newline)

    def _bytes(self) -> io.BufferedReader:
        return read_bytes(self.path)

    def _not_text(self, error: UnicodeError) -> str:
        """The error of text in another encoding: its line."""
        fault = f"is not {self.encoding} text"
        decoder = codecs.getincrementaldecoder(self.encoding)()
        with self._bytes() as file:
            for number, line in enumerate(file, 1):
                try:
                    decoder.decode(line)
                except UnicodeError as at:
                    byte = f"byte {at.start + 1} of the line, " if isinstance(at, UnicodeDecodeError) else ""
                    remedy = "save it as UTF-8, or give its encoding, such as cp1252"
                    return f"{self.path}:{number}: {fault} ({byte}{line[:20]!r}); {remedy}"
        return f"{self.path}: {fault} ({error}); save it as UTF-8, or give its encoding"


def _has_ascii(codec: str) -> bool:
    return b",".decode(codec, "replace") == ","


def _may_be_utf8(codec: str) -> bool:
    """Whether text in this encoding looks so unlike UTF-8 that valid UTF-8 is none.

    This holds if every byte is a letter of its own, as in cp1252, and if every letter has several bytes, as in UTF-16.
    """
    pairs = (bytes([high, low]) for high in range(0x80, 0x100) for low in (0x40, 0x80, 0xA1, 0xBF))
    return not _has_ascii(codec) or all(len(pair.decode(codec, "replace")) == 2 for pair in pairs)
