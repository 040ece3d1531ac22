"""Photographs: those that ship with scikit-image under free licences, and files of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text

SHIPPED = ("coffee", "rocket", "hubble_deep_field", "chelsea", "astronaut")
"""Functions of `skimage.data`. By its documentation coffee and chelsea are CC0, and the others in the public domain."""


def shipped_photographs(count: int) -> list[NDArray[np.uint8]]:
    """The first photographs of `SHIPPED`, uint8 (height, width, 3) each.

    Raises:
        UserError: scikit-image is not installed, or lacks one of them.
    """
    remedy = "run `pip install 'mmtoolkit[vision]'`, or name files of your own in data.backgrounds"
    try:
        import skimage.data
    except ImportError as error:
        raise UserError(f"data.backgrounds: the photographs need scikit-image ({error}); {remedy}") from error
    photographs = []
    for name in SHIPPED[:count]:
        try:
            photographs.append(np.asarray(getattr(skimage.data, name)(), dtype=np.uint8))
        except Exception as error:  # it may try to fetch one that it does not ship
            raise UserError(
                f"data.backgrounds: scikit-image cannot read {name} ({error_text(error)}); {remedy}"
            ) from error
    return photographs


def read_photograph(file: Path, side: int) -> NDArray[np.uint8]:
    """A file as uint8 (height, width, 3), upright.

    Args:
        file: of a picture.
        side: height and width must be larger, in pixels.

    Raises:
        UserError: the file is missing, is no picture, or is too small.
    """
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such file; correct data.backgrounds") from None
    except Exception as error:  # decoders raise many classes for a damaged file
        raise UserError(
            f"{file}: is no picture that can be read ({error_text(error)}); replace it, or correct data.backgrounds"
        ) from None
    height, width = pixels.shape[:2]
    if min(height, width) <= side:
        raise UserError(
            f"{file}: has {width}x{height} pixels, and a background must be larger than {side}x{side}; name a larger "
            "picture in data.backgrounds"
        )
    return pixels
