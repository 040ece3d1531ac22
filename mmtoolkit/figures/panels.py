"""Panels of a figure, in lines and columns with fixed margins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.figures.colours import DPI, INK

_COLUMNS = 3
_TITLE_ROOM = 0.27  # inches
_LONGEST = 38  # letters of a title
_GAP = 0.08  # inches


@dataclass(frozen=True)
class Panels:
    """Places for panels of one size, each with room around it, in inches.

    Matplotlib's own layouts measure every letter twice, which takes longer than all drawing.

    Attributes:
        count: how many panels.
        width: of a panel.
        height: of a panel.
        left: the room left of each panel.
        right: the room right of each panel.
        below: the room below each panel.
        around: the room at the left and at the bottom of the figure.
    """

    count: int
    width: float
    height: float
    left: float = 0.1
    right: float = 0.1
    below: float = 0.1
    around: float = 0.0

    @property
    def columns(self) -> int:
        """The panels of a line."""
        return min(_COLUMNS, self.count)

    def figure(self) -> Figure:
        """A figure with room for all panels."""
        return Figure(figsize=self._size(), dpi=DPI)

    def add(self, figure: Figure, place: int, title: str) -> Axes:
        """Add the panel of a place, counted along the lines, with its title."""
        line, column = divmod(place, self.columns)
        width, height = self._size()
        left = self.around + column * (self.left + self.width + self.right) + self.left
        top = height - line * (_TITLE_ROOM + self.height + self.below) - _TITLE_ROOM
        axes = figure.add_axes((left / width, (top - self.height) / height, self.width / width, self.height / height))
        # Without a place of its own, Matplotlib looks for one above all tick labels at each drawing.
        text = shorten(one_line(title), _LONGEST)
        axes.set_title(text, fontsize=9, loc="left", y=1.0, pad=5, color=INK, parse_math=False)
        return axes

    def beside(self, axes: Axes, width: float, share: float) -> Axes:
        """Add small axes right of a panel, as high as a share of the panel, in the middle."""
        figure, box = axes.get_figure(), axes.get_position()
        assert isinstance(figure, Figure)
        across = figure.get_figwidth()
        gap = box.height * (1 - share) / 2
        return figure.add_axes((box.x1 + _GAP / across, box.y0 + gap, width / across, box.height * share))

    def _size(self) -> tuple[float, float]:
        lines = math.ceil(self.count / self.columns)
        width = self.around + self.columns * (self.left + self.width + self.right)
        return width, self.around + lines * (_TITLE_ROOM + self.height + self.below)


def ticks_at(most: int) -> MaxNLocator:
    """Up to `most` + 1 ticks at round numbers. Matplotlib's own locator measures a letter to choose how many."""
    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])
