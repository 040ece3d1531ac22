"""Reads the release of CelebA from a folder: annotation files, and all or some of its pictures."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text, one_line, shorten

SPLITS = ("train", "valid", "test")
"""The splits that the list of the partition numbers 0, 1 and 2."""
FOLDERS = ("", "Anno", "Eval", "Img")
"""The folders of the parts in the data set's folder; the official drive has the last three."""
ATTRIBUTE_LIST = "list_attr_celeba.txt"
PARTITION_LIST = "list_eval_partition.txt"
PICTURES = "img_align_celeba"

_ATTRIBUTES = 40
_AGAIN = "fetch the file again"

Identity = tuple[Path, int, int]
"""A path with its size and time of change; a cached reading is valid while they stay."""


@dataclass(frozen=True)
class Annotation:
    """The lists' contents for all pictures of the release.

    Attributes:
        names: (N,) file names, in the order of the partition.
        splits: (N,) int8, 0 to 2: places in `SPLITS`.
        attributes: name -> (N,) int8, 1 or -1.
    """

    names: Sequence[str]
    splits: NDArray[np.int8]
    attributes: Mapping[str, NDArray[np.int8]]


class Pictures(Protocol):
    """The pictures on this machine."""

    @property
    def names(self) -> frozenset[str]:
        """Their file names."""

    def cell(self, name: str) -> Any:
        """The cell of a picture in a column; `open_picture` and modalities of images read it."""

    def files(self, names: Sequence[str]) -> Sequence[Path]:
        """The files that hold the named pictures."""


@dataclass(frozen=True)
class Folder:
    """Pictures in a folder; a cell is a path."""

    path: Path
    names: frozenset[str]

    def cell(self, name: str) -> Path:
        """The path of a picture."""
        return self.path / name

    def files(self, names: Sequence[str]) -> Sequence[Path]:
        """The file of each named picture."""
        return [self.path / name for name in names]


class Archive:
    """Pictures in a zip archive; a cell is a `Member`.

    The file opens with the first reading, and closes when the archive and its cells are dropped.

    Args:
        path: the archive.
        members: file name -> name in the archive.
    """

    def __init__(self, path: Path, members: Mapping[str, str]) -> None:
        self.path, self.members = path, members
        self._file: zipfile.ZipFile | None = None
        self._lock = threading.Lock()  # threads read cells in parallel

    def read(self, member: str) -> bytes:
        """The contents of a member, by its name in the archive.

        Raises:
            Exception: any error of the archive.
        """
        with self._lock:
            if self._file is None:
                self._file = zipfile.ZipFile(self.path)
        return self._file.read(member)

    @property
    def names(self) -> frozenset[str]:
        """The file names of the pictures."""
        return frozenset(self.members)

    def cell(self, name: str) -> Member:
        """An unread member."""
        return Member(self, self.members[name])

    def files(self, names: Sequence[str]) -> Sequence[Path]:
        """The archive."""
        return [self.path]


class Member:
    """A picture in an archive, read on request; NumPy converts it to uint8 (height, width, 3)."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive, self._name = archive, name

    def __repr__(self) -> str:
        return f"{self._archive.path}, member {self._name}"

    def open(self) -> Image.Image:
        """The picture, RGB.

        Raises:
            UserError: it cannot be read; the text names archive and member.
        """
        try:
            with Image.open(BytesIO(self._archive.read(self._name))) as picture:
                return ImageOps.exif_transpose(picture).convert("RGB")
        except Exception as error:  # decoders raise many classes for a damaged file
            raise UserError(
                f"{self}: is no picture that can be read ({error_text(error)}); fetch the archive again"
            ) from None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.open(), dtype=dtype)


def open_picture(cell: Path | Member) -> Image.Image:
    """The picture of a cell, RGB and upright.

    Raises:
        Exception: any error of its decoder.
    """
    if isinstance(cell, Member):
        return cell.open()
    with Image.open(cell) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


@dataclass(frozen=True)
class Release:
    """The release, and the part of it that is on this machine.

    Attributes:
        annotation: of all pictures.
        lists: the two files of the annotation.
        pictures: those on this machine.
        rows: split -> (n,) int64, the places of these pictures in the annotation.
    """

    annotation: Annotation
    lists: tuple[Path, Path]
    pictures: Pictures
    rows: Mapping[str, NDArray[np.int64]]

    def names(self) -> Sequence[str]:
        """The file names of the pictures on this machine, split by split."""
        return [self.annotation.names[row] for rows in self.rows.values() for row in rows]

    def files(self) -> Sequence[Path]:
        """The two lists, and the pictures' files."""
        return [*self.lists, *self.pictures.files(self.names())]

    def notes(self) -> Sequence[str]:
        """The number of pictures, if some are missing."""
        counts = {split: len(rows) for split, rows in self.rows.items()}
        here, whole = sum(counts.values()), len(self.annotation.names)
        if here == whole:
            return []
        parts = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        return [f"{here:,} of the {whole:,} images are here ({parts})"]


def read_release(root: Path) -> Release:
    """Read the release in a folder. The contents are cached until the files change; the cache holds no file open.

    Raises:
        UserError: a list or all pictures are missing, or a list is damaged; the text names file, line and fault.
    """
    lists = _list(root, ATTRIBUTE_LIST), _list(root, PARTITION_LIST)
    annotation = _read_annotation(_identity(lists[0]), _identity(lists[1]))
    for place in _pictures_places(root):
        pictures = _folder(place) if place[0].is_dir() else Archive(place[0], _members(place))
        names = pictures.names
        here = np.array([name in names for name in annotation.names], dtype=bool)
        if here.any():
            rows = {split: np.flatnonzero(here & (annotation.splits == i)) for i, split in enumerate(SPLITS)}
            return Release(annotation, lists, pictures, rows)
    raise UserError(
        f"{root / PICTURES}: there is no folder with pictures that {PARTITION_LIST} lists (nor {PICTURES}.zip, nor "
        "either in Img); put one there, or correct data.root; `mmt data get celeba` says where it comes from"
    )


def _identity(path: Path) -> Identity:
    stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns


def _list(root: Path, name: str) -> Path:
    for folder in FOLDERS:
        if (root / folder / name).is_file():
            return root / folder / name
    raise UserError(
        f"{root / name}: there is no such file (nor in {', '.join(FOLDERS[1:])}); put it there, or correct data.root; "
        "`mmt data get celeba` says where it comes from"
    )


def _pictures_places(root: Path) -> list[Identity]:
    """Folders and archives that may hold the pictures, in the order of the search."""
    places = [root / folder / name for name in (PICTURES, f"{PICTURES}.zip") for folder in FOLDERS]
    return [_identity(place) for place in places if place.exists()]


@lru_cache(maxsize=2)
def _folder(place: Identity) -> Folder:
    path = place[0]
    try:
        with os.scandir(path) as entries:
            return Folder(path, frozenset(entry.name for entry in entries if entry.is_file()))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; make it readable, or correct data.root") from error


@lru_cache(maxsize=2)
def _members(place: Identity) -> Mapping[str, str]:
    """File name -> name in an archive, for the pictures in its folder, or else at its top."""
    path = place[0]
    try:
        with zipfile.ZipFile(path) as file:
            inside = [name for name in file.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as a zip archive ({error}); fetch it again") from error
    inside = [name for name in inside if not name.startswith("__MACOSX/")]  # macOS adds these
    chosen = [n for n in inside if f"/{n}".endswith(f"/{PICTURES}/{n.rpartition('/')[2]}")]
    chosen = chosen or [name for name in inside if "/" not in name]
    members: dict[str, str] = {}
    for name in chosen:
        short = name.rpartition("/")[2]
        if short in members:
            raise UserError(f"{path}: holds {short} twice, as {members[short]} and as {name}; fetch the archive again")
        members[short] = name
    return members


# The lists.


@lru_cache(maxsize=2)
def _read_annotation(attributes: Identity, partition: Identity) -> Annotation:
    attribute_list, partition_list = attributes[0], partition[0]
    header, names, values = read_attributes(attribute_list)
    listed, splits = read_partition(partition_list)
    if listed != names:
        rows = {name: row for row, name in enumerate(names)}
        if unknown := next((name for name in listed if name not in rows), None):
            raise UserError(
                f"{attribute_list}: has no line for {unknown}, which {partition_list} lists; fetch both again"
            )
        values = values[[rows[name] for name in listed]]
    return Annotation(listed, splits, dict(zip(header, np.ascontiguousarray(values.T), strict=True)))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; make it readable, or {_AGAIN}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a text file ({error.reason} at byte {error.start:,}); {_AGAIN}") from error
    if "\0" in text:
        raise UserError(f"{path}: is not a text file (it holds zero bytes); {_AGAIN}")
    return text.split("\n")


def _unique(path: Path, names: Sequence[str], numbers: Sequence[int]) -> None:
    """Raise a `UserError` if a picture is listed twice."""
    if len(set(names)) == len(names):
        return
    first: dict[str, int] = {}
    for name, number in zip(names, numbers, strict=True):
        if name in first:
            raise UserError(
                f"{path}, line {number}: lists {name} again, first on line {first[name]}; remove one, or {_AGAIN}"
            )
        first[name] = number


def read_attributes(path: Path) -> tuple[tuple[str, ...], list[str], NDArray[np.int8]]:
    """The list of attributes: their names, the pictures' names, and values (N, 40), 1 or -1.

    Raises:
        UserError: it is damaged; the text names the file, the line, the fault and the remedy.
    """
    lines = _lines(path)
    if not lines[0].strip().isdecimal():
        raise UserError(f"{path}, line 1: {_short(lines[0])} is not a number of images; {_AGAIN}")
    header = tuple(lines[1].split()) if len(lines) > 1 else ()
    if len(header) != _ATTRIBUTES or len(set(header)) != _ATTRIBUTES:
        raise UserError(f"{path}, line 2: names {len(set(header))} attributes, not {_ATTRIBUTES}; {_AGAIN}")
    names: list[str] = []
    numbers: list[int] = []
    rows: list[str] = []
    for number, line in enumerate(lines[2:], start=3):
        # No line holds \0. With it for -1, each correct value is one character, for which split makes no new string.
        name, *rest = line.split(None, 1)[:2] or ("",)
        values = rest[0].replace("-1", "\0").split() if rest else []
        row = "".join(values)
        if not len(row) == len(values) == _ATTRIBUTES or row.strip("1\0"):
            if not name:
                continue
            raise _wrong_row(path, number, header, line.split()[1:])
        names.append(name)
        numbers.append(number)
        rows.append(row)
    _unique(path, names, numbers)
    if int(lines[0]) != len(names):
        raise UserError(f"{path}: its first line promises {int(lines[0]):,} images and {len(names):,} follow; {_AGAIN}")
    letters = np.frombuffer("".join(rows).encode(), dtype=np.uint8).reshape(len(rows), _ATTRIBUTES)
    return header, names, np.where(letters == ord("1"), np.int8(1), np.int8(-1))


def _wrong_row(path: Path, number: int, header: Sequence[str], values: Sequence[str]) -> UserError:
    if len(values) != _ATTRIBUTES:
        return UserError(f"{path}, line {number}: has {len(values)} values, not {_ATTRIBUTES}; {_AGAIN}")
    name, value = next((n, v) for n, v in zip(header, values, strict=True) if v not in ("1", "-1"))
    return UserError(
        f"{path}, line {number}, attribute {name}: {_short(value)} is neither 1 nor -1; correct it, or {_AGAIN}"
    )


def read_partition(path: Path) -> tuple[list[str], NDArray[np.int8]]:
    """The list of the partition: the pictures' names, and places (N,) in `SPLITS`.

    Raises:
        UserError: it is damaged; the text names the file, the line, the fault and the remedy.
    """
    names: list[str] = []
    numbers: list[int] = []
    splits: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise UserError(f"{path}, line {number}: {_short(line)} is not a file name and a split; {_AGAIN}")
        if fields[1] not in ("0", "1", "2"):
            raise UserError(
                f"{path}, line {number}: {_short(fields[1])} is not a split; write 0 for train, 1 for valid, 2 for "
                f"test, or {_AGAIN}"
            )
        names.append(fields[0])
        numbers.append(number)
        splits.append(fields[1])
    _unique(path, names, numbers)
    return names, np.array(splits, dtype=np.int8) if splits else np.zeros(0, dtype=np.int8)


def _short(text: str) -> str:
    return repr(shorten(one_line(text), 40))
