"""A figure of scores by a whole number, such as how many modalities are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mmtoolkit.base.words import shorten
from mmtoolkit.figures.colours import CURVES, DPI, INK, SOFT

_MOST_LINES = 8
_LETTERS = 24
_DASHES = ("--", ":", "-.")


def by_number(
    lines: Mapping[str, Sequence[tuple[int, float, float]]],
    levels: Mapping[str, float | None],
    across: str,
    up: str,
) -> Figure:
    """Draw a line for each name, with bars of one standard error, and a flat line for each level.

    Args:
        lines: name -> (number, score, standard error) of each point; the first line is drawn in ink. Of many lines the
            first ones are drawn.
        levels: name -> score; one that is None is not drawn.
        across: the title of the axis of the numbers.
        up: the title of the axis of the scores.
    """
    figure = Figure(figsize=(5.6, 2.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    numbers = sorted({number for points in lines.values() for number, _, _ in points})
    for place, (name, points) in enumerate(list(lines.items())[:_MOST_LINES]):
        xs, ys, errors = zip(*points, strict=True)
        colour = INK if place == 0 else CURVES[(place - 1) % len(CURVES)]
        axes.errorbar(
            xs,
            ys,
            yerr=errors,
            color=colour,
            marker="o",
            markersize=3.5,
            linewidth=2.2 if place == 0 else 1.2,
            elinewidth=1,
            capsize=2,
            zorder=2 if place else 3,
            label=shorten(name, _LETTERS),
        )
    for (name, level), dash in zip(levels.items(), _DASHES, strict=False):
        if level is not None:
            axes.axhline(level, color=SOFT, linewidth=1.0, linestyle=dash, label=name)
    axes.set_xticks(numbers)
    axes.set_xlabel(across, fontsize=8, color=SOFT)
    axes.set_ylabel(up, fontsize=8, color=SOFT)
    axes.tick_params(labelsize=7, colors=SOFT)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend = axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
