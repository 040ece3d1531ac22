"""The exception for faults that you can mend as a user."""

from __future__ import annotations

from collections.abc import Sequence

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
