"""A figure of samples, and the values of a modality to condition samples on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.components import Modality, Run
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups, title_of

_MOST_VALUES = 10
_SEARCHED_ROWS = 4096
_BATCH_ROWS = 512


def samples(modalities: Mapping[str, Modality], values: Mapping[str, Tensor]) -> Figure:
    """Draw n samples: a square of pictures with captions, or lines if there are several pictures or none.

    Args:
        modalities: name -> modality.
        values: name -> (n, *event), such as `TrainedRun.sample` returns; modalities without values are left out.
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
    """Find up to ten distinct values of a modality in a split, evenly spaced over their order."""
    by_text: dict[str, Tensor] = {}
    rows = run.present[split][:, list(run.modalities).index(name)].nonzero().squeeze(1)[:_SEARCHED_ROWS]
    for batch in run.batches(split, rows.split(_BATCH_ROWS)) if len(rows) else ():
        for value in batch.value(name).cpu():
            by_text.setdefault(run.modalities[name].text(value), value)
    values = sorted(by_text.values(), key=lambda value: value.flatten().tolist())
    count = min(len(values), _MOST_VALUES)
    return [values[round(i * (len(values) - 1) / max(count - 1, 1))] for i in range(count)]
