"""The rows of a split, while the user is told now and then how far a long evaluation has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from torch import Tensor

from mmtoolkit.components import Run
from mmtoolkit.core.batch import Batch

_SECONDS = 15


def told(run: Run, split: str, kind: str, rows: Sequence[Tensor] | None = None) -> Iterator[Batch]:
    """The batches of a split, with a line on every quarter of a minute: rows done and the time that is left.

    Args:
        run: whose data it is.
        split: its name.
        kind: the evaluator's, which the line begins with.
        rows: those of each batch, (B,) int64, on the host; all where left out.
    """
    total, done = len(run.present[split]) if rows is None else sum(map(len, rows)), 0
    started = last = time.monotonic()
    for batch in run.batches(split, rows):
        yield batch
        done += batch.size
        now = time.monotonic()
        if now - last >= _SECONDS and done < total:
            last = now
            left = (now - started) / done * (total - done)
            run.say(f"{kind}: {done:,} of {total:,} rows, about {left:,.0f} s left")
