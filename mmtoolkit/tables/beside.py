"""Finds the files that cells of a table name, such as pictures."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmtoolkit.tables.cells import Cells


@dataclass(frozen=True)
class FilesBeside:
    """Finds files by the paths in cells, which are relative to the table's folder.

    Attributes:
        folder: the table's folder.
        outside: whether a path may lead out of the folder.
        absent: whether a file that does not exist is a fault, or makes its cell missing.
    """

    folder: Path
    outside: bool = False
    absent: Literal["error", "missing"] = "error"
    _inside: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def opened(self, cells: Cells) -> tuple[list[Any], dict[int, str]]:
        """Replace each text by the path of its file.

        Returns:
            The cells, None where missing or at fault; and row -> fault.
        """
        paths: list[Any] = list(cells)
        faults: dict[int, str] = {}
        for row, cell in enumerate(paths):
            if isinstance(cell, str):
                try:
                    paths[row] = self._file(cell)
                except ValueError as error:
                    paths[row], faults[row] = None, str(error)
        return paths, faults

    def _file(self, cell: str) -> str | None:
        path = os.path.join(self.folder, cell)
        try:
            mode = os.lstat(path).st_mode
            if not self.outside:
                self._check_inside(path, cell, stat.S_ISLNK(mode))
            if stat.S_ISLNK(mode):
                mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            if not self.outside:
                self._check_inside(path, cell, link=True)
            if self.absent == "missing":
                return None
            raise ValueError(
                f"{cell}: there is no such file in {self.folder}; correct the path, leave the cell empty, "
                "or set data.absent_files to missing"
            ) from None
        except UnicodeEncodeError:
            raise ValueError(f"{cell!r}: is no name that a file can have; correct it") from None
        except OSError as error:  # a loop of links, a name too long, a folder without permission
            raise ValueError(f"{cell}: cannot be read: {error.strerror}; correct the path") from None
        if stat.S_ISDIR(mode):
            raise ValueError(f"{cell}: is a folder; give the path of a file")
        return path

    def _check_inside(self, path: str, cell: str, link: bool) -> None:
        """Raise if a path leads out of the folder, by itself or by a link; `link`: its last part may be a link."""
        parent, name = os.path.split(path)
        inside = self._inside.get(parent)  # one folder may hold thousands of files
        if inside is None:
            inside = self._inside[parent] = self._holds(parent)
        if (not inside or link or name in ("", ".", "..")) and not self._holds(path):
            raise ValueError(
                f"{cell}: leads out of the table's folder, {self.folder}; move the file into it, "
                "or set data.files_outside to true"
            )

    def _holds(self, path: str) -> bool:
        folder = os.path.realpath(self.folder)
        try:
            real = os.path.realpath(path, strict=True)
        except (FileNotFoundError, NotADirectoryError):
            real = os.path.realpath(path)  # an absent file gets an error of its own, unless it is outside
        return real == folder or real.startswith(os.path.join(folder, ""))

    def fingerprint(self, cells: Cells, digest: Any) -> None:
        """Add the file of each text, with its size and time of change, to a digest of `hashlib`."""
        for cell in cells:
            if isinstance(cell, str):
                try:
                    status = os.stat(os.path.join(self.folder, cell))
                    digest.update(f"{cell}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
                except (OSError, ValueError):
                    digest.update(f"{cell!r}\0absent\n".encode())
