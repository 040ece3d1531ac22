"""A figure of the learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.figures.colours import CURVES, DPI, INK, SOFT

_TITLE = 40


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the loss, the validation bound and each part of the loss, over epochs."""
    epochs = [line["epoch"] for line in history]
    curves = {"loss": [line["loss"] for line in history]}
    if any(line["validation"] is not None for line in history):
        curves["validation bound"] = [line["validation"] for line in history]
    for name in history[-1]["terms"]:
        curves[name] = [line["terms"][name] for line in history]
    curves["β"] = [line["beta"] for line in history]
    columns = min(3, len(curves))
    lines = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(3.3 * columns, 2.2 * lines), dpi=DPI, layout="constrained")
    for place, (name, values) in enumerate(curves.items()):
        axes = figure.add_subplot(lines, columns, place + 1)
        marker = "o" if len(epochs) < 3 else None
        axes.plot(epochs, values, color=CURVES[place % len(CURVES)], linewidth=1.6, marker=marker)
        axes.set_title(shorten(one_line(name), _TITLE), fontsize=9, loc="left", color=INK, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=7, colors=SOFT)
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if place >= len(curves) - columns:
            axes.set_xlabel("epoch", fontsize=8, color=SOFT)
    return figure
