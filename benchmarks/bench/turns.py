"""Two sides of a line as two processes that take turns: the end in the child."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class LineOverError(Exception):
    """The line has all the turns that it needs."""


class Turns:
    """Reports what a side does, and waits where it is the other's turn."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print must not reach the other process
        self._memory = 0

    def ready(self, **facts: Any) -> None:
        """Report facts before the first turn; return when that begins."""
        gc.collect()
        if _CLEAR.exists():
            _CLEAR.write_text("5")  # sets the peak of memory to what is in use
        self._memory = _kilobytes("VmHWM")
        self._send(facts)

    def done(self, seconds: float, **more: Any) -> None:
        """Report a turn; return when the next begins.

        Raises:
            LineOverError: there is no other.
        """
        self._send({"seconds": seconds, "megabytes": (_kilobytes("VmHWM") - self._memory) / 1000, **more})

    def _send(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()
        if not sys.stdin.readline():
            raise LineOverError


def _kilobytes(key: str) -> int:
    """A number of the process's memory; 0 where there is no such file."""
    if not _STATUS.exists():
        return 0
    match = re.search(rf"^{key}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
