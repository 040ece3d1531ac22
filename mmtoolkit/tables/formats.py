"""Finds the format of a table's file and opens it."""

from __future__ import annotations

from pathlib import Path

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.columnar import Arrow, Parquet
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.reading import Format, Reading
from mmtoolkit.tables.table_file import TableFile

_READERS: dict[Format, type[TableFile]] = {
    "csv": Delimited,
    "parquet": Parquet,
    "arrow": Arrow,
    "jsonl": JsonLines,
}
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_TEXT: tuple[Format, ...] = ("csv", "jsonl")


def format_of(path: Path) -> Format:
    """The format that a file's ending names; `.gz` may follow the ending of a text format.

    Raises:
        UserError: the ending names no format.
    """
    compressed = path.suffix.lower() == ".gz"
    kind = ENDINGS.get(Path(path.stem).suffix.lower() if compressed else path.suffix.lower())
    if kind is None or (compressed and kind not in _TEXT):
        endings = ", ".join(ENDINGS)
        raise UserError(
            f"{path}: its ending names no format of a table; name it with one of {endings}, or say its format"
        )
    return kind


def format_has_null(kind: Format) -> bool:
    """Whether a format has a null, so that every text in it is a value."""
    return _READERS[kind].has_null


def open_table(path: Path | str, reading: Reading | None = None) -> TableFile:
    """Open a table's file.

    Args:
        path: the file.
        reading: how to read it; by default, its ending names the format and text is UTF-8.

    Raises:
        UserError: the file cannot be read, or its ending names no format.
    """
    path, reading = Path(path), reading or Reading()
    return _READERS[reading.format or format_of(path)](path, reading)
