"""The exception for faults that you can mend as a user, and the warning for what changes your results."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from mmtoolkit.base.words import printable


class UserError(Exception):
    """A fault that you can mend: in a schema, data, an argument or a plugin.

    The command line prints `faults`, one line each, without a traceback, and exits with status 2.

    Args:
        faults: one line, or several to report all faults at once. A line names the file, line, key or cell, the
            fault and the remedy. The error escapes characters that cannot be printed, such as a line break in a name.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        lines = [faults] if isinstance(faults, str) else faults
        self.faults: list[str] = [printable(line) for line in lines]
        super().__init__("\n".join(self.faults))


class DataWarning(UserWarning):
    """Something in your table that changes results: bad cells, lacking columns, cells that stay missing."""


def warn(notes: Iterable[str], frames: int = 1) -> None:
    """Warn of each note. Call it from a public method: the warning points at the line that called that method.

    Args:
        notes: the lines.
        frames: how many calls lead from that line to the method; more than one if the method is wrapped.
    """
    for note in notes:
        warnings.warn(printable(note), DataWarning, stacklevel=2 + frames)
