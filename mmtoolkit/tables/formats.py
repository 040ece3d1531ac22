"""Finds the format of a table's file and opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.columnar import Arrow, Parquet
from mmtoolkit.tables.compression import codec_of, unpacked
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.excel import Excel
from mmtoolkit.tables.json_array import open_json
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.location import check_readable
from mmtoolkit.tables.parts import Parts, is_parted
from mmtoolkit.tables.reading import Format, Reading
from mmtoolkit.tables.shard import Shard
from mmtoolkit.tables.table_file import TableFile

_READERS: dict[Format, Callable[[Path, Reading], TableFile]] = {
    "csv": Delimited,
    "parquet": Parquet,
    "arrow": Arrow,
    "json": open_json,
    "jsonl": JsonLines,
    "xlsx": Excel,
}
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
}
_TEXT: tuple[Format, ...] = ("csv", "json", "jsonl")
# What other files are whose owners have a table in them.
_OTHERS = {
    ".xls": "an old Excel file",
    ".xlsb": "a binary Excel file",
    ".xlsm": "an Excel file with macros",
    ".ods": "an OpenDocument file",
    ".numbers": "a Numbers file",
    ".zip": "an archive",
    ".sav": "an SPSS file",
    ".dta": "a Stata file",
    ".sas7bdat": "a SAS file",
    ".rds": "an R file",
    ".rdata": "an R file",
    ".pkl": "a pickle of Python",
    ".h5": "an HDF5 file",
}


def format_of(path: Path) -> Format:
    """The format that a file's ending names; .gz, .bz2 or .zst may follow the ending of a text format.

    Raises:
        UserError: the ending names no format.
    """
    ending = unpacked(path).suffix.lower()
    kind = ENDINGS.get(ending)
    if kind is None and ending in _OTHERS:
        raise UserError(f"{path}: is {_OTHERS[ending]}, which is not read; export it as .xlsx, .csv or .parquet")
    if kind is None:
        endings = ", ".join(ENDINGS)
        raise UserError(
            f"{path}: its ending names no format of a table; name it with one of {endings}, or say its format"
        )
    if codec_of(path) and kind not in _TEXT:
        raise UserError(f"{path}: only text is read compressed, such as .csv{path.suffix}; unpack the file")
    return kind


def format_has_null(kind: Format) -> bool:
    """Whether a format has a null, so that every text in it is a value."""
    return kind != Delimited.format


def open_table(path: Path | str, reading: Reading | None = None, shard: Shard | None = None) -> TableFile:
    """Open a table's file, or a folder or pattern of Parquet files.

    Args:
        path: the file, the folder, or the pattern, such as `parts/*.parquet`.
        reading: how to read it; by default, its ending names the format and text is UTF-8.
        shard: the share of the files to read; by default, all.

    Raises:
        UserError: the file cannot be read, its ending names no format, or there are shares of a file alone.
    """
    path, reading = Path(path), reading or Reading()
    check_readable(path)
    if is_parted(path):
        return Parts(path, reading, shard)
    if shard is not None:
        raise shard.of_one_file(path)
    return _READERS[reading.format or format_of(path)](path, reading)
