"""The cache of prepared columns: memory-mapped files, verified and rebuilt when damaged."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from pydantic import BaseModel
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import checksum, locked, make_folder, replacing_folder, write_text
from mmtoolkit.base.locations import prepared_folder
from mmtoolkit.base.meter import Meter
from mmtoolkit.base.words import listing
from mmtoolkit.components import Architecture, Modality, Parsed, Table
from mmtoolkit.components.reading import cells_of, read_cells
from mmtoolkit.tables import FilesBeside
from mmtoolkit.tables.cells import Cells

_FORMAT = 2
_CHUNK = 4096
_MOST_FAULTS = 20
_LISTED_NAMES = 8


@dataclass(frozen=True)
class Column:
    """One modality of one split.

    Attributes:
        stored: (N, *event), memory-mapped.
        present: which rows have a value, (N,) bool.
        faults: (row, fault) of the first cells that could not be read.
        fault_count: the number of all cells that could not be read.
    """

    stored: Tensor
    present: Tensor
    faults: list[tuple[int, str]]
    fault_count: int

    @property
    def length(self) -> int:
        """The number of rows."""
        return len(self.present)


@dataclass(frozen=True)
class Portion:
    """Rows that are prepared together, such as those of a split.

    Attributes:
        name: the name of these rows in messages.
        load: reads the rows. It is called only if some column is not in the cache.
        beside: opens the files that cells name; None if cells name no files.
        most: the number of first rows to use; None for all.
    """

    name: str
    load: Callable[[], Table]
    beside: FilesBeside | None = None
    most: int | None = None


class ColumnStore:
    """The prepared columns of one source or table, in the cache folder.

    The key of a column consists of its files (path, size, time of change), the reader's options, the modality's
    options with the learned ones, but for its networks and its weight, and the code of these classes. If any of these
    changes, the cache adds a new column. It never changes a column.

    Args:
        reader: reads the cells, as its class and options say.
        files: the files that it reads.
        report: receives a line for each step of the preparation.
    """

    def __init__(self, reader: BaseModel, files: Sequence[Path], report: Callable[[str], None]) -> None:
        self.report = report
        options = reader.model_dump(mode="json", exclude={"supervision", "on_bad_cell"})
        identities = [_identity(path) for path in files]  # there may be hundreds of thousands, so hash them once
        self._key = _digest([_FORMAT, options, identities, _code(type(reader))])

    def _folder(self, *parts: Any) -> Path:
        return prepared_folder() / _digest([self._key, *parts])[:32]

    def fitted(self, name: str, modality: Modality, learn: Callable[[], Modality]) -> Modality:
        """The modality with its learned options, from the cache or else from `learn`."""
        folder = self._folder("fit", modality.source_columns(name), *_read_by(modality))
        try:
            text = (folder / "options.json").read_text(encoding="utf-8")
            if hashlib.sha256(text.encode()).hexdigest() != (folder / "checksum").read_text(encoding="utf-8"):
                raise ValueError("options.json is damaged")
            return modality.with_options(**json.loads(text))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self.report(f"{folder}: {error}; learning it again")
        if (learned := learn()) == modality:
            return modality  # there was nothing to learn
        self._make_room(1 << 20)
        with replacing_folder(folder) as new:
            text = json.dumps(_changes(modality, learned))
            (new / "options.json").write_text(text, encoding="utf-8")
            (new / "checksum").write_text(hashlib.sha256(text.encode()).hexdigest(), encoding="utf-8")
        return learned

    def columns(self, portion: Portion, modalities: Mapping[str, Modality]) -> dict[str, Column]:
        """The columns of some rows, from the cache. Columns that it lacks or that are damaged are parsed again."""
        table = _Once(portion.load)
        folders = {
            name: self._folder(
                portion.name,
                modality.source_columns(name),
                *_read_by(modality),
                *_files_named(name, modality, table, portion.beside),
            )
            for name, modality in modalities.items()
        }
        cached = {name: self._open(folder) for name, folder in folders.items()}
        if None not in cached.values():
            return {name: column for name, column in cached.items() if column is not None}
        columns: dict[str, Column] = {}
        with locked(prepared_folder() / ".lock"):  # waits while another process prepares data
            cached = {name: column or self._open(folders[name]) for name, column in cached.items()}
            if missing := {name: modalities[name] for name, column in cached.items() if column is None}:
                self._parse(portion, missing, folders, table())
            for name, column in cached.items():
                column = column or self._open(folders[name])
                if column is None:
                    fault = f"{folders[name]}: cannot be read back"
                    raise UserError(f"{fault}; check that disk, or set MMT_CACHE to a folder on another one")
                columns[name] = column
        return columns

    def _open(self, folder: Path) -> Column | None:
        """A cached column; None if it is missing or damaged."""
        try:
            card = json.loads((folder / "column.json").read_text(encoding="utf-8"))
            _verify(folder, card["checksums"])
            # Copy on write, since PyTorch has no read-only tensors.
            stored = np.load(folder / "stored.npy", mmap_mode="c", allow_pickle=False)
            present = np.load(folder / "present.npy", allow_pickle=False)
            faults = [(int(row), str(fault)) for row, fault in card["faults"]]
            count = int(card["fault_count"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.report(f"{folder}: {error}; preparing it again")
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return Column(torch.from_numpy(stored), torch.from_numpy(present), faults, count)

    def _parse(
        self, portion: Portion, modalities: Mapping[str, Modality], folders: Mapping[str, Path], table: Table
    ) -> None:
        length = len(table) if portion.most is None else min(len(table), portion.most)
        self.report(f"preparing {portion.name}: {length:,} rows of {listing(list(modalities), _LISTED_NAMES)}")
        with contextlib.ExitStack() as stack:
            writers = {
                name: _Writer(stack.enter_context(replacing_folder(folders[name])), length, self._make_room)
                for name in modalities
            }
            names = [column for name, modality in modalities.items() for column in modality.source_columns(name)]
            meter = Meter(self.report, f"preparing {portion.name}", length)
            for start, chunk in _chunks(table, list(dict.fromkeys(names)), length):
                for name, modality in modalities.items():
                    cells = cells_of(name, modality, chunk)
                    writers[name].add(start, modality, read_cells(modality, cells, portion.beside), len(cells))
                meter.advance(len(next(iter(chunk.values()))))
            for writer in writers.values():
                writer.close()

    def _make_room(self, size: int) -> None:
        folder = make_folder(prepared_folder())
        free = shutil.disk_usage(folder).free
        if free < size:
            raise UserError(
                f"{folder}: prepared data needs {size / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB are free; "
                "run `mmt data clean`, or set MMT_CACHE to a folder on a larger disk"
            )


class _Writer:
    """Writes one column, chunk by chunk, straight to its file."""

    def __init__(self, folder: Path, length: int, make_room: Callable[[int], None]) -> None:
        self.folder, self.length, self.make_room = folder, length, make_room
        self.stored: np.memmap[Any, Any] | None = None
        self.present = np.zeros(length, dtype=bool)
        self.faults: list[tuple[int, str]] = []
        self.fault_count = 0

    def add(self, start: int, modality: Modality, parsed: Parsed, count: int) -> None:
        values = parsed.stored.numpy()
        if values.shape != (count, *modality.event_shape()):  # assignment would broadcast it
            raise UserError(
                f"the modality {modality.kind}: parse_column returns shape {values.shape} for {count} cells, "
                f"not {(count, *modality.event_shape())}; correct it, or correct event_shape"
            )
        if self.stored is None or (self.stored.dtype != values.dtype and not self.present.any()):
            self.make_room(self.length * max(values[0].nbytes, 1))
            shape = (self.length, *modality.event_shape())
            self.stored = open_memmap(self.folder / "stored.npy", "w+", dtype=values.dtype, shape=shape)
            _reserve(self.folder / "stored.npy")
        elif self.stored.dtype != values.dtype and parsed.present.any():  # assignment would round it
            raise UserError(
                f"the modality {modality.kind}: parse returns {values.dtype} for rows from {start} and "
                f"{self.stored.dtype} for earlier rows; make it return one type"
            )
        stop = start + count
        present = parsed.present.numpy()
        # Missing values are zero, so that equal data gives equal files.
        self.stored[start:stop] = np.where(present.reshape(-1, *[1] * (values.ndim - 1)), values, 0)
        self.present[start:stop] = present
        self.fault_count += len(parsed.faults)
        first = nsmallest(_MOST_FAULTS - len(self.faults), parsed.faults)
        self.faults += [(start + row, parsed.faults[row]) for row in first]

    def close(self) -> None:
        if self.stored is None:
            np.save(self.folder / "stored.npy", np.zeros(0, dtype=np.float32))
        else:
            self.stored.flush()
        np.save(self.folder / "present.npy", self.present)
        card = {
            "faults": self.faults,
            "fault_count": self.fault_count,
            "checksums": {file: checksum(self.folder / file) for file in ("stored.npy", "present.npy")},
        }
        (self.folder / "column.json").write_text(json.dumps(card), encoding="utf-8")


def _read_by(modality: Modality) -> tuple[dict[str, Any], list[str]]:
    """The options of a modality that decide what it learns and stores, and the code of the classes that do.

    Networks and the weight change neither; a likelihood may, since it says which values there are.
    """
    options = modality.model_dump(mode="json", exclude={"weight", "modelled"})
    code = []
    for path, part in modality.parts():
        if part.family == Architecture.family:
            _blank(options, path)
        else:
            code.append(_code(type(part)))
    return options, code


def _blank(options: Any, path: Sequence[str | int]) -> None:
    """Put None at a path of nested mappings and lists, if it is there."""
    *parents, last = path
    for key in parents:
        options = options[key]
        if options is None:  # the part around it is left out already
            return
    options[last] = None


def _changes(before: Modality, after: Modality) -> dict[str, Any]:
    """The options that differ, as plain data."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {name: value for name, value in new.items() if value != old[name]}


def _files_named(name: str, modality: Modality, table: Callable[[], Table], beside: FilesBeside | None) -> list[str]:
    """A fingerprint of the files that a column names, which changes when they do; empty if it names none."""
    if beside is None or not modality.reads_files:
        return []
    digest = hashlib.sha256()
    for chunk in table().chunks(modality.source_columns(name), _CHUNK):
        beside.fingerprint(cells_of(name, modality, chunk), digest)
    return [digest.hexdigest()]


class _Once:
    """Loads a table at the first call, and returns the same one later."""

    def __init__(self, load: Callable[[], Table]) -> None:
        self._load = load
        self._table: Table | None = None

    def __call__(self) -> Table:
        if self._table is None:
            self._table = self._load()
        return self._table


def _chunks(table: Table, names: list[str], length: int) -> Iterator[tuple[int, dict[str, Cells]]]:
    start = 0
    for chunk in table.chunks(names, _CHUNK):
        size = len(next(iter(chunk.values())))
        if start + size > length:
            chunk = {name: cells[: length - start] for name, cells in chunk.items()}
            size = length - start
        if size:
            yield start, chunk
        start += size
        if start >= length:
            return


def _reserve(path: Path) -> None:
    """Reserve the disk space of a file, since writing to a mapped file on a full disk would kill the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # other errors mean that this file system cannot reserve space


def _verify(folder: Path, checksums: Mapping[str, str]) -> None:
    """Raise a `ValueError` if a file is damaged. Files that did not change since their last check are trusted."""
    states = [(file, (stat := (folder / file).stat()).st_size, stat.st_mtime_ns) for file in sorted(checksums)]
    seal = _digest([states, dict(checksums)])
    if (folder / "verified").is_file() and (folder / "verified").read_text(encoding="utf-8") == seal:
        return
    for file, digest in checksums.items():
        if checksum(folder / file) != digest:
            raise ValueError(f"{file} is damaged")
    with contextlib.suppress(UserError):  # in a read-only cache, check again next time
        write_text(folder / "verified", seal)


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; put it there, or correct data") from error
    return str(path), stat.st_size, stat.st_mtime_ns


def _code(cls: type[BaseModel]) -> str:
    """The checksum of the code of a class and its bases: for each, its module, or all modules of its package."""
    files: set[Path] = set()
    for part in cls.__mro__:
        if not issubclass(part, BaseModel) or part is BaseModel:
            continue
        try:
            file = Path(inspect.getfile(part))
        except (TypeError, OSError):  # typed at a prompt: its code cannot be compared, so reuse nothing
            return secrets.token_hex()
        files |= set(file.parent.glob("*.py")) if (file.parent / "__init__.py").is_file() else {file}
    return hashlib.sha256("".join(_checksum(*_identity(path)) for path in sorted(files)).encode()).hexdigest()


@cache
def _checksum(path: str, size: int, changed: int) -> str:
    """The checksum of a file of this size and time of change: many classes have their code in the same files."""
    return checksum(Path(path))
