"""A table in a file, read a piece at a time."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.tables.reading import Format, Reading
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Rows


class TableFile(RowTable):
    """A table in a file. Each pass reads the rows again, never all at once.

    Args:
        path: the file.
        reading: how to read it.

    Raises:
        UserError: here or during a pass: the file cannot be read, two columns have one name, or a row does not fit.
            The error names the file, its line or row, the fault and the remedy.
    """

    format: ClassVar[Format]
    """The name of the format."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self.reading = path, reading
        self._identity = self._stat()
        if duplicate := next((name for name in self.names if self.names.count(name) > 1), None):
            raise UserError(f"{path}: two columns are named {duplicate!r}; rename one")

    @property
    def called(self) -> str:
        """Its path."""
        return str(self.path)

    def option(self, key: str, value: str) -> str:
        """An option of the command line."""
        return f"--{key.replace('_', '-')} {value}"

    @property
    def missing(self) -> tuple[str, ...]:
        """Texts that mean a missing cell."""
        return self.reading.signs(self.has_null)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self._read_names())

    @cached_property
    def _length(self) -> int:
        return self._count()

    def __len__(self) -> int:
        return self._length

    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows in order, in pieces of up to `size` rows, as the file holds them.

        Args:
            size: the most rows in a piece.
            names: the columns to read; by default, all.
        """
        return self._checked(self._read(size, list(self.names if names is None else names)))

    def _checked(self, pieces: Iterator[Rows]) -> Iterator[Rows]:
        """The pieces that are not empty. Raise if the file changed meanwhile."""
        for rows in pieces:
            if len(rows):
                yield rows
        if self._stat() != self._identity:
            raise UserError(f"{self.path}: was changed while it was read; run the command again")

    def notes(self) -> Sequence[str]:
        """Lines about what was read of the file, such as one of its sheets."""
        return ()

    # A format defines these.

    @abstractmethod
    def _read_names(self) -> Sequence[str]:
        """The columns."""

    @abstractmethod
    def _count(self) -> int:
        """The number of rows."""

    @abstractmethod
    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        """Rows in order, in pieces of up to `size` rows; a piece may be empty."""

    def _stat(self) -> tuple[int, ...]:
        try:
            status = os.stat(self.path)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        return status.st_size, status.st_mtime_ns


def unreadable(path: Path, error: Exception) -> UserError:
    """The error of a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: there is no such file; correct the path")
    reason = getattr(error, "strerror", None) or error_text(error)
    return UserError(f"{path}: cannot be read: {reason}; check the file and its permissions")


def pieces(length: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of pieces of up to `size`."""
    for start in range(0, length, size):
        yield start, min(start + size, length)
