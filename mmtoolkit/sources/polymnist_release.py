"""Reads the release of PolyMNIST: folders of pictures, or the same as tensors of PyTorch.

`train/m0/7.3.png` is row 7 of digit 3 in view 0, as in the archive of Sutter, Daunhawer & Vogt, ICLR 2021. Hwang et
al., NeurIPS 2021, and MultiVae (Senellart et al. 2023) read `train/m0.pt`, (N, 3, 28, 28), and `train/labels.pt`, (N,).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.tables.cells import Cells

_NAME = re.compile(r"(0|[1-9]\d*)\.(\d)\.png", re.ASCII)
_SHAPE = (3, 28, 28)
_BLOCK = 4096
_AGAIN = "fetch the data set again (`mmt data get polymnist` says where from)"


class Release:
    """Rows of train or test, a `Table` with a column for each view, and `digit`.

    Args:
        part: all rows.
        rows: (N,), the places of these rows among them.
    """

    def __init__(self, part: Part, rows: NDArray[np.int64]) -> None:
        self._part, self._rows = part, rows

    @property
    def names(self) -> tuple[str, ...]:
        """`m0`, `m1`, … and `digit`."""
        return (*self._part.views, "digit")

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> Cells:
        """All cells of a column: paths, or uint8 (N, 3, 28, 28); digits as texts (N,)."""
        return self._cells(name, self._rows)

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time."""
        for start in range(0, len(self), size):
            yield {name: self._cells(name, self._rows[start : start + size]) for name in names}

    def _cells(self, name: str, rows: NDArray[np.int64]) -> Cells:
        return self._part.digits[rows] if name == "digit" else self._part.cells(name, rows)


class Part(Protocol):
    """A folder of the release, train or test."""

    @property
    def views(self) -> Sequence[str]:
        """The names of the views: `m0`, `m1` and so on."""

    @property
    def digits(self) -> NDArray[np.str_]:
        """The digit of each row, (N,)."""

    def cells(self, view: str, rows: NDArray[np.int64]) -> Cells:
        """The pictures of some rows in a view."""

    def files(self) -> Sequence[Path]:
        """The files with the rows."""


def read_part(folder: Path, views: int) -> Part:
    """Read a folder of the release with pictures or tensors.

    Raises:
        UserError: a folder or file is missing or damaged, or views differ in their rows; the text names the file, the
            fault and the remedy.
    """
    names = [f"m{place}" for place in range(views)]
    if (folder / "m0").is_dir():
        return Pictures(folder, names)
    if (folder / "m0.pt").is_file():
        return Tensors(folder, names)
    raise UserError(
        f"{folder / 'm0'}: there is no such folder (nor a file m0.pt); set data.root to the folder of PolyMNIST that "
        "holds train/ and test/, or set data.origin to mnist to make the views from MNIST"
    )


class Pictures:
    """Pictures in a folder for each view, with the same names: `7.3.png` is row 7 of digit 3.

    Rows are in the order of these numbers.

    Args:
        folder: train or test.
        views: `m0`, `m1`, …

    Raises:
        UserError: a folder is missing, a name is another, or views differ in their rows.
    """

    def __init__(self, folder: Path, views: Sequence[str]) -> None:
        self._folder, self.views = folder, views
        first = _picture_names(folder / views[0])
        for view in views[1:]:
            if (names := _picture_names(folder / view)) != first:
                raise _different(folder / view, names, first)
        self._names = sorted(first, key=_numbers)
        self.digits = np.array([name.split(".")[1] for name in self._names], dtype=np.str_)

    def cells(self, view: str, rows: NDArray[np.int64]) -> Cells:
        """Paths."""
        return [self._folder / view / self._names[row] for row in rows]

    def files(self) -> Sequence[Path]:
        """Every picture."""
        return [self._folder / view / name for view in self.views for name in self._names]


def _numbers(name: str) -> tuple[int, int]:
    index, digit, _ = name.split(".")
    return int(index), int(digit)


def _picture_names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries if entry.name.endswith(".png") and not entry.name.startswith(".")}
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be read: {error.strerror}; {_AGAIN}, or set data.views to the number of views"
        ) from None
    if not names:
        raise UserError(f"{folder}: holds no picture; {_AGAIN}")
    if wrong := sorted(name for name in names if not _NAME.fullmatch(name)):
        raise UserError(
            f"{folder / wrong[0]}: is not named INDEX.DIGIT.png, such as 7.3.png; rename it, or remove it from "
            "all views"
        )
    return names


def _different(folder: Path, names: set[str], first: set[str]) -> UserError:
    """What is wrong with a view that has other pictures than m0."""
    missing, more = sorted(first - names, key=_numbers), sorted(names - first, key=_numbers)
    of_index = {_numbers(name)[0]: name for name in missing}
    for name in more:
        if other := of_index.get(_numbers(name)[0]):
            return UserError(
                f"{folder / name}: shows digit {_numbers(name)[1]}, but m0 has {other} there, and a row shows one "
                f"digit in all views; {_AGAIN}"
            )
    if missing:
        return UserError(
            f"{folder}: has {len(names):,} pictures and m0 {len(first):,}; it lacks {missing[0]}, for example; {_AGAIN}"
        )
    return UserError(
        f"{folder}: has {len(names):,} pictures and m0 {len(first):,}; m0 lacks {more[0]}, for example; {_AGAIN}"
    )


class Tensors:
    """Tensors that `torch.save` wrote: `m0.pt`, … (N, 3, 28, 28), floats in [0, 1] or uint8, and `labels.pt` (N,).

    Rows are in the order of the files. A view is read when it is first asked for.

    Args:
        folder: train or test.
        views: `m0`, `m1`, …

    Raises:
        UserError: a file is missing, or the labels are damaged.
    """

    def __init__(self, folder: Path, views: Sequence[str]) -> None:
        self._folder, self.views = folder, views
        if lacking := next((file for file in self.files() if not file.is_file()), None):
            raise UserError(f"{lacking}: there is no such file; {_AGAIN}")
        self._pixels: dict[str, NDArray[np.uint8]] = {}
        path = folder / "labels.pt"
        labels = _tensor(path)
        if labels.ndim != 1 or not np.isin(labels, range(10)).all():
            raise UserError(
                f"{path}: must hold one digit from 0 to 9 for each row, but has shape {labels.shape}; {_AGAIN}"
            )
        self.digits = labels.astype(np.int64).astype(np.str_)

    def cells(self, view: str, rows: NDArray[np.int64]) -> Cells:
        """Pixels as uint8 (n, 3, 28, 28)."""
        if view not in self._pixels:
            self._pixels[view] = self._read(self._folder / f"{view}.pt")
        return self._pixels[view][rows]

    def files(self) -> Sequence[Path]:
        """The file of each view, and the labels'."""
        return [self._folder / f"{name}.pt" for name in (*self.views, "labels")]

    def _read(self, path: Path) -> NDArray[np.uint8]:
        values = _tensor(path)
        if values.shape != (len(self.digits), *_SHAPE):
            raise UserError(
                f"{path}: has shape {values.shape}, not {(len(self.digits), *_SHAPE)}, as labels.pt has "
                f"{len(self.digits):,} digits; {_AGAIN}"
            )
        if values.dtype == np.uint8:
            return values
        pixels = np.empty(values.shape, dtype=np.uint8)
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            if not (np.issubdtype(block.dtype, np.floating) and block.min() >= 0 and block.max() <= 1):
                raise UserError(
                    f"{path}: must hold uint8, or floats from 0 to 1, but row {start} or a later one differs; {_AGAIN}"
                )
            pixels[start : start + _BLOCK] = block * 255 + 0.5
        return pixels


def _tensor(path: Path) -> NDArray[Any]:
    import torch

    try:
        value = torch.load(path, map_location="cpu", weights_only=True)  # a file may otherwise run code
    except Exception as error:  # unpickling raises many classes
        raise UserError(f"{path}: cannot be read as a tensor ({error_text(error)}); {_AGAIN}") from None
    if not isinstance(value, torch.Tensor):
        raise UserError(f"{path}: holds a {type(value).__name__}, not a tensor; {_AGAIN}")
    return value.numpy(force=True)
