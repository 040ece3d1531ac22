"""The source `polymnist`: two to five views of a digit on photographs, from its release or made from MNIST."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import DataPath, Source, Table
from mmtoolkit.sources.idx import MNIST
from mmtoolkit.sources.photographs import read_photograph, shipped_photographs
from mmtoolkit.sources.polymnist_release import Part, Release, read_part
from mmtoolkit.sources.polymnist_views import SIDE, DigitsOnPhotographs, draw_view


class PolyMNIST(Source):
    """PolyMNIST (Sutter et al. 2021): views of 28x28 pixels, in colour, of different pictures of the same digit.

    Columns: `m0`, `m1`, …, one for each view, and `digit`. Each view has a photograph; a picture is a crop of it, with
    the colours inverted where an image of MNIST is white. The source makes the views from MNIST by the recipe of the
    authors' repository, or reads their release.
    """

    kind: Literal["polymnist"] = "polymnist"
    digits: ClassVar[type[MNIST]] = MNIST
    """The source of the digits."""

    origin: Literal["mnist", "release"] = "mnist"
    """`mnist` makes the views from MNIST; `release` reads those of the authors."""
    root: DataPath | None = None
    """The folder of MNIST's four files, or that of the release with its folders train and test; by default mmtoolkit
    searches for it (see `mmt data`)."""
    views: Annotated[int, Field(ge=2, le=5)] = 5
    """How many views there are."""
    valid: Annotated[int, Field(ge=0)] = 10_000
    """How many of the 60,000 training rows are the split `valid`; with 0 there is none, as in published results."""
    backgrounds: tuple[DataPath, ...] | None = None
    """Files of photographs, one for each view, each larger than 28x28 pixels. By default five of scikit-image."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes the draws: which digits a row shows, and which crops; for the release the order of the rows."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backgrounds is None:
            return self
        if self.origin == "release":
            raise ValueError("the release has its own backgrounds; remove backgrounds, or set origin to mnist")
        if len(self.backgrounds) < self.views:
            raise ValueError(
                f"backgrounds names {len(self.backgrounds)} files for {self.views} views; name {self.views}, or set "
                "views"
            )
        return self

    def located(self, find: Callable[[str], Path]) -> Self:
        """A copy with `root` filled in."""
        name = self.digits.data_set if self.origin == "mnist" else "polymnist"
        return self if self.root is not None else self.model_copy(update={"root": find(name)})

    def splits(self) -> tuple[str, ...]:
        """Train, valid unless the option is 0, and test."""
        return ("train", "valid", "test") if self.valid else ("train", "test")

    def files(self) -> Sequence[Path]:
        """The files of MNIST and the photographs that `backgrounds` names, or those of the release."""
        if self.origin == "release":
            return [file for part in ("train", "test") for file in self._part(part).files()]
        return [*self._mnist().files(), *(self.backgrounds or ())[: self.views]]

    def load(self, split: str) -> Table:
        """Views as uint8 (N, 3, 28, 28), or for the release as paths; digits as texts."""
        if self.origin == "release":
            name = "test" if split == "test" else "train"
            part = self._part(name)
            order = np.random.default_rng([self.seed, zlib.crc32(name.encode())]).permutation(len(part.digits))
            return Release(part, order[self._extent(split, len(order))])
        images, labels = self._images(split)
        photographs = self._photographs()
        views = [
            draw_view(labels, photograph, np.random.default_rng([self.seed, zlib.crc32(split.encode()), place]))
            for place, photograph in enumerate(photographs)
        ]
        return DigitsOnPhotographs(images, labels, photographs, views)

    def _part(self, name: str) -> Part:
        if self.root is None:
            raise UserError("data.root: is not set; set it to the folder of the polymnist release")
        return read_part(self.root / name, self.views)

    def _mnist(self) -> MNIST:
        return self.digits.model_validate({"root": self.root})

    def _extent(self, split: str, rows: int) -> slice:
        """The rows of a split among those of its part of the data."""
        if split == "test":
            return slice(0, rows)
        if self.valid >= rows:
            raise UserError(f"data.valid: is {self.valid:,}, but there are {rows:,} training rows; set it to fewer")
        return slice(0, rows - self.valid) if split == "train" else slice(rows - self.valid, rows)

    def _images(self, split: str) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
        """The images of MNIST (N, 28, 28) and digits (N,) of a split, which share no image with another split."""
        mnist = self._mnist()
        tables = [mnist.load(part) for part in (("test",) if split == "test" else ("train", "valid"))]
        images, labels = (
            np.concatenate([np.asarray(table.column(name)) for table in tables]) for name in ("image", "label")
        )
        if images.shape[1:] != (SIDE, SIDE):
            raise UserError(
                f"{self.root}: its images have {images.shape[1]}x{images.shape[2]} pixels, not {SIDE}x{SIDE}; set "
                f"data.root to the folder of the {self.digits.data_set} files"
            )
        extent = self._extent(split, len(images))
        return images[extent], labels[extent]

    def _photographs(self) -> list[NDArray[np.uint8]]:
        """One photograph for each view, (height, width, 3)."""
        if self.backgrounds is None:
            return shipped_photographs(self.views)
        return [read_photograph(file, SIDE) for file in self.backgrounds[: self.views]]
