"""The most frequent class, and the mean."""

from __future__ import annotations

import time

from filling.filled import Effort, Filled, Holed, complete


def fill(table: Holed, effort: Effort) -> Filled:
    """Fill each column with one value."""
    begun = time.perf_counter()
    values = complete(table.values, table)
    return Filled(values, {"fill": time.perf_counter() - begun})
