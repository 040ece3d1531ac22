"""Writes files and folders whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmtoolkit.base.errors import UserError

_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}")
_ATTEMPTS = 20
_LONGEST_NAME = 40


def check_free(out: Path, overwrite: bool) -> None:
    """Raise if the path is a folder, or a file that may not be replaced."""
    if not os.path.lexists(out):
        return
    if os.path.isdir(out):
        raise UserError(f"{out}: is a folder; write elsewhere with --out FILE")
    if not overwrite:
        raise UserError(f"{out}: is there already; give --overwrite to replace it, or write elsewhere with --out FILE")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            file = Path(os.fsdecode(error.filename))
            if file not in path.parents and path.parent not in file.parents:
                raise  # the block was reading this file, not writing it
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space, or write elsewhere" if full else "make it writable, or write elsewhere"
        raise UserError(f"{path}: cannot be written: {error.strerror or error}; {remedy}") from error


@contextlib.contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold the lock of a file, which one process at a time can hold; a lock ends with its process.

    Args:
        path: the file; it stays after the block.
        busy: the error if another process holds the lock; by default, wait for that process.

    Raises:
        UserError: another process holds the lock, or the file cannot be written.
    """
    make_folder(path.parent)
    lock = FileLock(path)
    with _explained(path):
        try:
            lock.acquire(timeout=-1 if busy is None else 0)
        except Timeout:
            raise UserError(busy or "") from None
    try:
        yield
    finally:
        lock.release()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> Path:
    """Make a folder and its parents, if they do not exist."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new path for a file, which replaces `path` when the block ends well.

    Raises:
        UserError: the file cannot be written (a full disk, a read-only folder); no partial file stays.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _explained(path):
            new.touch()
            mode = new.stat().st_mode
            yield new
            new.chmod(mode)  # some writers make files that only their owner can read
            _sync(new)
            new.replace(path)
            _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # if nothing could be written, there is nothing to remove
            new.unlink()


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which replaces the folder `path` when the block ends well.

    Between the two renames of the swap the old folder stands at `set_aside(path)`.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _explained(path):
            new.mkdir(parents=True)
            yield new
            for file in new.iterdir():
                _sync(file)
            _sync(new)
            _swap(new, path)
            _sync(path.parent)
            shutil.rmtree(set_aside(path), ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def filling_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, whose files move to the folder `path` when the block ends well.

    Other files of `path` stay.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _explained(path):
            new.mkdir(parents=True)
            yield new
            path.mkdir(exist_ok=True)
            for file in new.iterdir():
                _sync(file)
                file.replace(path / file.name)
            _sync(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    """Replace the folder `path` by the folder `new`; try again if another process does the same at the same time."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            if path.exists():
                shutil.rmtree(set_aside(path), ignore_errors=True)
                path.rename(set_aside(path))
            new.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT) or not attempts_left:
                raise


def set_aside(path: Path) -> Path:
    """The path of the old folder while `replacing_folder` swaps it for the new one."""
    return path.with_name(f".{path.name}.old")


def sweep(folder: Path) -> None:
    """Remove partial files and folders of killed writers. No process may be writing to the folder."""
    for path in folder.glob(".*"):
        if _HALF_WRITTEN.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def append_text(path: Path, text: str) -> None:
    """Append to a text file, which readers may follow. A kill may cut the text."""
    with _explained(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, whole or not at all; a number that is not finite is a `ValueError`."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def checksum(path: Path) -> str:
    """The SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe_name(name: str, place: int) -> str:
    """A file name for an item of a list, such as a modality, with any name; no two items get the same."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return f"{place}_{plain[:_LONGEST_NAME]}"
