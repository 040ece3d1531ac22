"""The source `multimnist`: canvases of up to four digits, and the digits as text."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Columns, DataPath, Source, Table
from mmtoolkit.sources.idx import MNIST

CANVAS = 50
"""The side of a canvas, in pixels."""
DIGIT = 21
"""The side of a digit on it: 28 / 1.3."""
CORNERS = ((4, 4), (4, 23), (23, 4), (23, 23))
"""The top left pixels of the cells in reading order, (row, column). Neighbours overlap by two pixels."""

_MNIST_SIDE = 28
_BLOCK = 1_000
_MOST_DRAWS = 1_000


class MultiMNIST(Source):
    """Digits of MNIST, none to four, on canvases of 50x50, after Wu & Goodman 2018, section 4.3.

    Columns: `image` and `text`, the digits in reading order, such as `407`; the text of an empty canvas is empty.
    Digits of 21x21 pixels fill four fixed cells in reading order. If overlapping digits exceed the largest grey value,
    the canvas is drawn again. There are 50,000 canvases to train, 10,000 to validate and 10,000 to test, each with
    digits from the same split of MNIST.
    """

    kind: Literal["multimnist"] = "multimnist"
    digits: ClassVar[type[MNIST]] = MNIST
    """The source of the digits."""
    sizes: ClassVar[dict[str, int]] = {"train": 50_000, "valid": 10_000, "test": 10_000}
    """Split -> the number of canvases."""

    root: DataPath | None = None
    """The folder of MNIST's four files; by default mmtoolkit searches for it (see `mmt data`)."""
    min_digits: Annotated[int, Field(ge=0, le=len(CORNERS))] = 0
    """The fewest digits on a canvas."""
    max_digits: Annotated[int, Field(ge=0, le=len(CORNERS))] = 4
    """The most digits on a canvas; all numbers from the fewest to the most are equally likely."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes the draws."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_digits > self.max_digits:
            raise ValueError(
                f"min_digits is {self.min_digits} and max_digits {self.max_digits}; give a min_digits up to max_digits"
            )
        return self

    def located(self, find: Callable[[str], Path]) -> Self:
        """A copy with `root` filled in."""
        return self if self.root is not None else self.model_copy(update={"root": find(self.digits.data_set)})

    def splits(self) -> tuple[str, ...]:
        """Train, valid and test."""
        return tuple(self.sizes)

    def files(self) -> Sequence[Path]:
        """The four files of MNIST."""
        return self._mnist().files()

    def load(self, split: str) -> Table:
        """Canvases as uint8 (N, 50, 50), texts as str (N,)."""
        digits = self._mnist().load(split)
        images, labels = np.asarray(digits.column("image")), np.asarray(digits.column("label"))
        if images.shape[1:] != (_MNIST_SIDE, _MNIST_SIDE):
            raise UserError(
                f"{self.root}: its images have {images.shape[1]}x{images.shape[2]} pixels, not "
                f"{_MNIST_SIDE}x{_MNIST_SIDE}; set data.root to the folder of the {self.digits.data_set} files"
            )
        generator = np.random.default_rng([self.seed, zlib.crc32(split.encode())])
        counts = generator.integers(self.min_digits, self.max_digits, self.sizes[split], endpoint=True)
        canvases, chosen = self._draw(counts, shrink(images), generator)
        texts = ["".join(labels[row[:count]]) for row, count in zip(chosen, counts, strict=True)]
        return Columns({"image": canvases, "text": np.array(texts, dtype=np.str_)})

    def _mnist(self) -> MNIST:
        return self.digits.model_validate({"root": self.root})

    def _draw(
        self, counts: NDArray[np.int64], digits: NDArray[np.uint8], generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Draw canvases (N, 50, 50) with `counts` digits each; the digits' places are (N, 4)."""
        canvases = np.empty((len(counts), CANVAS, CANVAS), dtype=np.uint8)
        chosen = generator.integers(len(digits), size=(len(counts), len(CORNERS)))
        pending = np.arange(len(counts))
        for _ in range(_MOST_DRAWS):
            again = []
            for start in range(0, len(pending), _BLOCK):
                rows = pending[start : start + _BLOCK]
                total = lay_out(digits, chosen[rows], counts[rows])
                fits = total.max(axis=(1, 2)) <= np.iinfo(np.uint8).max
                canvases[rows[fits]] = total[fits]
                again.append(rows[~fits])
            pending = np.concatenate(again)
            if not len(pending):
                return canvases, chosen
            chosen[pending] = generator.integers(len(digits), size=(len(pending), len(CORNERS)))
        raise UserError(
            f"{self.root}: {len(pending):,} canvases were drawn {_MOST_DRAWS:,} times and their digits always overlap, "
            f"so the images have no black margin; set data.root to the folder of the {self.digits.data_set} files"
        )


def shrink(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink digits (N, 28, 28) to their size on a canvas, (N, 21, 21), bilinear over the pixels' area."""
    small = np.empty((len(images), DIGIT, DIGIT), dtype=np.uint8)
    for place, image in zip(small, images, strict=True):
        place[:] = np.asarray(Image.fromarray(image).resize((DIGIT, DIGIT), Image.Resampling.BILINEAR))
    return small


def lay_out(digits: NDArray[np.uint8], chosen: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Add up the digits on each canvas.

    Args:
        digits: (D, 21, 21).
        chosen: (N, 4), the digit of each cell, if it is filled.
        counts: (N,), the number of filled cells.

    Returns:
        (N, 50, 50) of a wider type than uint8, as overlapping digits may exceed 255.
    """
    total = np.zeros((len(counts), CANVAS, CANVAS), dtype=np.uint16)
    for cell, (top, left) in enumerate(CORNERS):
        filled = counts > cell
        total[filled, top : top + DIGIT, left : left + DIGIT] += digits[chosen[filled, cell]]
    return total
