"""Words that Pillow draws, seven times as fast as Matplotlib: pictures of wide tables hold 100,000 letters."""

from functools import lru_cache

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from PIL import Image, ImageDraw, ImageFont

SPACING = 1.25  # from one line to the next, relative to the font size
_ACROSS = {"left": ("ls", 0.0), "center": ("ms", 0.5), "right": ("rs", 1.0)}  # Pillow's anchor; the share on its left
_ABOVE = {"top": 0.0, "center": 0.5, "bottom": 1.0}  # the share above the place


class Words(Text):
    """A `Text` of upright lines that Pillow draws. `Text` draws vector formats, and letters that the font lacks."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw the lines as one picture."""
        text, size = self.get_text(), float(renderer.points_to_pixels(self.get_fontsize()))  # type: ignore[arg-type]
        font, characters = _font(findfont(self.get_fontproperties()), size)
        if renderer.option_scale_image() or not characters.issuperset(map(ord, text.replace("\n", ""))):
            super().draw(renderer)
            return
        (anchor, across), lines = _ACROSS[self.get_horizontalalignment()], text.split("\n")
        width, pitch, margin = max(map(font.getlength, lines)), SPACING * size, round(size)
        height, colour = len(lines) * pitch, to_hex(self.get_color())
        # Transparent; letters may jut out into the margin.
        picture = Image.new("RGBA", (round(width) + 2 * margin, round(height) + 2 * margin))
        drawing, (_, above, _, below) = ImageDraw.Draw(picture), font.getbbox("lp", anchor="ls")
        for place, line in enumerate(lines):
            baseline = margin + round(place * pitch + (pitch - above - below) / 2)  # in whole pixels, to be crisp
            drawing.text((margin + round(across * width), baseline), line, colour, font, anchor)
        x, y = self.get_transform().transform(self.get_position())
        left, top = x - across * width, y + _ABOVE[self.get_verticalalignment()] * height
        bottom = round(top) + margin - picture.height
        renderer.draw_image(renderer.new_gc(), round(left) - margin, bottom, np.asarray(picture)[::-1])


def write(figure: Figure, x: float, y: float, text: str, size: float, colour: str, across: str, above: str) -> None:
    """Put words of a size in points onto a figure, as `Figure.text` does, aligned as `_ACROSS` and `_ABOVE` name it."""
    words = Words(x, y, text, color=colour, linespacing=SPACING, parse_math=False, transform=figure.transSubfigure)
    words.set(fontsize=size, horizontalalignment=across, verticalalignment=above, figure=figure)
    figure.texts.append(words)


@lru_cache(maxsize=64)
def _font(file: str, size: float) -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    """A font of a size in pixels, and the characters that it has."""
    font = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    return font, frozenset(get_font(file).get_charmap())
