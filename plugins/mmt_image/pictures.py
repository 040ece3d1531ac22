"""Picture files, PIL images and arrays to pixels, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from mmtoolkit import UserError

Pixels = NDArray[np.uint8]
_MODES = {1: "L", 3: "RGB"}
# Formats that say in one of these places, or nowhere, how a picture is to be turned.
_TURNED_BY = {"JPEG": {"exif", "xmp"}, "PNG": {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}}


def pixels(
    cell: Any, shape: tuple[int, int, int], resize: Literal["crop", "stretch", "error"], white: int | None = None
) -> Pixels:
    """A cell as pixels (channels, height, width); a view that may be read only.

    Args:
        cell: the path of a picture, the bytes of its file, a PIL image, or an array.
        shape: (channels, height, width).
        resize: what becomes of another size.
        white: the value that is white in pictures of more than 8 bits; None where their mode tells.

    Raises:
        ValueError: what is wrong with the cell.
    """
    if isinstance(cell, (str, Path)):
        picture = _opened(cell, f"{cell}: ")
    elif isinstance(cell, (bytes, bytearray)):
        picture = _opened(io.BytesIO(cell), "")
    elif isinstance(cell, Image.Image):
        try:
            picture = ImageOps.exif_transpose(cell)
        except Exception as error:  # a picture is read when it is first used
            raise ValueError(f"it is no picture that can be read ({_text(error)}); replace it") from error
    else:
        try:
            array = np.asarray(cell)
        except UserError as error:  # of what reads itself, such as a member of an archive
            raise ValueError(str(error)) from error
        except Exception as error:
            raise ValueError(f"it is no picture, path or array ({_text(error)}); give one of these") from error
        picture = _from_array(array, shape, white)
    if 0 in picture.size:
        raise ValueError("it has no pixels; replace it")
    channels, height, width = shape
    picture = _fitted(_in_mode(picture, _MODES[channels], white), (width, height), resize)
    array = np.asarray(picture, dtype=np.uint8)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _opened(file: str | Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with Image.open(file) as picture:  # its size is known, its pixels are not read yet
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and picture.width * picture.height > most:
                raise Image.DecompressionBombError
            picture.load()
            if picture.format in _TURNED_BY and not picture.info.keys() & _TURNED_BY[picture.format]:
                return picture  # half the time goes into asking a small picture that says nothing of its orientation
            return ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise ValueError(f"{name}there is no such file; correct the path, or leave the cell empty") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # the latter where warnings are errors
        raise ValueError(f"{name}has more pixels than is safe to open; make it smaller") from None
    except Exception as error:  # decoders raise what they like on a broken file
        named = repr(file) if isinstance(file, io.BytesIO) else repr(str(file))
        text = _text(error).replace(named, "").rstrip(": ")
        raise ValueError(f"{name}is no picture that can be read ({text}); replace the file") from None


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def is_deep(picture: Image.Image) -> bool:
    """Whether a picture has 16 or 32 bits a pixel, which Pillow would clip to 8."""
    return picture.mode.startswith(("I", "F"))


def _in_mode(picture: Image.Image, mode: str, white: int | None) -> Image.Image:
    """Grey or RGB; what is transparent is laid on white."""
    if is_deep(picture):
        values = np.asarray(picture, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("its numbers are not all finite; mend the picture")
        most = values.max(initial=0)
        if white is not None:
            top = white
        elif picture.mode.startswith("I;16"):
            top = 65535
        elif picture.mode == "F" and most <= 1:
            top = 1
        else:
            top = 65535 if most > 255 else 255
        picture = Image.fromarray((np.clip(values / top, 0, 1) * 255 + 0.5).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert(mode)


def _fitted(picture: Image.Image, size: tuple[int, int], resize: str) -> Image.Image:
    if picture.size == size:
        return picture
    if resize == "error":
        raise ValueError(
            f"it has {picture.height}x{picture.width} pixels, not {size[1]}x{size[0]}; "
            "set resize to crop or stretch, or change shape"
        )
    filter_ = Image.Resampling.BILINEAR
    if resize == "stretch":
        return picture.resize(size, filter_)
    return ImageOps.fit(picture, size, filter_)


def _from_array(array: NDArray[Any], shape: tuple[int, int, int], white: int | None) -> Image.Image:
    channels = shape[0]
    given = array.shape
    if (array.ndim == 3 and given[0] in (1, 3) and given[-1] not in (1, 3, 4)) or (array.ndim == 3 and given == shape):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or 0 in given or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(
            f"an array of shape {given} is no image; give (height, width), ({channels}, height, width) "
            f"or (height, width, {channels})"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("its numbers are not all in [0, 1]; divide by the largest, or give uint8")
        array = (array * 255 + 0.5).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.integer):
        top = 255 if white is None or array.dtype.itemsize == 1 else white
        if array.min() < 0 or (array.max() > 255 and top == 255):
            raise ValueError("its numbers are not all from 0 to 255; scale them, or set white to the largest")
        array = (np.minimum(array, top) / top * 255 + 0.5).astype(np.uint8)
    else:
        raise ValueError(f"an array of {array.dtype} is no image; give uint8, or floats in [0, 1]")
    return Image.fromarray(np.ascontiguousarray(array))


def picture(value: Tensor) -> Image.Image:
    """Pixels in [0, 1], (channels, height, width), as a PIL image."""
    array = (value.detach().float().clamp(0, 1).cpu().numpy() * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))
