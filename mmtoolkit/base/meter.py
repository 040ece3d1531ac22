"""How far a long task has come, said now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 15.0  # between two lines


class Meter:
    """Counts what a long task has done, and says how far it has come: at most one line each quarter of a minute.

    `Meter(run.say, "imputation", 2000)` says "imputation: 300 of 2,000 rows, about 12 s left". A task that takes less
    than a quarter of a minute says nothing, and neither does one that is done.

    Args:
        say: is given each line, such as an evaluator's `run.say`.
        what: the task, with which the line begins.
        total: how much there is to do.
        unit: of what, in the plural.
    """

    def __init__(self, say: Callable[[str], None], what: str, total: int, unit: str = "rows") -> None:
        self.say, self.what, self.total, self.unit = say, what, total, unit
        self.done = 0
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count what has been done since the last call."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= _SECONDS and 0 < self.done < self.total:
            self._last = now
            left = (now - self._start) / self.done * (self.total - self.done)
            self.say(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, about {left:,.0f} s left")
