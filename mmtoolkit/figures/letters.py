"""Text that is drawn quickly: the pictures of a wide table hold a hundred thousand letters."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import get_hinting_flag
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.text import Text
from numpy.typing import NDArray

_ACROSS = {"left": 0.0, "center": 0.5, "right": 1.0}  # the share of a line that lies left of its place
_ABOVE = {"top": 0.0, "center": 0.5, "bottom": 1.0}  # the share of a text that lies above its place


class Letters(Text):
    """A `Text` of a figure that draws each letter of a font and size once, and copies it from then on.

    `Text` draws every letter anew. This one draws upright lines without mathematics, kerning and ligatures. Vector
    formats, and letters that the font lacks, go the way of `Text`.

    Args:
        x: from the left of the figure, as a share of its width.
        y: from the bottom of the figure, as a share of its height.
        text: one or more lines.
        spacing: from one line to the next, relative to the font size.
        style: more properties of a `Text`; the horizontal alignment is left, center or right, the vertical one top,
            center or bottom.
    """

    def __init__(self, x: float, y: float, text: str, spacing: float = 1.25, **style: Any) -> None:
        super().__init__(x, y, text, linespacing=spacing, parse_math=False, **style)
        self.spacing = spacing

    def draw(self, renderer: RendererBase) -> None:
        """Draw each line as a picture."""
        figure, file = self.get_figure(root=True), findfont(self.get_fontproperties())
        lines = self.get_text().split("\n")
        # A renderer that scales pictures writes a vector format, and keeps letters as outlines.
        if figure is None or renderer.option_scale_image() or not _charmap(file).issuperset(map(ord, "".join(lines))):
            super().draw(renderer)
            return
        size, dpi = float(self.get_fontsize()), float(figure.dpi)
        ascent, descent = _extent(file, size, dpi)
        pitch = self.spacing * size * dpi / 72
        x, y = self.get_transform().transform(self.get_position())
        top = y + _ABOVE[self.get_verticalalignment()] * pitch * len(lines)
        context, colour = renderer.new_gc(), to_rgb(self.get_color())
        for place, line in enumerate(lines):
            ink, margin, below = _line(file, size, dpi, line)
            left = x - _ACROSS[self.get_horizontalalignment()] * (ink.shape[1] - 2 * margin) - margin
            baseline = top - place * pitch - (pitch + ascent - descent) / 2
            renderer.draw_image(context, round(left), round(baseline) - below, _painted(ink, colour))
        context.restore()


def write(figure: Figure, x: float, y: float, text: str, spacing: float = 1.25, **style: Any) -> None:
    """Put `Letters` onto a figure, as `Figure.text` does a `Text`."""
    letters = Letters(x, y, text, spacing, transform=figure.transSubfigure, **style)
    letters.set_figure(figure)
    figure.texts.append(letters)


class _Letter(NamedTuple):
    """A letter in pixels.

    Attributes:
        ink: (rows, columns) uint8, the first row at the top.
        left: from its place to its first column.
        above: rows above the baseline.
        advance: to the place of the next letter.
    """

    ink: NDArray[np.uint8]
    left: int
    above: int
    advance: int


@lru_cache(maxsize=4096)
def _letter(file: str, size: float, dpi: float, letter: str) -> _Letter:
    font = get_font(file)
    font.set_size(size, dpi)
    font.set_text(letter, 0.0, flags=_hinting())
    font.draw_glyphs_to_bitmap(antialiased=True)
    ink = np.array(font.get_image(), dtype=np.uint8)
    # The picture has a row of margin at the top and at the bottom.
    above = len(ink) - 1 - round(font.get_descent() / 64)
    advance = font.load_char(ord(letter), flags=_hinting()).horiAdvance
    return _Letter(ink, math.floor(font.get_bitmap_offset()[0] / 64), above, round(advance / 64))


def _line(file: str, size: float, dpi: float, text: str) -> tuple[NDArray[np.uint8], int, int]:
    """A line's ink, (rows, columns) uint8, the columns of margin at each end, and its rows below the baseline."""
    letters = [_letter(file, size, dpi, letter) for letter in text]
    above = max((letter.above for letter in letters), default=0)
    below = max((len(letter.ink) - letter.above for letter in letters), default=0)
    width = sum(letter.advance for letter in letters)
    margin = above + below  # room for what juts out at the ends
    ink = np.zeros((above + below, width + 2 * margin), np.uint8)
    place = margin
    for letter in letters:
        rows, columns = letter.ink.shape
        top, left = above - letter.above, max(place + letter.left, 0)
        part = ink[top : top + rows, left : left + columns]
        np.maximum(part, letter.ink, out=part)
        place += letter.advance
    return ink, margin, below


def _painted(ink: NDArray[np.uint8], colour: tuple[float, float, float]) -> NDArray[np.uint8]:
    """(rows, columns, 4) uint8 for `draw_image`: one colour, as opaque as the ink; the first row at the bottom."""
    picture = np.empty((*ink.shape, 4), np.uint8)
    picture[..., :3] = [round(255 * part) for part in colour]
    picture[..., 3] = ink
    return picture[::-1]


@lru_cache(maxsize=64)
def _extent(file: str, size: float, dpi: float) -> tuple[float, float]:
    """The height of letters above and below the baseline, in pixels, as `Text` measures it."""
    font = get_font(file)
    font.set_size(size, dpi)
    font.set_text("lp", 0.0, flags=_hinting())
    below = font.get_descent() / 64
    return font.get_width_height()[1] / 64 - below, below


def _hinting() -> LoadFlags:
    """How Matplotlib fits letters to pixels."""
    flags: LoadFlags = get_hinting_flag()  # type: ignore[no-untyped-call]
    return flags


@lru_cache(maxsize=64)
def _charmap(file: str) -> frozenset[int]:
    return frozenset(get_font(file).get_charmap())
