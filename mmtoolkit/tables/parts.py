"""Reads a table in several Parquet files: those of a folder, or those that a pattern names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.columnar import Columnar, Parquet
from mmtoolkit.tables.reading import Reading
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.shard import Shard

_ENDINGS = (".parquet", ".pq")


def is_parted(path: Path) -> bool:
    """Whether a path is a folder, or a pattern such as `parts/*.parquet`."""
    return os.path.isdir(path) or (glob.has_magic(path.name) and not os.path.lexists(path))


def is_part(file: Path) -> bool:
    """Whether a file is one of Parquet, or one that its program wrote beside them, such as _SUCCESS."""
    return file.suffix.lower() in _ENDINGS or file.name.startswith((".", "_"))


def files_of(path: Path) -> list[Path]:
    """The files of a table: a file alone, or the Parquet files of a folder or pattern, sorted by name.

    Raises:
        UserError: a folder or pattern holds something else, or nothing.
    """
    if not is_parted(path):
        return [path]
    pattern = path.name if not path.is_dir() else "*"
    folder = folder_of(path)
    if glob.has_magic(str(folder)) and not folder.exists():
        raise UserError(f"{path}: has a pattern for folders; give one folder, and a pattern for its files alone")
    try:
        paths = sorted(folder.glob(pattern))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    files = [file for file in paths if not file.name.startswith((".", "_"))]
    parts = [file for file in files if is_part(file) and not file.is_dir()]
    inner = [file.name for file in files if file.is_dir() and (parts or "=" in file.name)]
    if inner:
        fault = f"holds the folder {inner[0]}, and parts in folders are not read"
        raise UserError(f"{path}: {fault}; give a folder of Parquet files alone, or write the table as one")
    if not parts:
        what = "is a folder without a Parquet file" if path.is_dir() else "is the pattern of no Parquet file"
        raise UserError(f"{path}: {what}; give the path of a table's file")
    if len(parts) < len(files):
        other = next(file.name for file in files if file not in parts)
        remedy = f"move it away, or give the pattern {folder / '*.parquet'}"
        raise UserError(f"{path}: holds {other}, which is no Parquet file; {remedy}")
    return parts


def folder_of(path: Path) -> Path:
    """The folder that paths in a table's cells are relative to: that of the table's files."""
    return path if os.path.isdir(path) else path.parent


class Parts(Columnar):
    """The rows of several Parquet files with the same columns, one file after the other.

    Args:
        path: the folder, or the pattern.
        reading: how to read it.
        shard: the share of the files to read; by default, all. The columns are those of all files.
    """

    format = "parquet"

    def __init__(self, path: Path, reading: Reading, shard: Shard | None = None) -> None:
        if reading.format not in (None, "parquet"):
            raise UserError(f"{path}: is read as Parquet, not as {reading.format}; give the path of a table's file")
        files = files_of(path)
        self._all = {file: Parquet(file, reading) for file in files}
        self.shard = shard
        self.parts = [self._all[file] for file in (files if shard is None else shard.files(files))]
        """The files to read, opened."""
        super().__init__(path, reading)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns with their types; a column of nulls in one part takes the type that another has."""
        first, *others = self._all.values()
        kinds = {name: first.schema.field(name).type for name in first.names}
        for part in others:
            self._check_names(first, part)
            for name, kind in kinds.items():
                other = part.schema.field(name).type
                if pa.types.is_null(kind):
                    kinds[name] = other
                elif other != kind and not pa.types.is_null(other):
                    fault = f"column {name} is {other}, and {kind} in the parts before it"
                    raise UserError(f"{part.path}: {fault}; write the parts again, with equal columns")
        return pa.schema([first.schema.field(n).with_type(k) for n, k in kinds.items()], first.schema.metadata)

    @staticmethod
    def _check_names(first: Parquet, part: Parquet) -> None:
        for name in (*first.names, *part.names):
            if (name in part.names) != (name in first.names):
                has, lacks = ("lacks", "has it") if name in first.names else ("has", "lacks it")
                fault = f"{has} the column {name!r}, and {first.path.name} {lacks}"
                raise UserError(f"{part.path}: {fault}; write the parts again, with equal columns")

    def _count(self) -> int:
        return sum(map(len, self.parts))

    def _read(self, size: int, names: list[str]) -> Iterator[Rows]:
        for part in self.parts:
            for rows in part.rows(size, names):
                columns = {name: self._typed(column, name) for name, column in rows.raw.items()}
                yield Rows(columns, self.missing, part=part.path.name)

    def _typed(self, column: pa.Array, name: str) -> pa.Array:
        kind = self.schema.field(name).type
        return pa.nulls(len(column), kind) if pa.types.is_null(column.type) else column

    def place(self, row: int) -> str:
        """The part, and the row in it."""
        starts = [0, *accumulate(map(len, self.parts))]
        at = max(at for at, start in enumerate(starts[:-1]) if start <= row)
        return self.parts[at].place(row - starts[at])

    def _stat(self) -> tuple[int, ...]:
        return tuple(number for part in self.parts for number in part._stat())
