"""The one exception for what a user can mend."""

from __future__ import annotations

from collections.abc import Sequence

from mmtoolkit.base.words import printable


class UserError(Exception):
    """Something the user can mend: a schema, data, an argument, a plugin.

    The command line prints `faults`, one line each, without a traceback, and exits with status 2.

    Args:
        faults: one line, or several when all faults are told at once. A line names the file, line, key or
            cell, the fault and the remedy. What cannot be printed, such as a line break in a name, is escaped.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        lines = [faults] if isinstance(faults, str) else faults
        self.faults: list[str] = [printable(line) for line in lines]
        super().__init__("\n".join(self.faults))
