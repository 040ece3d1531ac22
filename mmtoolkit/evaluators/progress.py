"""The batches of a split, with a line now and then on how far an evaluation has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from mmtoolkit.base.meter import Meter
from mmtoolkit.components import Run
from mmtoolkit.core.batch import Batch


def metered_batches(run: Run, split: str, kind: str, rows: Sequence[Tensor] | None = None) -> Iterator[Batch]:
    """The batches of a split, their rows counted by a `Meter`.

    Args:
        run: whose data it is.
        split: its name.
        kind: the evaluator's, which each line begins with.
        rows: those of each batch, (B,) int64, on the host; all where left out.
    """
    meter = Meter(run.say, kind, len(run.present[split]) if rows is None else sum(map(len, rows)))
    for batch in run.batches(split, rows):
        yield batch
        meter.advance(batch.size)
