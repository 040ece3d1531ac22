"""The sources `mnist`, `fashion_mnist` and `fashion_mini`: images and labels in IDX files."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Columns, DataPath, Source, Table

_MOST_DIMENSIONS = 32


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzipped or not (LeCun & Cortes, the MNIST format).

    Raises:
        UserError: the file is missing, damaged or not IDX.
    """
    remedy = "fetch it again"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; put it there, or correct root") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {error}; {remedy}") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise UserError(f"{path}: is not an IDX file (it does not begin with two zero bytes); {remedy}")
    if data[2] != 8:
        raise UserError(f"{path}: holds numbers of IDX type {data[2]:#04x}, not unsigned bytes (0x08); {remedy}")
    dimensions = data[3]
    if dimensions > _MOST_DIMENSIONS:
        raise UserError(f"{path}: is not an IDX file (its header promises {dimensions} dimensions); {remedy}")
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise UserError(f"{path}: is cut short in its header; {remedy}")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise UserError(
            f"{path}: its header promises {math.prod(shape):,} bytes of data and {len(data) - start:,} follow; {remedy}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


class IdxSource(Source):
    """Images and labels in the four files of MNIST, gzipped or not. Columns: `image` and `label`."""

    data_set: ClassVar[str]
    """The name of the data set in the catalogue."""
    classes: ClassVar[tuple[str, ...]]
    """The names of the labels 0, 1, …"""
    extents: ClassVar[dict[str, tuple[Literal["train", "t10k"], int, int]]]
    """Split -> its pair of files, the first row, and the row after the last."""

    root: DataPath | None = None
    """The folder of the four files; by default mmtoolkit searches for it (see `mmt data`)."""

    def located(self, find: Callable[[str], Path]) -> Self:
        """A copy with `root` filled in."""
        return self if self.root is not None else self.model_copy(update={"root": find(self.data_set)})

    def splits(self) -> tuple[str, ...]:
        """Train, valid and test."""
        return tuple(self.extents)

    def files(self) -> Sequence[Path]:
        """The four files."""
        return [
            self._file(f"{part}-{what}")
            for part in ("train", "t10k")
            for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ]

    def load(self, split: str) -> Table:
        """Images as uint8 (N, 28, 28), labels as names."""
        part, start, stop = self.extents[split]
        images, labels = (
            self._rows(f"{part}-{what}", dimensions, start, stop)
            for what, dimensions in (("images-idx3-ubyte", 3), ("labels-idx1-ubyte", 1))
        )
        if labels.max(initial=0) >= len(self.classes):
            raise UserError(
                f"{self._file(f'{part}-labels-idx1-ubyte')}: row {start + int(labels.argmax())} has label "
                f"{labels.max()}, but there are {len(self.classes)} classes; fetch the file again"
            )
        return Columns({"image": images, "label": np.array(self.classes)[labels]})

    def _file(self, name: str) -> Path:
        if self.root is None:
            raise UserError(f"data.root: is not set; set it to the folder of the {self.data_set} files")
        packed, plain = self.root / f"{name}.gz", self.root / name
        if plain.is_file():
            return plain
        if packed.is_file():
            return packed
        raise UserError(
            f"{plain}: there is no such file (nor {packed.name}); put it there, correct data.root, "
            f"or run `mmt data get {self.data_set}`"
        )

    def _rows(self, name: str, dimensions: int, start: int, stop: int) -> NDArray[np.uint8]:
        path = self._file(name)
        array = read_idx(path)
        if array.ndim != dimensions:
            raise UserError(f"{path}: has {array.ndim} dimensions, not {dimensions}; fetch it again")
        if len(array) < stop:
            raise UserError(f"{path}: has {len(array):,} rows, not {stop:,}; fetch it again")
        return array[start:stop]


_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class MNIST(IdxSource):
    """MNIST (LeCun et al. 1998): 28x28 digits, 50,000 to train, 10,000 to validate, 10,000 to test."""

    kind: Literal["mnist"] = "mnist"
    data_set = "mnist"
    classes = _DIGITS
    extents = {"train": ("train", 0, 50_000), "valid": ("train", 50_000, 60_000), "test": ("t10k", 0, 10_000)}  # noqa: RUF012


class FashionMNIST(IdxSource):
    """FashionMNIST (Xiao et al. 2017): 28x28 clothes in ten classes, split as MNIST is."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"
    data_set = "fashion_mnist"
    classes = _CLOTHES
    extents = MNIST.extents


class FashionMini(IdxSource):
    """A part of FashionMNIST that ships with mmtoolkit: 10,000 to train, 1,000 to validate, 2,000 to test.

    The first 10,000 and the last 1,000 training images, and the first 2,000 test images.
    """

    kind: Literal["fashion_mini"] = "fashion_mini"
    data_set = "fashion_mini"
    classes = _CLOTHES
    extents = {"train": ("train", 0, 10_000), "valid": ("train", 10_000, 11_000), "test": ("t10k", 0, 2_000)}  # noqa: RUF012
