"""Says what a path is that is no path of a file: an address or a pipe."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from mmtoolkit.base.errors import UserError

STDIN = Path("-")
"""The path that means standard input, or standard output."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)  # a path keeps one of the two slashes


def location_fault(path: Path, reads_stdin: bool = False) -> str:
    """Why a path cannot be read as a file, and what to do; empty if it may be.

    Args:
        path: as the user wrote it.
        reads_stdin: whether the caller reads standard input for `-`.
    """
    if match := _ADDRESS.match(str(path)):
        address = f"{match[1]}://{str(path)[match.end() :]}"
        download = "curl -LO" if match[1].lower() in ("http", "https", "ftp") else "the tool of its store"
        return f"{address}: is an address, not a file; download it first, such as with {download}"
    if path == STDIN and not reads_stdin and not os.path.lexists(path):
        return "-: standard input cannot be read twice; save it to a file, and give its path"
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    remedy = "give - to read standard input, or save it to a file" if reads_stdin else "save it to a file"
    return f"{path}: is a pipe or a device, which can be read only once; {remedy}"


def check_readable(path: Path, reads_stdin: bool = False) -> None:
    """Raise if a path cannot be read as a file, or as a folder of files; see `location_fault`."""
    if fault := location_fault(path, reads_stdin):
        raise UserError(fault)


def check_writable(out: Path) -> None:
    """Raise if the path of a new file is an address."""
    if match := _ADDRESS.match(str(out)):
        fault = "is an address, not a file; write to a file, and copy it there"
        raise UserError(f"{match[1]}://{str(out)[match.end() :]}: {fault}")
