"""Opens compressed files by their endings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""Ending -> the codec of its files."""
_BLOCK = 1 << 16


def codec_of(path: Path) -> str | None:
    """The codec that the ending of a file names; None for other endings."""
    return CODECS.get(path.suffix.lower())


def unpacked(path: Path) -> Path:
    """The path without the ending of a compressed file."""
    return path.with_name(path.stem) if codec_of(path) and path.stem else path


def read_bytes(path: Path) -> io.BufferedReader:
    """Open a file for reading its bytes, decompressed if its ending names a codec.

    Reading raises an `OSError` if the compressed data is damaged or cut off.
    """
    codec = codec_of(path)
    if codec is None:
        return path.open("rb")
    return io.BufferedReader(_Unpacking(pa.CompressedInputStream(pa.OSFile(str(path)), codec)), _BLOCK)


def write_bytes(new: Path, out: Path) -> IO[bytes]:
    """Open the file `new` for writing; it is compressed if the ending of `out` names a codec."""
    codec = codec_of(out)
    if codec is None:
        return new.open("wb")
    return io.BufferedWriter(pa.CompressedOutputStream(pa.OSFile(str(new), "wb"), codec), _BLOCK)


class _Unpacking(io.RawIOBase):
    """A stream of Arrow whose errors are all an `OSError`, as those of other files are."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer; return how many."""
        try:
            data = self.stream.read(len(buffer))
        except pa.ArrowException as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
        super().close()
