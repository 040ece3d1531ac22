"""A few rows of the data as they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure

from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups, title_of

if TYPE_CHECKING:
    from mmtoolkit.run import TrainedRun


def cells(run: TrainedRun, split: str, n: int = COLUMNS) -> Figure | None:
    """Rows of a split, a column each, as the networks get them; None where no row has anything.

    Args:
        run: whose data it is.
        split: its name.
        n: how many rows: from the first to the last that has anything, evenly.
    """
    modalities, data = run.modalities, run.dataset.split(split)
    rows = data.present.any(1).nonzero().squeeze(1)
    if not len(rows):
        return None
    shown = torch.linspace(0, len(rows) - 1, min(n, len(rows))).round().long()
    batch = data.batch(rows[shown], run.device)
    own = {name: dict(zip(batch.rows(name).tolist(), batch.value(name), strict=True)) for name in modalities}
    lines = [
        Line([{name: own[name].get(row) for name in group} for row in range(batch.size)], title_of(group), apart=True)
        for group in groups(modalities, modalities)
    ]
    return draw_lines(modalities, lines)
