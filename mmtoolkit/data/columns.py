"""The cache of prepared columns: memory-mapped, verified, rebuilt when damaged."""

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
from mmtoolkit.components import Modality, Parsed, Table
from mmtoolkit.components.reading import read_cells
from mmtoolkit.tables import FilesBeside
from mmtoolkit.tables.cells import Cells

_FORMAT = 1
_CHUNK = 4096
_KEPT_FAULTS = 20
_SHOWN_NAMES = 8


@dataclass(frozen=True)
class Column:
    """One modality of one split.

    Attributes:
        stored: (N, *event), memory-mapped.
        present: (N,) bool.
        faults: the first few cells that could not be read: (row, what is wrong).
        fault_count: how many there are.
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
        name: how you know them.
        load: reads them; called where their columns are not in the cache.
        beside: where the files lie that cells name; None where they name none.
        most: how many of the first rows are used; all where None.
    """

    name: str
    load: Callable[[], Table]
    beside: FilesBeside | None = None
    most: int | None = None


class ColumnStore:
    """Prepared columns of one source or table, in the cache folder.

    A column's key holds the files that it is read from (path, size, time of change) and the options of reading, the
    modality's options with what it learned, and the code of both classes. Anything else makes a new column; none is
    ever changed.

    Args:
        reader: reads the cells: its class and its options say how.
        files: those that it reads.
        report: told what is being prepared.
    """

    def __init__(self, reader: BaseModel, files: Sequence[Path], report: Callable[[str], None]) -> None:
        self.report = report
        options = reader.model_dump(mode="json", exclude={"supervision", "on_bad_cell"})
        identities = [_identity(path) for path in files]  # maybe hundreds of thousands: hashed once
        self._key = _digest([_FORMAT, options, identities, _code(type(reader))])

    def _folder(self, *parts: Any) -> Path:
        return prepared_folder() / _digest([self._key, *parts])[:32]

    def fitted(self, name: str, modality: Modality, learn: Callable[[], Modality]) -> Modality:
        """The modality with its options learned, from the cache or by `learn`."""
        options = modality.model_dump(mode="json")
        folder = self._folder("fit", modality.source_columns(name), options, _code(type(modality)))
        try:
            text = (folder / "options.json").read_text(encoding="utf-8")
            if hashlib.sha256(text.encode()).hexdigest() != (folder / "checksum").read_text(encoding="utf-8"):
                raise ValueError("options.json is damaged")
            return type(modality).model_validate_json(text)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self.report(f"{folder}: {error}; learning it again")
        if (learned := learn()) == modality:
            return modality  # nothing was left open
        modality = learned
        self._make_room(1 << 20)
        with replacing_folder(folder) as new:
            text = modality.model_dump_json()
            (new / "options.json").write_text(text, encoding="utf-8")
            (new / "checksum").write_text(hashlib.sha256(text.encode()).hexdigest(), encoding="utf-8")
        return modality

    def columns(self, portion: Portion, modalities: Mapping[str, Modality]) -> dict[str, Column]:
        """The columns of some rows; those that are not in the cache, or damaged there, are parsed from the rows."""
        table = _Once(portion.load)
        folders = {
            name: self._folder(
                portion.name,
                modality.source_columns(name),
                modality.model_dump(mode="json", exclude={"weight"}),
                _code(type(modality)),
                *_files_named(name, modality, table, portion.beside),
            )
            for name, modality in modalities.items()
        }
        found = {name: self._open(folder) for name, folder in folders.items()}
        if None not in found.values():
            return {name: column for name, column in found.items() if column is not None}
        columns: dict[str, Column] = {}
        with locked(prepared_folder() / ".lock"):  # what another process is preparing is waited for
            found = {name: column or self._open(folders[name]) for name, column in found.items()}
            if missing := {name: modalities[name] for name, column in found.items() if column is None}:
                self._parse(portion, missing, folders, table())
            for name, column in found.items():
                column = column or self._open(folders[name])
                if column is None:
                    fault = f"{folders[name]}: cannot be read back"
                    raise UserError(f"{fault}; check that disk, or set MMT_CACHE to another")
                columns[name] = column
        return columns

    def _open(self, folder: Path) -> Column | None:
        """A cached column; None where it is missing or damaged."""
        try:
            card = json.loads((folder / "column.json").read_text(encoding="utf-8"))
            _verify(folder, card["checksums"])
            # Copy on write: a tensor over read-only memory would be a promise PyTorch cannot keep.
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
        self.report(f"preparing {portion.name}: {length:,} rows of {listing(list(modalities), _SHOWN_NAMES)}")
        with contextlib.ExitStack() as stack:
            writers = {
                name: _Writer(stack.enter_context(replacing_folder(folders[name])), length, self._make_room)
                for name in modalities
            }
            read = [column for name, modality in modalities.items() for column in modality.source_columns(name)]
            meter = Meter(self.report, f"preparing {portion.name}", length)
            for start, chunk in _chunks(table, list(dict.fromkeys(read)), length):
                for name, modality in modalities.items():
                    cells = modality.assembled(name, chunk)
                    writers[name].add(start, modality, read_cells(modality, cells, portion.beside), len(cells))
                meter.advance(len(next(iter(chunk.values()))))
            for writer in writers.values():
                writer.close()

    def _make_room(self, size: int) -> None:
        folder = make_folder(prepared_folder())
        free = shutil.disk_usage(folder).free
        if free < size:
            raise UserError(
                f"{folder}: prepared data needs {size / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free; "
                "run `mmt data clean`, or set MMT_CACHE to a folder with room"
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
        if values.shape != (count, *modality.event_shape()):  # it would be spread
            raise UserError(
                f"the modality {modality.kind}: its parse_column gives shape {values.shape} for {count} cells, "
                f"not {(count, *modality.event_shape())}; correct it, or event_shape"
            )
        if self.stored is None or (self.stored.dtype != values.dtype and not self.present.any()):
            self.make_room(self.length * max(values[0].nbytes, 1))
            shape = (self.length, *modality.event_shape())
            self.stored = open_memmap(self.folder / "stored.npy", "w+", dtype=values.dtype, shape=shape)
            _reserve(self.folder / "stored.npy")
        elif self.stored.dtype != values.dtype and parsed.present.any():  # it would be rounded
            raise UserError(
                f"the modality {modality.kind}: its parse gives {values.dtype} in rows from {start} and "
                f"{self.stored.dtype} before; let it give one type"
            )
        stop = start + count
        present = parsed.present.numpy()
        # What stands in the blanks is zero, so that the same data gives the same file.
        self.stored[start:stop] = np.where(present.reshape(-1, *[1] * (values.ndim - 1)), values, 0)
        self.present[start:stop] = present
        self.fault_count += len(parsed.faults)
        kept = sorted(parsed.faults.items())[: _KEPT_FAULTS - len(self.faults)]
        self.faults += [(start + row, fault) for row, fault in kept]

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


def _files_named(name: str, modality: Modality, table: Callable[[], Table], beside: FilesBeside | None) -> list[str]:
    """What tells whether the files have changed that a column names; nothing where it names none."""
    if beside is None or not modality.reads_files:
        return []
    digest = hashlib.sha256()
    for chunk in table().chunks(modality.source_columns(name), _CHUNK):
        beside.fingerprint(modality.assembled(name, chunk), digest)
    return [digest.hexdigest()]


class _Once:
    """Loads a table when it is first asked for."""

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
    """Claim the disk space of a file: writing to a mapped file on a full disk would kill the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # any other says that this disk cannot promise


def _verify(folder: Path, checksums: Mapping[str, str]) -> None:
    """Raise a `ValueError` where a file is not what was written; one verified before, and as old since, is trusted."""
    now = [(file, (stat := (folder / file).stat()).st_size, stat.st_mtime_ns) for file in sorted(checksums)]
    seal = _digest([now, dict(checksums)])
    if (folder / "verified").is_file() and (folder / "verified").read_text(encoding="utf-8") == seal:
        return
    for file, digest in checksums.items():
        if checksum(folder / file) != digest:
            raise ValueError(f"{file} is damaged")
    with contextlib.suppress(UserError):  # in a cache that may only be read it is verified again next time
        write_text(folder / "verified", seal)


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; put it there, or correct data") from error
    return str(path), found.st_size, found.st_mtime_ns


def _code(cls: type[BaseModel]) -> str:
    """The checksum of a class's code and that of its bases: each one's module, or all modules of its package."""
    files: set[Path] = set()
    for part in cls.__mro__:
        if not issubclass(part, BaseModel) or part is BaseModel:
            continue
        try:
            file = Path(inspect.getfile(part))
        except (TypeError, OSError):  # written at a prompt: what it does cannot be compared, so nothing is reused
            return secrets.token_hex()
        files |= set(file.parent.glob("*.py")) if (file.parent / "__init__.py").is_file() else {file}
    return hashlib.sha256("".join(checksum(path) for path in sorted(files)).encode()).hexdigest()
