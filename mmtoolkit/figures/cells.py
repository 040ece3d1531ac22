"""A few rows of the data as they look."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from mmtoolkit.components import Run
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups, title_of


def cells(run: Run, split: str, n: int = COLUMNS) -> Figure | None:
    """Rows of a split, a column each, as the networks get them; None where no row has anything.

    Args:
        run: whose data it is.
        split: its name.
        n: how many rows: from the first to the last that has anything, evenly.
    """
    modalities = run.modalities
    rows = run.present[split].any(1).nonzero().squeeze(1)
    if not len(rows):
        return None
    shown = torch.linspace(0, len(rows) - 1, min(n, len(rows))).round().long()
    (batch,) = run.batches(split, [rows[shown]])
    own = {name: dict(zip(batch.rows(name).tolist(), batch.value(name), strict=True)) for name in modalities}
    lines = [
        Line([{name: own[name].get(row) for name in group} for row in range(batch.size)], title_of(group), apart=True)
        for group in groups(modalities, modalities)
    ]
    return draw_lines(modalities, lines)
