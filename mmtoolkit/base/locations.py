"""Where data sets are looked for and where prepared data is kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs

from mmtoolkit.base.errors import UserError


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names, where it is set."""
    named = os.environ.get(variable)
    if not named:
        return None
    try:
        path = Path(named).expanduser().resolve()
        str(path).encode()
    except (RuntimeError, OSError, UnicodeEncodeError) as error:  # ~name of a user who is not there
        raise UserError(f"{variable}={named}: is no path here: {error}; correct it") from error
    return path


def data_folders() -> list[Path]:
    """The folders that hold data sets, in the order they are searched: $MMT_DATA, the user's, the system's."""
    named = _named("MMT_DATA")
    return [
        *([named] if named else []),
        platformdirs.user_data_path("mmtoolkit"),
        Path("/usr/share/datasets"),
        platformdirs.site_data_path("mmtoolkit"),
    ]


def user_data_folder() -> Path:
    """Where `mmt data get` puts data sets: $MMT_DATA where it is set, else the user's data folder."""
    return _named("MMT_DATA") or platformdirs.user_data_path("mmtoolkit")


def cache_folder() -> Path:
    """Where prepared data is kept: $MMT_CACHE, else the user's cache folder."""
    return _named("MMT_CACHE") or platformdirs.user_cache_path("mmtoolkit")


def prepared_folder() -> Path:
    """Where prepared columns are kept."""
    return cache_folder() / "prepared"


def clean_prepared() -> int:
    """Delete all prepared columns; the number of bytes freed."""
    folder = prepared_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return size
