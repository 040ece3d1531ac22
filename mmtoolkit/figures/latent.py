"""A figure of the latent space in two dimensions, with a panel for each column that colours the points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.figures.colours import DATA, GIVEN, GROUPS, INK, SOFT
from mmtoolkit.figures.latent_rows import project
from mmtoolkit.figures.panels import Panels, ticks_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 12
_NAME = 18
_EDGE = 0.08  # inches from the edge of the figure to the names of directions
_TAILS = (2, 98)  # percentiles at the ends of a colour scale of numbers


def colourable(latent: Mapping[str, Any]) -> list[str]:
    """The columns of latent.json with more than one value, in schema order."""
    return [name for name, shades in latent["shades"].items() if len(set(shades) - {None}) > 1]


def latent_space(latent: Mapping[str, Any], colours: Sequence[str] | None = None, projection: str = "pca") -> Figure:
    """Draw each row at the mean of q(z | all that the row has). Missing values are grey.

    Args:
        latent: the content of latent.json, with at least one row.
        colours: the columns that colour the points, a panel each; by default the first twelve of `colourable`.
        projection: pca or umap.

    Raises:
        UserError: there is no such column, or UMAP is not installed.
    """
    if unknown := [name for name in colours or () if name not in latent["shades"]]:
        known = ", ".join(latent["shades"]) or "none"
        raise UserError(f"--colour {unknown[0]}: there is no such column to colour by; choose among: {known}")
    points, axis_names = project(np.array(latent["means"], dtype=np.float64), projection)
    names = list(dict.fromkeys(colours or ())) or colourable(latent)[:MOST_PANELS]
    # Beside a panel there is room for a legend or a scale.
    panels = Panels(max(len(names), 1), width=2.5, height=2.5, right=1.25 if names else 0.1, around=0.25)
    figure = panels.figure()
    for place, name in enumerate(names or [""]):
        axes = panels.add(figure, place, name)
        numbers = _paint(axes, points, latent["shades"][name] if name else [None] * len(points), bool(name))
        if numbers is not None:
            _scale(panels.beside(axes, width=0.1, share=0.8), numbers)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color(DATA)
    width, height = figure.get_size_inches()
    figure.supxlabel(axis_names[0], y=_EDGE / height, fontsize=8, color=SOFT)
    figure.supylabel(axis_names[1], x=_EDGE / width, fontsize=8, color=SOFT)
    return figure


def _paint(axes: Axes, points: NDArray[np.float64], shades: Sequence[float | str | None], named: bool) -> Any:
    """Draw the dots and the legend of a panel; return the dots that have numbers, or None."""
    size = min(18.0, max(4.0, 9000 / len(points)))

    def dots(rows: list[int], label: str, **style: Any) -> Any:
        return axes.scatter(points[rows, 0], points[rows, 1], s=size, linewidths=0, label=label, **style)

    def rows_of(*kinds: type) -> list[int]:
        return [row for row, shade in enumerate(shades) if isinstance(shade, kinds)]

    if missing := rows_of(type(None)):
        dots(missing, f"missing ({len(missing):,})" if named else "", color=DATA if named else GIVEN, alpha=0.6)
    coloured = None
    if numbers := rows_of(float, int):
        values = [shades[row] for row in numbers]
        low, high = np.percentile(np.array(values, dtype=float), _TAILS)
        coloured = dots(numbers, "", c=values, cmap="viridis", vmin=low, vmax=high, alpha=0.85)
    groups: dict[str, list[int]] = {}
    for row in rows_of(str):
        groups.setdefault(str(shades[row]), []).append(row)
    for place, (name, rows) in enumerate(_largest(groups).items()):
        dots(rows, name, color=GROUPS[place], alpha=0.85)
    if named and (missing or groups):
        handles, labels = axes.get_legend_handles_labels()
        keep = [place for place, label in enumerate(labels) if label]
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if groups else {"loc": "best"}
        legend = axes.legend(
            [handles[place] for place in keep],
            [shorten(one_line(labels[place]), _NAME) for place in keep],
            fontsize=6.5,
            frameon=False,
            handletextpad=0.1,
            labelspacing=0.35,
            markerscale=math.sqrt(18 / size),
            labelcolor=INK,
            **beside,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return coloured


def _scale(axes: Axes, numbers: Any) -> None:
    """Draw the colour scale of a panel's numbers."""
    assert axes.figure is not None
    bar = axes.figure.colorbar(numbers, cax=axes, extend="both", ticks=ticks_at(5))
    axes.tick_params(labelsize=7, colors=SOFT)
    bar.outline.set_visible(False)


def _largest(groups: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """As many groups as there are colours, in order of their names: the largest, and the others together."""
    if len(groups) <= len(GROUPS):
        return {name: groups[name] for name in sorted(groups, key=_order)}
    largest = [name for name, _ in Counter({n: len(rows) for n, rows in groups.items()}).most_common(len(GROUPS) - 1)]
    others = [row for name, rows in groups.items() if name not in largest for row in rows]
    ordered = {name: groups[name] for name in sorted(largest, key=_order)}
    return {**ordered, f"{len(groups) - len(largest)} others": others}


def _order(name: str) -> tuple[int, float, str]:
    """Sorts numbers by size, before words by the alphabet."""
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)
