"""How images propose to read a table's column."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmt_image.pictures import is_deep
from mmtoolkit import ColumnSummary, Proposal

_LOOKED_AT = 24
_SMALL = 32  # pixels, up to which pictures of one size keep it
_MLP = 28 * 28  # numbers, up to which fully connected layers do
_WHITES = (255, 1023, 4095, 16383)  # of 8, 10, 12 and 14 bits in a file of 16
_COST_OF_MLP, _COST, _COST_OF_NUMBER = 0.6, 2.5, 0.00045


def image_proposal(column: ColumnSummary) -> Proposal | None:
    """Texts that name picture files, or the bytes of such files."""
    pictures: Sequence[Path | io.BytesIO]
    faults: list[str] = []
    if column.texts is not None:
        if column.share([text.lower().endswith(_endings()) for text in column.texts]) < 0.5 or _addresses(column.texts):
            return None
        pictures, faults = column.files(_LOOKED_AT)
    elif column.cells and all(isinstance(cell, bytes) for cell in column.cells):
        pictures = [io.BytesIO(cell) for cell in column.cells[:_LOOKED_AT]]
    else:
        return None
    seen = [looked for picture in pictures if (looked := _looked_at(picture)) is not None]
    if not seen:
        if column.texts is None:
            return None
        why = faults[0] if faults else "none of the first files is a picture that can be read"
        return Proposal(0.95, {"shape": [3, 32, 32]}, why, use=False)
    shape = _shape([looked.shape for looked in seen])
    numbers = math.prod(shape)
    network, cost = ("mlp", _COST_OF_MLP) if numbers <= _MLP else ("dcgan", _COST + _COST_OF_NUMBER * numbers)
    colours, tried = "grey" if shape[0] == 1 else "colour", len(pictures) + len(faults)
    heights, widths = ([looked.shape[side] for looked in seen] for side in (1, 2))
    about = f"{colours} pictures of {_range(heights)}x{_range(widths)} pixels"
    options: dict[str, Any] = {"shape": shape, "network": network}
    deep = [looked.largest for looked in seen if looked.largest is not None]
    white = next((white for white in _WHITES if deep and max(deep) <= white), None)
    if white is not None:
        options["white"] = white
        about += f"; no value of those of 16 bits is above {max(deep)}, so {white} is white, not 65535"
    if len(seen) < tried:
        about += f"; {tried - len(seen)} of the first {tried} cannot be read"
    return Proposal(0.95, options, about, cost=cost)


class _Looked(NamedTuple):
    """A picture.

    Attributes:
        shape: (channels, height, width).
        largest: its largest value if it has 16 bits; None if it has 8 or 32.
    """

    shape: tuple[int, int, int]
    largest: int | None


def _range(sizes: Sequence[int]) -> str:
    return str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)}-{max(sizes)}"


def _endings() -> tuple[str, ...]:
    return tuple(Image.registered_extensions())


def _addresses(texts: Sequence[str]) -> bool:
    return "://" in texts[0]


def _looked_at(picture: Path | io.BytesIO) -> _Looked | None:
    """A picture's shape and largest value; None where it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(picture) as opened:
                most = Image.MAX_IMAGE_PIXELS
                if most is not None and opened.width * opened.height > most:
                    return None
                if is_deep(opened):
                    largest = int(np.asarray(opened).max()) if opened.mode.startswith("I;16") else None
                    return _Looked((1, opened.height, opened.width), largest)
                small = np.asarray(opened.convert("RGB").resize((_SMALL, _SMALL)), dtype=np.int16)
                return _Looked((1 if np.ptp(small, axis=2).max() <= 2 else 3, opened.height, opened.width), None)
        except Exception:  # decoders raise what they like on a broken file
            return None


def _shape(seen: Sequence[tuple[int, int, int]]) -> list[int]:
    """Grey where all are; the size of small pictures of one size, else a square that networks are quick on."""
    channels = max(channels for channels, _, _ in seen)
    sizes = {(height, width) for _, height, width in seen}
    height, width = next(iter(sizes))
    if len(sizes) == 1 and min(height, width) >= 4 and max(height, width) <= _SMALL:
        return [channels, height, width]
    shorter = median(min(height, width) for _, height, width in seen)
    side = 28 if shorter <= 28 else _SMALL
    return [channels, side, side]
