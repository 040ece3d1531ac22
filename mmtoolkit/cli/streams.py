"""Tables on standard input and standard output."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import say

if TYPE_CHECKING:
    from mmtoolkit.tables.shard import Shard

_START = 1 << 12
_CALLED = "standard input", "standard output"


@dataclass(frozen=True)
class Streams:
    """The files that a command reads and writes.

    Attributes:
        table: the file to read: the user's, or a copy of standard input.
        folder: the folder that paths in cells are relative to; None for that of the file.
        out: the file to write: the user's, or one that goes to standard output.
        called: the user's name for the table.
        renamed: a line with the user's names in place of temporary paths.
    """

    table: Path
    folder: Path | None
    out: Path
    called: str
    renamed: Callable[[str], str]

    def say(self, line: str) -> None:
        """Print a line that is not a result, on stderr."""
        say(self.renamed(line))


@contextlib.contextmanager
def table_streams(
    table: Path,
    out: Path | None = None,
    sets: Sequence[str] = (),
    overwrite: bool = False,
    in_parts: bool = False,
    shard: Shard | None = None,
) -> Iterator[Streams]:
    """The files to read and to write; `-` means standard input, and standard output when the block ends well.

    Args:
        table: the table that the user gives.
        out: the new table; None if the command writes none.
        sets: the values of `--set`, of which `data.format` names the format of standard input.
        overwrite: whether the new table may replace a file.
        in_parts: whether the command can write a table in parts.
        shard: the share of the table's files to read; by default, all.

    Raises:
        UserError: the table cannot be read from there, or the new one not be written; errors of the block have the
            user's names of the tables.
    """
    from mmtoolkit.tables.location import STDIN, check_readable
    from mmtoolkit.tables.output import check_output
    from mmtoolkit.tables.parts import is_parted

    reads, writes = table == STDIN, out == STDIN
    check_readable(table, reads_stdin=True)
    if shard is not None and (reads or writes):
        raise UserError(f"--shard {shard}: standard input and output have no shares; give a folder of Parquet files")
    if out is not None and not writes:
        check_output(out, overwrite, None if reads else table, in_parts and not reads and is_parted(table), shard)
    with tempfile.TemporaryDirectory(prefix="mmt-") as folder:
        name = _option(sets, "data.format")
        source = _standard_input(Path(folder), name) if reads else table
        target = Path(folder) / f"out{_ending(source, name)}" if writes else out or Path()

        def renamed(line: str) -> str:
            for path, called in zip((source, target), _CALLED, strict=True):
                line = line.replace(str(path), called) if Path(folder) in path.parents else line
            return line

        try:
            yield Streams(source, Path.cwd() if reads else None, target, _CALLED[0] if reads else str(table), renamed)
        except UserError as error:
            raise UserError([renamed(fault) for fault in error.faults]) from error
        if writes:
            _to_standard_output(target)


def _option(sets: Sequence[str], key: str) -> str | None:
    return next((text.partition("=")[2] for text in reversed(sets) if text.partition("=")[0] == key), None)


def _standard_input(folder: Path, format_name: str | None) -> Path:
    """Copy standard input to a file with the ending of its format."""
    if sys.stdin is None or sys.stdin.closed:
        raise UserError("standard input: is closed; give the path of a table")
    if sys.stdin.isatty():
        raise UserError("standard input: is a terminal; pipe a table to it, such as with cat new.csv |, or give a path")
    whole = folder / "stdin"
    with whole.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    codec = _codec(whole)
    packed = whole.rename(folder / f"stdin{codec}")
    return packed.rename(folder / f"stdin{_ending_of(format_name) or _ending_by_content(packed)}{codec}")


def _codec(file: Path) -> str:
    """The ending of compressed files that begin like this one; empty if it is not compressed."""
    with file.open("rb") as content:
        start = content.read(_START)
    marks = {b"\x1f\x8b": ".gz", b"BZh91AY": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
    return next((ending for mark, ending in marks.items() if start.startswith(mark)), "")


def _ending_by_content(file: Path) -> str:
    """The ending of the format that a file begins like; .csv if none does."""
    from mmtoolkit.tables.compression import read_bytes

    try:
        with read_bytes(file) as content:
            start = content.read(_START).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:  # the reader of the table reports it
        return ".csv"
    marks = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"\xff\xff\xff\xff": ".arrow", b"PK\x03\x04": ".xlsx"}
    marks |= {b"\xd0\xcf\x11\xe0": ".xlsx", b"[": ".json", b"{": ".jsonl"}
    return next((ending for mark, ending in marks.items() if start.startswith(mark)), ".csv")


def _ending_of(format_name: str | None) -> str | None:
    """The ending of a format's files; None if there is no such format."""
    from mmtoolkit.tables.formats import ENDINGS

    return next((ending for ending, name in ENDINGS.items() if name == format_name), None)


def _ending(table: Path, format_name: str | None) -> str:
    """The ending of a new table in the format of another, not compressed."""
    from mmtoolkit.tables.compression import unpacked
    from mmtoolkit.tables.formats import format_of
    from mmtoolkit.tables.parts import is_parted

    if is_parted(table):
        return ".parquet"
    ending = _ending_of(format_name)
    if ending is None:
        format_of(table)
        ending = unpacked(table).suffix
    return ending


def _to_standard_output(file: Path) -> None:
    if file.with_name("out_images").exists():
        raise UserError("--out -: pictures go to files beside the table; give --out FILE")
    if sys.stdout.isatty() and file.suffix in (".parquet", ".pq", ".arrow", ".feather", ".xlsx"):
        raise UserError("--out -: a terminal cannot show this format; redirect it to a file, or give --out FILE")
    sys.stdout.flush()
    with file.open("rb") as content:
        shutil.copyfileobj(content, sys.stdout.buffer)
    sys.stdout.buffer.flush()
