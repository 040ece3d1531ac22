"""Samples from the prior, and given each value of a modality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.components import Modality
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups, title_of

if TYPE_CHECKING:
    from mmtoolkit.run import TrainedRun

_MOST_VALUES = 10
_LOOKED_AT = 4096  # rows for them


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


def samples_given(run: TrainedRun, name: str, values: Sequence[Tensor], n: int = COLUMNS) -> Figure:
    """A line for each value of one modality: n draws of z given it, shown by the first picture, or else in words."""
    modality = run.modalities[name]
    shown = groups(run.modalities, [other for other in run.model.targets if other != name], together=True)[0]
    lines = []
    for seed, value in enumerate(values):
        drawn = run.sample(n, {name: modality.cell(value)}, seed)
        cells = [{other: drawn[other][place] for other in shown} for place in range(n)]
        lines.append(Line(cells, modality.text(value)))
    return draw_lines(run.modalities, lines)


def distinct_values(run: TrainedRun, split: str, name: str) -> list[Tensor]:
    """Up to ten distinct values of a modality in a split, in order and from the first to the last."""
    found: dict[str, Tensor] = {}
    for value in next(run.dataset.split(split).values(name, _LOOKED_AT), torch.zeros(0)):
        found.setdefault(run.modalities[name].text(value), value)
    values = sorted(found.values(), key=lambda value: value.flatten().tolist())
    shown = min(len(values), _MOST_VALUES)
    return [values[round(i * (len(values) - 1) / max(shown - 1, 1))] for i in range(shown)]
