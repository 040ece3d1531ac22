"""The source `celeba_vision`: six views of each face of CelebA."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Table
from mmtoolkit.sources.celeba import MOST_ROWS, CelebASource, Faces
from mmtoolkit.sources.celeba_release import FOLDERS, open_picture
from mmtoolkit.sources.landmarks import LANDMARK_FILE, DetectedLandmarks, StoredLandmarks
from mmtoolkit.sources.transformations import edges, grey, mask, obscured, watermarked
from mmtoolkit.tables.cells import Cells

_BLOCK = 16  # rows that a thread makes at a time

View = Callable[[Image.Image, str], Any]
"""Makes the cell of a view from a picture and its file name."""


class Views:
    """The rows of a split: a `Table` that makes views on request and reads each picture once for all views."""

    def __init__(self, faces: Faces, views: Mapping[str, View]) -> None:
        self._faces, self._views = faces, dict(views)

    @property
    def names(self) -> tuple[str, ...]:
        """The views and the attributes."""
        return (*self._views, *(name for name in self._faces.names if name not in self._views))

    def __len__(self) -> int:
        return len(self._faces)

    def column(self, name: str) -> Cells:
        """All cells of a column.

        Views are uint8 arrays, or None without a face. `image` alone is what `CelebA` returns; `chunks` of several
        views reads it too. Attributes are int8 (N,), 1 or -1.
        """
        if name not in self._views:
            return self._faces.column(name)
        return [cell for chunk in self.chunks([name], MOST_ROWS) for cell in chunk[name]]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time, and no more than `MOST_ROWS`."""
        size = min(size, MOST_ROWS)
        views = [name for name in names if name in self._views]
        if views in ([], ["image"]):  # no view to make
            yield from self._faces.chunks(names, size)
            return
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
            for start in range(0, len(self), size):
                files = self._faces.files[start : start + size]
                blocks = [files[i : i + _BLOCK] for i in range(0, len(files), _BLOCK)]
                rows = [row for block in pool.map(lambda files: self._rows(files, views), blocks) for row in block]
                columns = dict(zip(views, map(list, zip(*rows, strict=True)), strict=True))
                yield {
                    name: columns[name] if name in columns else self._faces.cells(name, start, start + size)
                    for name in names
                }

    def _rows(self, files: Sequence[str], views: Sequence[str]) -> list[list[Any]]:
        return [self._row(file, views) for file in files]

    def _row(self, file: str, views: Sequence[str]) -> list[Any]:
        cell = self._faces.pictures.cell(file)
        try:
            picture = open_picture(cell)
        except Exception:  # the modality that reads the cell reports the fault
            return [cell] * len(views)
        return [self._views[name](picture, file) for name in views]


class CelebAVision(CelebASource):
    """Six views of each face of CelebA, after Wu & Goodman 2018, section 7.

    Columns: `image`, the picture; `grey`; `edges`, by Canny; `mask`, with eyes, brows, nose and mouth filled and the
    jaw as a line; `obscured`, with its right half black; `watermarked`; and the 40 attributes. Views have the size of
    the picture; modalities resize them. `mask` is missing if no face is known: landmarks come from `landmarks68.npz` in
    the folder, or from dlib if there is no such file. Needs `pip install 'mmtoolkit[vision]'`.
    """

    kind: Literal["celeba_vision"] = "celeba_vision"

    sigma: Annotated[float, Field(gt=0, le=50)] = 1.0
    """The standard deviation of the Gaussian that smooths a picture before edge detection, in pixels."""

    def files(self) -> Sequence[Path]:
        """The files of CelebA, and the file of landmarks if there is one."""
        return [*super().files(), *self._landmark_file()]

    def notes(self) -> Sequence[str]:
        """The number of pictures, if some are missing, and the origin of the landmarks."""
        release = self._release()
        return [*release.notes(), f"column mask, if you use it: {self._landmarks().note(release.names())}"]

    def load(self, split: str) -> Table:
        """Views as uint8, (height, width) or (height, width, 3); attributes as int8 (N,), 1 or -1."""
        landmarks = self._landmarks()

        def masked(picture: Image.Image, file: str) -> Any:
            points = landmarks.points(picture, file)
            return None if points is None else mask(picture.size, points)

        views: dict[str, View] = {
            "image": lambda picture, file: np.asarray(picture),
            "grey": lambda picture, file: grey(picture),
            "edges": lambda picture, file: edges(picture, self.sigma),
            "mask": masked,
            "obscured": lambda picture, file: obscured(picture),
            "watermarked": lambda picture, file: watermarked(picture),
        }
        return Views(Faces(self._release(), split), views)

    def _landmark_file(self) -> Sequence[Path]:
        if self.root is None:
            raise UserError("data.root: is not set; set it to the folder of the celeba files")
        return [path for folder in FOLDERS if (path := self.root / folder / LANDMARK_FILE).is_file()][:1]

    def _landmarks(self) -> StoredLandmarks | DetectedLandmarks:
        files = self._landmark_file()
        return StoredLandmarks(files[0]) if files else DetectedLandmarks()
