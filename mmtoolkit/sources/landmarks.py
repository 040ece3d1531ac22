"""Landmarks of faces: 68 points (Sagonas et al. 2013), kept in a file or found on a picture."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmtoolkit.base.errors import UserError

Points = NDArray[np.float64]
"""(68, 2), (x, y) in pixels of a picture, whose top left pixel has its centre at (0, 0)."""

FRAME = (178, 218)
"""Width and height of the aligned pictures of CelebA, in whose pixels landmarks are kept."""
LANDMARK_FILE = "landmarks68.npz"
POINTS = 68

_MODEL = "shape_predictor_68_face_landmarks.dat"


class Landmarks(Protocol):
    """Where the landmarks of a picture come from."""

    def points(self, picture: Image.Image, file: str) -> Points | None:
        """The landmarks of a picture in its own pixels; None where no face was found."""

    def note(self, files: Sequence[str]) -> str:
        """What the user should know of those of the named pictures."""


def scaled(points: NDArray[Any], size: tuple[int, int]) -> Points:
    """Points in the pixels of `FRAME` as points in those of the same picture at another size, (width, height)."""
    found: Points = (points + 0.5) * (np.array(size) / FRAME) - 0.5
    return found


class KeptLandmarks:
    """Landmarks in an npz file: `image_id` (N,), `points` (N, 68, 2), `detected` (N,).

    Raises:
        UserError: the file cannot be read, or lacks an array.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        found = path.stat()
        self._rows, self._points = _read(path, found.st_size, found.st_mtime_ns)

    def points(self, picture: Image.Image, file: str) -> Points | None:
        """The landmarks that the file has of a picture."""
        row = self._rows.get(_number(file))
        return None if row is None else scaled(self._points[row], picture.size)

    def note(self, files: Sequence[str]) -> str:
        """Which file it is, and how many faces it does not have."""
        missing = sum(_number(file) not in self._rows for file in files)
        text = f"landmarks are read from {self.path}"
        return f"{text}; {missing:,} of {len(files):,} faces have none there, and no mask" if missing else text


def _number(file: str) -> str:
    """`1` of `000001.jpg`."""
    return file.partition(".")[0].lstrip("0")


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed: int) -> tuple[dict[str, int], NDArray[Any]]:
    remedy = "make it again, or remove it to have faces found by dlib"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, points, detected = (arrays[name] for name in ("image_id", "points", "detected"))
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]}; {remedy}") from error
    except Exception as error:  # a broken archive raises what it likes
        raise UserError(f"{path}: cannot be read: {error}; {remedy}") from error
    if ids.ndim != 1 or points.shape != (len(ids), POINTS, 2) or detected.shape != ids.shape:
        raise UserError(
            f"{path}: its arrays image_id, points and detected have shapes {ids.shape}, {points.shape} and "
            f"{detected.shape}, not (N,), (N, {POINTS}, 2) and (N,); {remedy}"
        )
    detected = detected.astype(bool)
    if ids.dtype.kind not in "iu" or points.dtype.kind not in "iuf" or not np.isfinite(points[detected]).all():
        raise UserError(
            f"{path}: its image_id are not whole numbers, or its points are not finite numbers where a face was "
            f"detected; {remedy}"
        )
    return {str(id_): row for row, (id_, seen) in enumerate(zip(ids.tolist(), detected, strict=True)) if seen}, points


class FoundLandmarks:
    """Landmarks that dlib finds on a picture (Kazemi & Sullivan 2014), the face it is surest of.

    The picture is brought to the size of `FRAME` first: the detector knows faces of 80 pixels and more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a detector works in memory of its own
        self._tools: tuple[Any, Any] | None = None

    def points(self, picture: Image.Image, file: str) -> Points | None:
        """The landmarks of the face on a picture.

        Raises:
            UserError: dlib or its model is not installed.
        """
        pixels = np.asarray(picture.convert("RGB").resize(FRAME, Image.Resampling.BICUBIC))
        with self._lock:
            if self._tools is None:
                self._tools = _tools()
            detector, predictor = self._tools
            faces, _, _ = detector.run(pixels, 0, 0.0)  # the surest comes first
            if not faces:
                return None
            shape = predictor(pixels, faces[0])
        return scaled(np.array([(part.x, part.y) for part in shape.parts()]), picture.size)

    def note(self, files: Sequence[str]) -> str:
        """That there is no file."""
        return f"landmarks are found on the pictures by dlib, as there is no {LANDMARK_FILE} in data.root"


def _tools() -> tuple[Any, Any]:
    """The face detector and the predictor of landmarks of dlib."""
    try:
        import dlib

        models = importlib.util.find_spec("face_recognition_models")  # importing it asks for setuptools
    except ImportError:
        models = None
    if models is None or not models.submodule_search_locations:
        raise UserError(
            f"column mask: there is no {LANDMARK_FILE} in data.root, and dlib with its model is not installed to find "
            "landmarks; run `pip install 'mmtoolkit[vision]'`, or put the file there"
        )
    model = Path(next(iter(models.submodule_search_locations))) / "models" / _MODEL
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))
