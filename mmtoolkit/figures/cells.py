"""A figure of a few rows of the data."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from mmtoolkit.components import Run
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups, title_of


def cells(run: Run, split: str, n: int = COLUMNS) -> Figure | None:
    """Draw rows of a split, one a column, as the networks read them; None if all rows are empty.

    Args:
        run: the run whose data you want to see.
        split: a split of its data.
        n: how many rows, evenly spaced from the first to the last that is not empty.
    """
    modalities = run.modalities
    rows = run.present[split].any(1).nonzero().squeeze(1)
    if not len(rows):
        return None
    places = torch.linspace(0, len(rows) - 1, min(n, len(rows))).round().long()
    (batch,) = run.batches(split, [rows[places]])
    own = {name: dict(zip(batch.rows(name).tolist(), batch.value(name), strict=True)) for name in modalities}
    lines = [
        Line([{name: own[name].get(row) for name in group} for row in range(batch.size)], title_of(group), apart=True)
        for group in groups(modalities, modalities)
    ]
    return draw_lines(modalities, lines)
