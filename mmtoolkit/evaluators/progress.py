"""The batches of a split, with progress lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from mmtoolkit.base.meter import Meter
from mmtoolkit.components import Run
from mmtoolkit.core.batch import Batch


def metered_batches(run: Run, split: str, kind: str, rows: Sequence[Tensor] | None = None) -> Iterator[Batch]:
    """The batches of a split; a `Meter` counts their rows.

    Args:
        run: has the data.
        split: its name.
        kind: the evaluator's; each line begins with it.
        rows: the rows of each batch, (B,) int64, on the host; by default all rows.
    """
    meter = Meter(run.say, kind, len(run.present[split]) if rows is None else sum(map(len, rows)))
    for batch in run.batches(split, rows):
        yield batch
        meter.advance(batch.size)
