"""Draws series as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS = 40.0  # points, which all dots of a line share
_HIGH = 2.5  # standard deviations from the mean, which every picture shows


def draw_series(values: NDArray[np.float64], axes: Axes) -> None:
    """A line for each channel, broken at NaN, with a dot at each number.

    Pictures of ordinary series have the same scale, so that they can be compared.

    Args:
        values: (C, L), standardised.
        axes: where to draw.
    """
    length = values.shape[1]
    size = min(3.0, max(1.0, _DOTS / length))
    for numbers in values:
        axes.plot(np.arange(length), numbers, marker="o", markersize=size, linewidth=1.0)
    high = max(_HIGH, 1.1 * float(np.nanmax(np.abs(values), initial=0.0)))
    axes.set_xlim(-0.5, length - 0.5)
    axes.set_ylim(-high, high)
    axes.set_box_aspect(1)
