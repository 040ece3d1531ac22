"""A table in a file, read some rows at a time."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.tables.reading import Reading
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Rows


class TableFile(RowTable):
    """A table in a file: its rows are read anew each time, never all at once.

    Args:
        path: the file.
        reading: how it is read.

    Raises:
        UserError: here or while it is read: the file cannot be read, two columns have one name, or a row does not fit;
            the line names the file, its line or row, the fault and the remedy.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self.reading = path, reading
        self._identity = self._stat()
        if twice := next((name for name in self.names if self.names.count(name) > 1), None):
            raise UserError(f"{path}: two columns are named {twice!r}; rename one")

    @property
    def called(self) -> str:
        """Its path."""
        return str(self.path)

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
        """All rows in order, up to `size` at a time, as they stand in the file.

        Args:
            size: of a piece.
            names: the columns that are wanted; all where left out.
        """
        for rows in self._read(size, list(self.names if names is None else names)):
            if len(rows):
                yield rows
        if self._stat() != self._identity:
            raise UserError(f"{self.path}: was changed while it was read; run the command again")

    # What a format defines.

    @abstractmethod
    def _read_names(self) -> Sequence[str]:
        """The columns."""

    @abstractmethod
    def _count(self) -> int:
        """The number of rows."""

    @abstractmethod
    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        """Rows in order, up to `size` at a time; a piece may be empty."""

    def _stat(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        if os.path.isdir(self.path):
            raise UserError(f"{self.path}: is a folder; give the table's file")
        return found.st_size, found.st_mtime_ns


def unreadable(path: Path, error: Exception) -> UserError:
    """What is told of a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: there is no such file; correct the path")
    reason = getattr(error, "strerror", None) or error_text(error)
    return UserError(f"{path}: cannot be read: {reason}; check the file and its permissions")


def row_of(place: int) -> str:
    """How a row is named to a user, from its place: the first under the head is row 1."""
    return f"row {place + 1}"


def pieces(length: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of pieces of up to `size`."""
    for start in range(0, length, size):
        yield start, min(start + size, length)
