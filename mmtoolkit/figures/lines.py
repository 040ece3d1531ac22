"""Figures of lines: each has a title at the left, and a picture or a few words in each column."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mmtoolkit.base.words import short_listing
from mmtoolkit.components import Modality
from mmtoolkit.figures.colours import DPI, INK, SOFT
from mmtoolkit.figures.words import SPACING, write

Cell = Mapping[str, Tensor | None]
COLUMNS = 10  # by default
MOST_IN_WORDS = 40
"""Modalities in words that a figure shows at most."""

_LEFT, _MARGIN, _APART = 1.3, 0.06, 0.12  # inches
_WIDE = 0.93  # of a panel; the rest is the gap to the next
_LETTER = 0.61  # the width of most letters relative to the font size
_SIZES = (6.5, 5.5, 5.0, 4.5)  # of words, in points
_TITLE = 7.5
_MOST_LINES = 5
_MOST_WORDS = 6
# Names are often words joined by underscores. A line may break there, but `textwrap` breaks only after hyphens.
_BREAKABLE = str.maketrans({"_": "-", "-": "\ue000"})
_WRITTEN = str.maketrans({"-": "_", "\ue000": "-"})


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        cells: for each column name -> value (*event), None where missing: one modality that is a picture, or any
            number of modalities in words.
        title: the text at the left.
        frame: the colour of a frame round its pictures.
        soft: whether to draw it paler than other lines.
        apart: whether it begins a block, with a gap above.
    """

    cells: Sequence[Cell]
    title: str = ""
    frame: str | None = None
    soft: bool = False
    apart: bool = False


def groups(modalities: Mapping[str, Modality], names: Iterable[str], together: bool = False) -> list[tuple[str, ...]]:
    """Group modalities that share a line: each picture alone, then words.

    Beside pictures, words share one line if they are many. Without, the figure is a table, with a line for each. Of
    very many words it shows the first ones, since nobody reads a picture of hundreds.

    Args:
        modalities: name -> modality, all of the run.
        names: names of some of them, in schema order.
        together: whether words share a line even if they are few.
    """
    names = tuple(names)
    pictures = [(name,) for name in names if modalities[name].picture]
    words = tuple(name for name in names if not modalities[name].picture)[:MOST_IN_WORDS]
    beside_pictures = any(modality.picture for modality in modalities.values())
    shared = together or (beside_pictures and len(words) > _MOST_WORDS)
    return pictures + ([words] if words and shared else [(name,) for name in words])


def title_of(group: Sequence[str]) -> str:
    """The title of a line that these modalities share."""
    return short_listing(group, 3)


def draw_lines(modalities: Mapping[str, Modality], lines: Sequence[Line], panel: float = 0.7) -> Figure:
    """Draw lines below each other.

    Args:
        modalities: name -> modality.
        lines: one or more.
        panel: the width of a column, in inches; pictures are square.
    """
    layouts = [_Layout(modalities, line, panel) for line in lines]
    left = _LEFT if any(line.title for line in lines) else _MARGIN
    width = left + panel * max(len(line.cells) for line in lines) + _MARGIN
    height = sum(layout.above + layout.height for layout in layouts) + 2 * _MARGIN
    figure = Figure(figsize=(width, height), dpi=DPI)
    top = height - _MARGIN
    for layout in layouts:
        top -= layout.above
        layout.draw(figure, left, top)
        top -= layout.height
    return figure


class _Layout:
    """A line with the height and the lines of text it needs, in inches."""

    def __init__(self, modalities: Mapping[str, Modality], line: Line, panel: float) -> None:
        self.modalities, self.line, self.panel = modalities, line, panel
        self.pictured = any(modalities[name].picture for cell in line.cells for name in cell)
        self.above = _APART if line.apart else 0.0
        texts = [] if self.pictured else [cell_text(modalities, cell) for cell in line.cells]
        self.size, self.words = _fit_texts(texts, _WIDE * panel)
        self.title = _wrap(line.title, _LEFT - 0.15, _TITLE, _MOST_LINES)
        height = _height(self.size, max(map(len, self.words), default=0))
        self.height = max(panel if self.pictured else height, _height(_TITLE, len(self.title)))

    def draw(self, figure: Figure, left: float, top: float) -> None:
        """Draw it below `top`, in inches from the bottom of the figure."""
        width, height = figure.get_size_inches()
        ink = SOFT if self.line.soft else INK

        def words(x: float, lines: Sequence[str], size: float, colour: str, align: str = "center") -> None:
            y, va = (top - self.height / 2, "center") if self.pictured else (top, "top")
            write(figure, x / width, y / height, "\n".join(lines), size, colour, align, va)

        if self.title:
            words(left - 0.1, self.title, _TITLE - self.line.soft, ink, "right")
        for column, cell in enumerate(self.line.cells):
            x = left + column * self.panel
            centre = x + _WIDE * self.panel / 2
            if not self.pictured:
                words(centre, self.words[column], self.size, ink)
                continue
            ((name, value),) = cell.items()
            if value is None:
                words(centre, ["missing"], _SIZES[0], SOFT)
                continue
            side = _WIDE * self.panel
            axes = figure.add_axes((x / width, (top - side) / height, side / width, side / height))
            axes.set_axis_off()
            self.modalities[name].draw(value, axes)
            if self.line.frame:
                frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, clip_on=False)
                frame.set(edgecolor=self.line.frame, linewidth=1.6)
                axes.add_patch(frame)


def cell_text(modalities: Mapping[str, Modality], cell: Cell) -> str:
    """A cell in words: the value of a single modality, or a list in which each modality names its value."""
    known = {name: value for name, value in cell.items() if value is not None}
    if not known:
        return "missing"
    if len(cell) == 1:
        return "".join(modalities[name].text(value) for name, value in known.items())
    words = ", ".join(filter(None, (modalities[name].named(name, value) for name, value in known.items()))) or "–"
    return words if len(known) == len(cell) else f"{words}; {len(cell) - len(known)} missing"


def _fit_texts(texts: Sequence[str], width: float) -> tuple[float, list[list[str]]]:
    """The largest font size at which texts fit into a width in inches, or the smallest there is, and their lines."""
    longest = max((len(word) for text in texts for word in re.split("[ _]", text)), default=0)
    most = max(map(len, texts), default=0)
    for size in _SIZES:
        letters = _letters(width, size)
        if longest >= letters or most > _MOST_LINES * (letters + 1):  # a line ends with a space that is left out
            continue  # without wrapping, which takes long
        lines = [_wrap(text, width, size) for text in texts]
        if max(map(len, lines), default=0) <= _MOST_LINES:
            return size, lines
    return size, [_wrap(text, width, size, _MOST_LINES) for text in texts]


def _wrap(text: str, width: float, size: float, most: int | None = None) -> list[str]:
    letters = _letters(width, size)
    if most is not None:
        text = text[: (most + 1) * (letters + 1)]  # the lines hold less, and `textwrap` would read all of it
    lines = textwrap.wrap(text.translate(_BREAKABLE), letters, max_lines=most, placeholder=" …")
    return [line.translate(_WRITTEN) for line in lines]


def _letters(width: float, size: float) -> int:
    return int(72 * width / (_LETTER * size))


def _height(size: float, lines: int) -> float:
    return (lines * size * SPACING + 4) / 72
