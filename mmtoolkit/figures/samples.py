"""Samples from the prior, and given each value of a modality."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.components import Modality, Run
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups, title_of

_MOST_VALUES = 10
_LOOKED_AT = 4096  # rows for them
_AT_ONCE = 512


def samples(modalities: Mapping[str, Modality], values: Mapping[str, Tensor]) -> Figure:
    """N draws: a square of pictures with the other modalities below each, or a line for each of several modalities.

    Args:
        modalities: name -> modality.
        values: name -> (n, *event), such as `TrainedRun.sample` gives; a modality without values is left out.
    """
    names = [name for name in modalities if name in values]
    n = len(values[names[0]])
    square = sum(modalities[name].picture for name in names) == 1
    columns = math.ceil(math.sqrt(n)) if square else COLUMNS
    lines = []
    for start in range(0, n, columns):
        rows = range(start, min(start + columns, n))
        for place, group in enumerate(groups(modalities, names, together=square)):
            cells = [{name: values[name][row] for name in group} for row in rows]
            title = "" if square else title_of(group)
            lines.append(Line(cells, title, soft=square and place > 0, apart=start > 0 and place == 0))
    return draw_lines(modalities, lines, panel=0.95 if square else 0.7)


def distinct_values(run: Run, split: str, name: str) -> list[Tensor]:
    """Up to ten distinct values of a modality in a split, in order and from the first to the last."""
    found: dict[str, Tensor] = {}
    rows = run.present[split][:, list(run.modalities).index(name)].nonzero().squeeze(1)[:_LOOKED_AT]
    for batch in run.batches(split, rows.split(_AT_ONCE)) if len(rows) else ():
        for value in batch.value(name).cpu():
            found.setdefault(run.modalities[name].text(value), value)
    values = sorted(found.values(), key=lambda value: value.flatten().tolist())
    shown = min(len(values), _MOST_VALUES)
    return [values[round(i * (len(values) - 1) / max(shown - 1, 1))] for i in range(shown)]
