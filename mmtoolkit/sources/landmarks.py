"""Landmarks of faces: 68 points (Sagonas et al. 2013), from a file or detected on a picture."""

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
"""(68, 2), (x, y) in pixels of a picture; the centre of the top left pixel is (0, 0)."""

FRAME = (178, 218)
"""Width and height of CelebA's aligned pictures; landmark files use their pixels."""
LANDMARK_FILE = "landmarks68.npz"
POINTS = 68

_MODEL = "shape_predictor_68_face_landmarks.dat"


class Landmarks(Protocol):
    """An origin of landmarks."""

    def points(self, picture: Image.Image, file: str) -> Points | None:
        """The landmarks of a picture in its own pixels; None without a face."""

    def note(self, files: Sequence[str]) -> str:
        """A note for the user on the landmarks of the named pictures."""


def scale_points(points: NDArray[Any], size: tuple[int, int]) -> Points:
    """Convert points from the pixels of `FRAME` to those of the same picture at another size, (width, height)."""
    scaled: Points = (points + 0.5) * (np.array(size) / FRAME) - 0.5
    return scaled


class StoredLandmarks:
    """Landmarks from an npz file: `image_id` (N,), `points` (N, 68, 2), `detected` (N,).

    Raises:
        UserError: the file cannot be read, or lacks an array.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        stat = path.stat()
        self._rows, self._points = _read(path, stat.st_size, stat.st_mtime_ns)

    def points(self, picture: Image.Image, file: str) -> Points | None:
        """The landmarks of a picture in the file."""
        row = self._rows.get(_number(file))
        return None if row is None else scale_points(self._points[row], picture.size)

    def note(self, files: Sequence[str]) -> str:
        """The file, and the number of faces that it lacks."""
        missing = sum(_number(file) not in self._rows for file in files)
        text = f"its landmarks come from {self.path}"
        return f"{text}; {missing:,} of {len(files):,} faces have none there, so no mask" if missing else text


def _number(file: str) -> str:
    """`1` for `000001.jpg`."""
    return file.partition(".")[0].lstrip("0")


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed: int) -> tuple[dict[str, int], NDArray[Any]]:
    remedy = "make it again, or remove it to detect landmarks with dlib"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, points, detected = (arrays[name] for name in ("image_id", "points", "detected"))
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]}; {remedy}") from error
    except Exception as error:  # a damaged archive raises many classes
        raise UserError(f"{path}: cannot be read: {error}; {remedy}") from error
    if ids.ndim != 1 or points.shape != (len(ids), POINTS, 2) or detected.shape != ids.shape:
        raise UserError(
            f"{path}: its arrays image_id, points and detected have shapes {ids.shape}, {points.shape} and "
            f"{detected.shape}, not (N,), (N, {POINTS}, 2) and (N,); {remedy}"
        )
    detected = detected.astype(bool)
    if ids.dtype.kind not in "iu" or points.dtype.kind not in "iuf" or not np.isfinite(points[detected]).all():
        raise UserError(
            f"{path}: image_id must be whole numbers, and points finite numbers if a face was detected; {remedy}"
        )
    return {
        str(id_): row for row, (id_, has_face) in enumerate(zip(ids.tolist(), detected, strict=True)) if has_face
    }, points


class DetectedLandmarks:
    """Landmarks that dlib detects on a picture (Kazemi & Sullivan 2014), for the most certain face.

    The picture is resized to `FRAME` first, as the detector needs faces of 80 pixels or more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a detector has state
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
            faces, _, _ = detector.run(pixels, 0, 0.0)  # the most certain comes first
            if not faces:
                return None
            shape = predictor(pixels, faces[0])
        return scale_points(np.array([(part.x, part.y) for part in shape.parts()]), picture.size)

    def note(self, files: Sequence[str]) -> str:
        """That dlib detects the landmarks."""
        return f"dlib detects its landmarks, as there is no {LANDMARK_FILE} in data.root"


def _tools() -> tuple[Any, Any]:
    """The face detector and the landmark predictor of dlib."""
    try:
        import dlib

        models = importlib.util.find_spec("face_recognition_models")  # its import needs setuptools
    except ImportError:
        models = None
    if models is None or not models.submodule_search_locations:
        raise UserError(
            f"column mask: there is no {LANDMARK_FILE} in data.root, and dlib with its model is not installed; run "
            "`pip install 'mmtoolkit[vision]'`, or put the file there"
        )
    model = Path(next(iter(models.submodule_search_locations))) / "models" / _MODEL
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))
