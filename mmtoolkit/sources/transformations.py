"""Five more views of a picture of a face (Wu & Goodman 2018, section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mmtoolkit.base.errors import UserError
from mmtoolkit.sources.landmarks import FRAME, Points

Pixels = NDArray[np.uint8]
"""(height, width), or (height, width, 3)."""

JAW = slice(0, 17)
"""The landmarks along the jaw; `mask` draws a line."""
PARTS = (
    slice(17, 22),
    slice(22, 27),
    slice(27, 36),
    slice(36, 42),
    slice(42, 48),
    slice(48, 68),
)
"""The landmarks of brows, nose, eyes and mouth; `mask` draws the convex hull of each."""


def grey(picture: Image.Image) -> Pixels:
    """The luma (height, width), ITU-R 601."""
    return np.asarray(picture.convert("L"))


def edges(picture: Image.Image, sigma: float) -> Pixels:
    """The edges (height, width), 255 or 0, by scikit-image (Canny 1986).

    Args:
        picture: of a face.
        sigma: the standard deviation of the Gaussian that smooths first, in pixels.

    Raises:
        UserError: scikit-image is not installed.
    """
    try:
        from skimage.feature import canny
    except ImportError as error:
        raise UserError(f"column edges: needs scikit-image ({error}); run `pip install 'mmtoolkit[vision]'`") from error
    pixels: NDArray[np.bool_] = canny(grey(picture), sigma=sigma)
    return pixels.astype(np.uint8) * 255


def obscured(picture: Image.Image) -> Pixels:
    """The picture with its right half black, (height, width, 3)."""
    pixels = np.array(picture.convert("RGB"))
    pixels[:, pixels.shape[1] // 2 :] = 0
    return pixels


def mask(size: tuple[int, int], points: Points) -> Pixels:
    """The parts of a face, white on black, (height, width).

    Args:
        size: width and height.
        points: landmarks in pixels of that size.
    """
    picture = Image.new("L", size)
    draw = ImageDraw.Draw(picture)
    corners = [(int(x), int(y)) for x, y in np.rint(points).tolist()]
    for part in PARTS:
        hull = convex_hull(corners[part])
        draw.polygon(hull, fill=255, outline=255) if len(hull) > 2 else draw.line(hull * 2, fill=255)
    for width in {1, max(1, round(2 * size[0] / FRAME[0]))}:  # a wide line alone has gaps where it bends
        draw.line(corners[JAW], fill=255, width=width)
    return np.asarray(picture)


def convex_hull(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The corners of the convex hull, in order around it (Andrew 1979)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    halves = []
    for run in (ordered, ordered[::-1]):
        half: list[tuple[int, int]] = []
        for x, y in run:
            while len(half) > 1:
                (ax, ay), (bx, by) = half[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                half.pop()
            half.append((x, y))
        halves.append(half[:-1])
    return halves[0] + halves[1]


# The watermark: "mmt" above two strokes, as lines in a unit square, so that it needs no font.
_M = ((0.0, 1.0), (0.0, 0.0), (0.5, 0.65), (1.0, 0.0), (1.0, 1.0))
_T = (((0.0, 0.0), (1.0, 0.0)), ((0.5, 0.0), (0.5, 1.0)))
_STROKES = (
    *([(0.12 + left + 0.2 * x, 0.40 + 0.22 * y) for x, y in _M] for left in (0.0, 0.28)),
    *([(0.68 + 0.2 * x, 0.40 + 0.22 * y) for x, y in line] for line in _T),
    [(0.0, 0.36), (0.36, 0.0)],
    [(0.64, 1.0), (1.0, 0.66)],
)
_OPACITY = 0.6
_FINE = 4


@lru_cache(maxsize=4)
def watermark(size: tuple[int, int]) -> Image.Image:
    """The share of each pixel that the watermark covers, 0 to 255, for a picture of (width, height)."""
    width, height = size
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    large = Image.new("L", (_FINE * width, _FINE * height))
    draw = ImageDraw.Draw(large)
    thick = max(1, round(0.055 * side * _FINE))
    for stroke in _STROKES:
        line = [(_FINE * (left + x * side), _FINE * (top + y * side)) for x, y in stroke]
        draw.line(line, fill=round(255 * _OPACITY), width=thick, joint="curve")
    return large.resize(size, Image.Resampling.BOX)


def watermarked(picture: Image.Image) -> Pixels:
    """The picture under a white, half-transparent watermark in its middle square, (height, width, 3)."""
    white = Image.new("RGB", picture.size, "white")
    return np.asarray(Image.composite(white, picture.convert("RGB"), watermark(picture.size)))
