"""Draw the figure of a study: its scores along one axis, with a line for each combination of the other axes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmtoolkit.figures.colours import CURVES, DPI, INK, SOFT
from mmtoolkit.study.file import Study, axis_text
from mmtoolkit.study.table import Number

_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", ":", "-.")
_SPAN = 50  # positive values that span a larger factor get a logarithmic axis
_MOST_TICKS = 12
_LEGEND = 34  # characters in a line
_MOST_IN_A_COLUMN = 3  # panels; more stand in two columns, with the legend of each above it


def study_figure(study: Study, averaged: Sequence[Number]) -> Figure:
    """Draw a panel for each unit: along x the axis `study.x`, a line for each score and combination of the other axes.

    Bars are standard errors; hollow marks are published numbers.
    """
    units = {score.name: score.unit for score in study.expanded_scores}
    drawable = [n for name in units for n in averaged if n.score == name and n.value is not None]
    panels = list(dict.fromkeys(units[n.score] for n in drawable))
    columns = 1 if len(panels) <= _MOST_IN_A_COLUMN else 2
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7.6 if columns == 1 else 11, max(3.2 * rows, 1)), dpi=DPI, layout="constrained")
    places = [_place(study, n) for n in drawable]
    numbers = [float(p) for p in places if isinstance(p, (int, float)) and not isinstance(p, bool)]
    numeric = len(numbers) == len(places)
    ticks = list(dict.fromkeys(map(axis_text, places)))
    for panel, unit in enumerate(panels):
        axes = figure.add_subplot(rows, columns, panel + 1)
        lines = _lines(study, [n for n in drawable if units[n.score] == unit])
        for line, (name, points) in enumerate(lines.items()):
            at = [_place(study, n) for n in points]
            if not numeric:  # side by side
                aside = 0.5 * ((line + 1) / (len(lines) + 1) - 0.5)
                at = [ticks.index(axis_text(place)) + aside for place in at]
            _draw(axes, name, at, points, line, joined=numeric)
        _label_axes(axes, unit, study.x or "", last=panel >= len(panels) - columns, above=columns > 1)
        if numeric:
            _set_scale(axes, study.figure.scale, numbers)
        else:
            axes.set_xticks(range(len(ticks)), [_wrapped(tick, 16) for tick in ticks])
            axes.set_xlim(-0.5, len(ticks) - 0.5)
    return figure


def _place(study: Study, number: Number) -> Any:
    """The value or label of a number on the axis x."""
    return number.labels[study.x] if study.x else ""


def _lines(study: Study, numbers: Sequence[Number]) -> dict[str, list[Number]]:
    """Name of a line -> its numbers. The name has labels of the other axes only if the score needs several lines."""
    others = [axis for axis in study.axes if axis != study.x]

    def combination(number: Number) -> str:
        return ", ".join(_short(axis, number.labels[axis]) for axis in others)

    of_score: dict[str, set[str]] = {}
    for n in numbers:
        of_score.setdefault(n.score, set()).add(combination(n))
    lines: dict[str, list[Number]] = {}
    for n in numbers:
        lines.setdefault(f"{n.score}, {combination(n)}" if len(of_score[n.score]) > 1 else n.score, []).append(n)
    return lines


def _short(axis: str, label: Any) -> str:
    return label if isinstance(label, str) else f"{axis.rsplit('.', 1)[-1]} {axis_text(label)}"


def _draw(axes: Axes, name: str, at: list[Any], numbers: Sequence[Number], place: int, joined: bool) -> None:
    colour, again = CURVES[place % len(CURVES)], place // len(CURVES)  # the same colour, another mark and dash
    order = sorted(range(len(at)), key=at.__getitem__) if joined else range(len(at))
    xs = [at[i] for i in order]
    axes.errorbar(
        xs,
        [numbers[i].value or 0.0 for i in order],
        yerr=[numbers[i].stderr or 0.0 for i in order],
        color=colour,
        marker=_MARKERS[again % len(_MARKERS)],
        linestyle=_DASHES[again % len(_DASHES)],
        markersize=4,
        linewidth=1.5 if joined else 0,
        elinewidth=1,
        capsize=2,
        label=_wrapped(name, _LEGEND),
    )
    references = [(at[i], numbers[i].reference) for i in order if numbers[i].reference is not None]
    if references:
        axes.plot(
            [x for x, _ in references],
            [y for _, y in references if y is not None],
            linestyle="none",
            marker="o",
            markersize=7,
            markerfacecolor="none",
            markeredgecolor=colour,
        )


def _label_axes(axes: Axes, unit: str, x: str, last: bool, above: bool) -> None:
    axes.set_ylabel(unit, fontsize=9, color=INK)
    if last:
        axes.set_xlabel(x, fontsize=9, color=INK, parse_math=False)
    axes.tick_params(labelsize=8, colors=SOFT)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if any(line.get_markerfacecolor() == "none" for line in axes.get_lines()):
        hollow = Line2D([], [], linestyle="none", marker="o", markerfacecolor="none", markeredgecolor=SOFT)
        handles, labels = [*handles, hollow], [*labels, "published"]
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
    if above:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2}
    legend = axes.legend(handles, labels, fontsize=7, frameon=False, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _set_scale(axes: Axes, scale: str | None, values: Sequence[float]) -> None:
    """Set the scale of x: the given one, or one that suits the values."""
    positive = [value for value in values if value > 0]
    if scale is None and positive and min(values) >= 0 and max(positive) / min(positive) > _SPAN:
        scale = "log" if min(values) > 0 else "symlog"
    if scale == "symlog":
        axes.set_xscale("symlog", linthresh=min((abs(v) for v in values if v), default=1.0), linscale=0.4)
    elif scale is not None:
        axes.set_xscale(scale)
    if scale in ("log", "symlog") and len(ticks := sorted(set(values))) <= _MOST_TICKS:
        axes.set_xticks(ticks)
        axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)) or text
