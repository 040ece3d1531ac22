"""CelebA for computer vision: six views of one face."""

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
from mmtoolkit.sources.celeba_release import FOLDERS, opened
from mmtoolkit.sources.landmarks import LANDMARK_FILE, FoundLandmarks, KeptLandmarks
from mmtoolkit.sources.transformations import edges, grey, mask, obscured, watermarked
from mmtoolkit.tables.cells import Cells

_BLOCK = 16  # rows that a thread makes before it asks for more

View = Callable[[Image.Image, str], Any]
"""A picture and its file name -> the cell of a view."""


class Views:
    """The rows of a split: a `Table` of views made when they are asked for, each picture read once for all of them."""

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

        Views are uint8 arrays, None where there is none, and the picture as it is what `CelebA` gives: only `chunks`
        of several views reads it too. Attributes are int8 (N,), 1 or -1.
        """
        if name not in self._views:
            return self._faces.column(name)
        return [cell for chunk in self.chunks([name], MOST_ROWS) for cell in chunk[name]]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time, and no more than `MOST_ROWS`."""
        size = min(size, MOST_ROWS)
        wanted = [name for name in names if name in self._views]
        if wanted in ([], ["image"]):  # then nothing has to be made
            yield from self._faces.chunks(names, size)
            return
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
            for start in range(0, len(self), size):
                files = self._faces.files[start : start + size]
                blocks = [files[i : i + _BLOCK] for i in range(0, len(files), _BLOCK)]
                rows = [row for block in pool.map(lambda files: self._rows(files, wanted), blocks) for row in block]
                made = dict(zip(wanted, map(list, zip(*rows, strict=True)), strict=True))
                yield {
                    name: made[name] if name in made else self._faces.cells(name, start, start + size) for name in names
                }

    def _rows(self, files: Sequence[str], wanted: Sequence[str]) -> list[list[Any]]:
        return [self._row(file, wanted) for file in files]

    def _row(self, file: str, wanted: Sequence[str]) -> list[Any]:
        cell = self._faces.pictures.cell(file)
        try:
            picture = opened(cell)
        except Exception:  # whoever reads the cell names the fault, as with any picture
            return [cell] * len(wanted)
        return [self._views[name](picture, file) for name in wanted]


class CelebAVision(CelebASource):
    """Six views of each face of CelebA, after Wu & Goodman 2018, section 7.

    Columns: `image`, the picture; `grey`; `edges`, by Canny; `mask`, its eyes, brows, nose and mouth filled and its jaw
    as a line; `obscured`, with its right half black; `watermarked`; and the 40 attributes. Views are made from the
    picture as it is, and a modality resizes them. `mask` is missing where no face was found: landmarks are read from
    `landmarks68.npz` in the folder, or found by dlib where there is none. Needs `pip install 'mmtoolkit[vision]'`.
    """

    kind: Literal["celeba_vision"] = "celeba_vision"

    sigma: Annotated[float, Field(gt=0, le=50)] = 1.0
    """The standard deviation of the Gaussian that smooths a picture before its edges are found, in pixels."""

    def files(self) -> Sequence[Path]:
        """Those of CelebA, and the landmarks where they are kept."""
        return [*super().files(), *self._landmark_file()]

    def notes(self) -> Sequence[str]:
        """How many pictures are here, and where the landmarks come from."""
        release = self._release()
        return [*release.notes(), f"column mask, where it is read: {self._landmarks().note(release.names())}"]

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
            raise UserError("data.root: is not set; give the folder of the celeba files")
        return [path for folder in FOLDERS if (path := self.root / folder / LANDMARK_FILE).is_file()][:1]

    def _landmarks(self) -> KeptLandmarks | FoundLandmarks:
        kept = self._landmark_file()
        return KeptLandmarks(kept[0]) if kept else FoundLandmarks()
