"""The interface of every writer of tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.tables.rows import Raw

Changed: TypeAlias = Mapping[str, Collection[int]]
NOTHING: Changed = MappingProxyType({})


class TableWriter(ABC):
    """Writes rows to a new table; get one from `new_table`.

    Attributes:
        names: the columns.
        edits: whether it edits `lines`, the text of the rows, where it gets them.
    """

    edits = False

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @abstractmethod
    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Add rows.

        Args:
            columns: every column, all of one length: arrays in the types of `new_table`, or plain values.
            lines: the text of the rows before any change.
            changed: column -> the places of the rows whose cells differ from `lines`.
        """

    @abstractmethod
    def close(self) -> None:
        """Write the remaining rows."""


def unwritable(out: Path, error: Exception) -> UserError:
    """The error of cells that the format of a file cannot hold."""
    return UserError(f"{out}: cannot be written: {error_text(error)}; write another format")
