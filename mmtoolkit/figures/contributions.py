"""A picture of what the parts of a row contribute: bars, a panel for each measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.figures.colours import CURVES, DATA, DPI, GIVEN, INK, SOFT
from mmtoolkit.figures.panels import ticks_at

_MOST_BARS = 30
_LETTERS = 34
_LINE = 0.25  # inches
_PANEL = 1.9


@dataclass(frozen=True)
class Bar:
    """The bars of one part, one in each panel.

    Attributes:
        label: of the part.
        values: one for each panel; NaN for no bar.
        within: whether it is a column of the record above it.
        is_prior: whether it is the part of the prior, which is no part of the row.
    """

    label: str
    values: Sequence[float]
    within: bool = False
    is_prior: bool = False


def draw_contributions(bars: Sequence[Bar], panels: Sequence[str], title: str = "") -> Figure:
    """Draw the bars in order, from the top; of many, those with the greatest values in the last panel that has any.

    Args:
        bars: one for each part.
        panels: the title of each panel.
        title: of the figure.
    """
    largest = _largest(bars, len(panels))
    left_out = len(bars) - len(largest)
    height = _LINE * len(largest) + 0.75 + 0.25 * bool(title)
    figure = Figure(figsize=(2.3 + _PANEL * len(panels), height), dpi=DPI, layout="constrained")
    if title:
        figure.suptitle(shorten(one_line(title), 90), fontsize=9, color=INK, x=0.01, ha="left", parse_math=False)
    for place, name in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        _draw_panel(axes, [bar.values[place] for bar in largest], largest, name)
        labels = [shorten(one_line(bar.label), _LETTERS) if place == 0 else "" for bar in largest]
        axes.set_yticks(range(len(largest)), labels)
        for text, bar in zip(axes.get_yticklabels(), largest, strict=True):
            text.set(parse_math=False, fontsize=7 if bar.within else 8, color=SOFT if bar.within else INK)
    if left_out:
        figure.supxlabel(f"and {left_out} more", fontsize=8, color=SOFT)
    return figure


def _draw_panel(axes: Axes, values: Sequence[float], bars: Sequence[Bar], name: str) -> None:
    """Draw one measure of all parts, each bar with its number."""
    known = [value for value in values if not math.isnan(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    span = (high - low) or 1.0
    for place, (value, bar) in enumerate(zip(values, bars, strict=True)):
        if math.isnan(value):
            continue
        colour = DATA if bar.is_prior else GIVEN if value >= 0 else CURVES[1]
        axes.barh(place, value, height=0.62, color=colour, alpha=0.55 if bar.within else 1.0)
        side = "left" if value >= 0 else "right"
        at = value + math.copysign(0.03 * span, value)
        axes.text(at, place, f"{value:.2g}", fontsize=7, color=SOFT, va="center", ha=side)
    axes.set_xlim(low - (0.4 * span if low < 0 else 0.0), high + 0.3 * span)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.set_title(shorten(one_line(name), _LETTERS), fontsize=8, color=INK, loc="left", parse_math=False)
    axes.xaxis.set_major_locator(ticks_at(3))
    axes.tick_params(axis="x", labelsize=7, colors=SOFT)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _largest(bars: Sequence[Bar], panels: int) -> list[Bar]:
    """The bars to show, in order: all, or those with the greatest values in the last panel that has any."""

    def size(bar: Bar) -> float:
        return next((abs(bar.values[k]) for k in reversed(range(panels)) if not math.isnan(bar.values[k])), -1.0)

    chosen = sorted(range(len(bars)), key=lambda place: -size(bars[place]))[:_MOST_BARS]
    return [bars[place] for place in sorted(chosen)]
