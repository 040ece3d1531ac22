"""The source `celeba`: faces with forty attributes each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import DataPath, Source, Table
from mmtoolkit.sources.celeba_release import SPLITS, Release, read_release
from mmtoolkit.tables.cells import Cells

CELEBA_ATTRIBUTES = (
    "Bald",
    "Bangs",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Gray_Hair",
    "Heavy_Makeup",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Pale_Skin",
    "Receding_Hairline",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Hat",
)
"""The 18 of the 40 attributes that Wu & Goodman 2018 use, after Perarnau et al. 2016."""

MOST_ROWS = 256
"""The largest number of rows in a chunk: pictures are large."""


class Faces:
    """The rows of a split of CelebA: a `Table` of unread pictures, and attributes."""

    def __init__(self, release: Release, split: str) -> None:
        rows = release.rows[split]
        self.pictures = release.pictures
        self.files: Sequence[str] = [release.annotation.names[row] for row in rows]
        """The file names of the pictures."""
        self._attributes = {name: values[rows] for name, values in release.annotation.attributes.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """`image` and the attributes."""
        return ("image", *self._attributes)

    def __len__(self) -> int:
        return len(self.files)

    def column(self, name: str) -> Cells:
        """All cells of a column: pictures as `CelebA` gives them, or attributes as int8 (N,), 1 or -1."""
        return self.cells(name, 0, len(self))

    def cells(self, name: str, start: int, stop: int) -> Cells:
        """The cells of some rows."""
        if name != "image":
            return self._attributes[name][start:stop]
        return [self.pictures.cell(file) for file in self.files[start:stop]]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time, and no more than `MOST_ROWS`."""
        size = min(size, MOST_ROWS)
        for start in range(0, len(self), size):
            yield {name: self.cells(name, start, start + size) for name in names}


class CelebASource(Source):
    """A source that reads a folder with CelebA, or with a part of its pictures."""

    root: DataPath | None = None
    """The folder of `img_align_celeba/` or `img_align_celeba.zip`, `list_attr_celeba.txt` and
    `list_eval_partition.txt`. They may also lie in its folders Img, Anno and Eval, as on the official drive. By default
    mmtoolkit searches for the folder (see `mmt data`)."""

    def located(self, find: Callable[[str], Path]) -> Self:
        """A copy with `root` filled in."""
        return self if self.root is not None else self.model_copy(update={"root": find("celeba")})

    def splits(self) -> tuple[str, ...]:
        """Train, valid and test."""
        return SPLITS

    def files(self) -> Sequence[Path]:
        """The two lists, and the pictures' files or archive."""
        return self._release().files()

    def notes(self) -> Sequence[str]:
        """The number of pictures, if some are missing."""
        return self._release().notes()

    def _release(self) -> Release:
        """The release in the folder.

        Raises:
            UserError: a part is missing or damaged; it names the file, the line, the fault and the remedy.
        """
        if self.root is None:
            raise UserError("data.root: is not set; set it to the folder of the celeba files")
        return read_release(self.root)


class CelebA(CelebASource):
    """CelebA (Liu et al. 2015): aligned faces of 178x218 pixels with 40 attributes, in the official partition.

    Columns: `image`, and each attribute by its name, such as `Smiling`, as 1 or -1. A folder with a part of the
    pictures gives only their rows. The licence allows non-commercial research only.
    """

    kind: Literal["celeba"] = "celeba"

    def load(self, split: str) -> Table:
        """Pictures as paths or members of the archive; attributes as int8 (N,), 1 or -1."""
        return Faces(self._release(), split)
