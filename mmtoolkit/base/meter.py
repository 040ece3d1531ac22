"""Reports the progress of a long task now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 15.0  # between two lines


class Meter:
    """Counts the progress of a long task and reports it in at most one line every 15 seconds.

    `Meter(run.say, "imputation", 2000)` says "imputation: 300 of 2,000 rows, about 12 s left". It says nothing in the
    first 15 seconds of a task, nor at its end.

    Args:
        say: the function that receives each line, such as an evaluator's `run.say`.
        what: the name of the task, with which each line begins.
        total: the number of units in the task.
        unit: the name of the unit, in the plural.
    """

    def __init__(self, say: Callable[[str], None], what: str, total: int, unit: str = "rows") -> None:
        self.say, self.what, self.total, self.unit = say, what, total, unit
        self.done = 0
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count the units since the last call."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= _SECONDS and 0 < self.done < self.total:
            self._last = now
            left = (now - self._start) / self.done * (self.total - self.done)
            self.say(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, about {left:,.0f} s left")
