"""The folders of data sets and of prepared data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import platformdirs

from mmtoolkit.base.errors import UserError

CARD = "card.yaml"
"""The file of a packed run, to whose folder nothing is written."""

_cache: ContextVar[Path | None] = ContextVar("cache", default=None)


def _folder_in(variable: str) -> Path | None:
    """The folder that an environment variable names; None if it is not set."""
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        path = Path(text).expanduser().resolve()
        str(path).encode()
    except (RuntimeError, OSError, UnicodeEncodeError) as error:  # such as ~name of an unknown user
        raise UserError(f"{variable}={text}: is not a path: {error}; correct it") from error
    return path


def data_folders() -> list[Path]:
    """The folders of data sets, in the order of search: $MMT_DATA, the user's, the system's."""
    first = _folder_in("MMT_DATA")
    return [
        *([first] if first else []),
        platformdirs.user_data_path("mmtoolkit"),
        Path("/usr/share/datasets"),
        platformdirs.site_data_path("mmtoolkit"),
    ]


def user_data_folder() -> Path:
    """The folder to which `mmt data get` writes data sets: $MMT_DATA if it is set, else the user's data folder."""
    return _folder_in("MMT_DATA") or platformdirs.user_data_path("mmtoolkit")


def cache_folder() -> Path:
    """The folder of prepared data: that of `caching_in`, else $MMT_CACHE if it is set, else the user's cache folder."""
    return _cache.get() or _folder_in("MMT_CACHE") or platformdirs.user_cache_path("mmtoolkit")


@contextmanager
def caching_in(folder: Path) -> Iterator[None]:
    """Keep the data that this thread prepares in a folder of its own, such as one that is removed afterwards."""
    token = _cache.set(folder)
    try:
        yield
    finally:
        _cache.reset(token)


def prepared_folder() -> Path:
    """The folder of prepared columns."""
    return cache_folder() / "prepared"


def clean_prepared() -> int:
    """Delete all prepared columns; return how many bytes that frees."""
    folder = prepared_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return size
