"""A figure of the learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmtoolkit.figures.colours import CURVES, SOFT
from mmtoolkit.figures.panels import Panels, ticks_at


def learning_curves(history: Sequence[Mapping[str, Any]], validation: str = "validation bound") -> Figure:
    """Draw the loss, what validation measured and each part of the loss, over epochs.

    Args:
        history: a line for each epoch.
        validation: what validation measured, in words.
    """
    epochs = [line["epoch"] for line in history]
    curves = {"loss": [line["loss"] for line in history]}
    if any(line["validation"] is not None for line in history):
        curves[validation] = [line["validation"] for line in history]
    for name in history[-1]["terms"]:
        curves[name] = [line["terms"][name] for line in history]
    curves["β"] = [line["beta"] for line in history]
    panels = Panels(len(curves), width=2.65, height=1.65, left=0.6, below=0.27, around=0.1)
    figure = panels.figure()
    for place, (name, values) in enumerate(curves.items()):
        axes = panels.add(figure, place, name)
        marker = "o" if len(epochs) < 3 else None
        axes.plot(epochs, values, color=CURVES[place % len(CURVES)], linewidth=1.6, marker=marker)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(ticks_at(5))
        axes.tick_params(labelsize=7, colors=SOFT)
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if place >= len(curves) - panels.columns:
            axes.set_xlabel("epoch", fontsize=8, color=SOFT, labelpad=2)
    return figure
