"""The recipe of PolyMNIST: a digit, inverted, on a random crop of a photograph.

From the repository of Sutter, Daunhawer & Vogt, "Generalized Multimodal ELBO", ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mmtoolkit.tables.cells import Cells

SIDE = 28
"""The side of a digit, in pixels."""

_WHITE = 128  # a pixel of a digit above this value is part of it


class View(NamedTuple):
    """What a view shows in each row.

    Attributes:
        images: (N,) int64, places of images of MNIST.
        tops: (N,) int64, the first line of the crop.
        lefts: (N,) int64, its first column.
    """

    images: NDArray[np.int64]
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]


def draw_view(labels: NDArray[np.str_], photograph: NDArray[np.uint8], generator: np.random.Generator) -> View:
    """Draw a view: a permutation of the images of each digit, and a crop for each row.

    Args:
        labels: (N,), the digit of each row, which is that of the image in its place.
        photograph: (height, width, 3), larger than a digit.
        generator: of the view.
    """
    images = np.empty(len(labels), dtype=np.int64)
    for digit in np.unique(labels):
        rows = np.flatnonzero(labels == digit)
        images[rows] = generator.permutation(rows)
    height, width = photograph.shape[:2]
    tops = generator.integers(height - SIDE, size=len(labels))
    return View(images, tops, generator.integers(width - SIDE, size=len(labels)))


def put_on(
    digits: NDArray[np.uint8], photograph: NDArray[np.uint8], tops: NDArray[np.int64], lefts: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Crops of a photograph, with the colours inverted where a digit is.

    Args:
        digits: (N, 28, 28).
        photograph: (height, width, 3).
        tops: (N,), the first line of each crop.
        lefts: (N,), its first column.

    Returns:
        (N, 3, 28, 28).
    """
    crops = sliding_window_view(photograph, (SIDE, SIDE), axis=(0, 1))[tops, lefts]
    return np.where((digits > _WHITE)[:, None], np.uint8(255) - crops, crops)


class DigitsOnPhotographs:
    """The rows of a split, a `Table` that makes pictures as they are read.

    Args:
        images: (N, 28, 28), of MNIST.
        labels: (N,), the digit of each row.
        photographs: one for each view.
        views: what each shows.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.str_],
        photographs: Sequence[NDArray[np.uint8]],
        views: Sequence[View],
    ) -> None:
        self._images, self._labels = images, labels
        self._of_view = {f"m{place}": both for place, both in enumerate(zip(photographs, views, strict=True))}

    @property
    def names(self) -> tuple[str, ...]:
        """`m0`, `m1`, … and `digit`."""
        return (*self._of_view, "digit")

    def __len__(self) -> int:
        return len(self._labels)

    def column(self, name: str) -> Cells:
        """All cells of a column: uint8 (N, 3, 28, 28), or digits as texts (N,)."""
        return self._cells(name, slice(None))

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time."""
        for start in range(0, len(self), size):
            yield {name: self._cells(name, slice(start, start + size)) for name in names}

    def _cells(self, name: str, rows: slice) -> Cells:
        if name == "digit":
            return self._labels[rows]
        photograph, view = self._of_view[name]
        return put_on(self._images[view.images[rows]], photograph, view.tops[rows], view.lefts[rows])
