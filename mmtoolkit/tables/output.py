"""Checks where a table may be written, and writes its pictures beside it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from PIL import Image

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import check_free, filling_folder, safe_name
from mmtoolkit.tables.compression import unpacked
from mmtoolkit.tables.formats import ENDINGS, format_of
from mmtoolkit.tables.location import check_writable
from mmtoolkit.tables.parts import files_of, folder_of, is_part, is_parted
from mmtoolkit.tables.reading import Format
from mmtoolkit.tables.shard import Shard


def names_folder(out: Path) -> bool:
    """Whether the path of a new table names a folder, for a table in parts: it has no ending."""
    return not out.suffix or os.path.isdir(out)


def numbered(out: Path, count: int) -> list[Path]:
    """The paths of several tables, or folders, in place of one: NAME_1.csv, NAME_2.csv, … for NAME.csv."""
    name = unpacked(out).stem
    return [out.with_name(f"{name}_{place}{out.name.removeprefix(name)}") for place in range(1, count + 1)]


def output_format(out: Path) -> Format:
    """The format of a new table.

    Raises:
        UserError: the ending names no format.
    """
    return "parquet" if names_folder(out) else format_of(out)


def check_output(
    out: Path, overwrite: bool, table: Path | None = None, in_parts: bool = False, shard: Shard | None = None
) -> None:
    """Check that a table may be written to a file, or to a folder.

    Args:
        out: the file or folder.
        overwrite: whether it may be replaced if it exists.
        table: the file from which you read the rows.
        in_parts: whether a folder is allowed.
        shard: the share of the table's files that you read; other jobs write to the folder too.

    Raises:
        UserError: the ending names no format, the file exists already, it is the table that you read, or you read a
            share of a file alone, or write one to a file.
    """
    check_writable(out)
    folder = names_folder(out)
    if shard is not None and not in_parts and table is not None:
        raise shard.of_one_file(table)
    if shard is not None and not folder:
        raise UserError(f"--shard {shard}: every job would write the file {out}; give a folder with --out DIR")
    if (folder and not in_parts and not os.path.isdir(out)) or (not folder and not _has_format(out)):
        endings = ", ".join(ENDINGS)
        raise UserError(f"{out}: tables are written to {endings}; give a file that ends in one of these")
    if table is not None and os.path.exists(out):
        same = [other for other in (table, folder_of(table) if is_parted(table) else table) if os.path.exists(other)]
        if any(os.path.samefile(out, other) for other in same):
            raise UserError(f"{out}: is the table that is read; write elsewhere with --out FILE")
    if folder and in_parts and os.path.isdir(out):
        parts = None if shard is None or table is None else [file.name for file in shard.files(files_of(table))]
        _check_folder(out, overwrite, parts)
    else:
        check_free(out, overwrite)


def _has_format(out: Path) -> bool:
    try:
        format_of(out)
    except UserError:
        return False
    return True


def _check_folder(out: Path, overwrite: bool, parts: Collection[str] | None) -> None:
    """Raise if a folder may not be replaced: only one that holds nothing but parts may.

    Args:
        out: the folder.
        overwrite: whether you may replace it.
        parts: the names of the parts to write among others; None for all that it will hold.
    """
    files = [file for file in out.iterdir() if parts is None or file.name in parts]
    if files and not overwrite and parts is not None:
        raise UserError(
            f"{files[0]}: is there already; give --overwrite to replace the parts of this share, or write elsewhere "
            "with --out DIR"
        )
    if files and not overwrite:
        raise UserError(f"{out}: is there already; give --overwrite to replace it, or write elsewhere with --out DIR")
    for file in files:
        if file.is_dir() or not is_part(file):
            raise UserError(f"{out}: holds {file.name}, which --overwrite would remove; write elsewhere with --out DIR")


class PicturesBeside:
    """Writes the pictures of a new table as PNG files in the folder NAME_images beside it.

    Args:
        out: the table.
        stack: when it ends well, the pictures stand in the folder; after an error, none does.
        shard: the share of the table's files that you read; it has a folder of its own, NAME_images_2_of_8.
    """

    def __init__(self, out: Path, stack: contextlib.ExitStack, shard: Shard | None = None) -> None:
        share = "" if shard is None else f"_{shard.place}_of_{shard.count}"
        self.folder, self._stack = out.with_name(f"{unpacked(out).stem}_images{share}"), stack
        self._new: Path | None = None

    def check(self, overwrite: bool) -> None:
        """Raise if the folder exists already and pictures in it may not be replaced."""
        if os.path.lexists(self.folder) and not overwrite:
            raise UserError(
                f"{self.folder}: is there already, and pictures would be written to it; give --overwrite to write them "
                "among the others, or write elsewhere with --out FILE"
            )

    def path_of(self, picture: Image.Image, row: int, name: str, place: int) -> str:
        """Save the picture of a row, of the modality with that name and place; return its path beside the table."""
        if self._new is None:
            self._new = self._stack.enter_context(filling_folder(self.folder))
        file = f"{row:05}_{safe_name(name, place)}.png"
        picture.save(self._new / file, format="png")
        return f"{self.folder.name}/{file}"


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, format="png")
    return file.getvalue()


@contextlib.contextmanager
def pictures_beside(out: Path, shard: Shard | None = None) -> Iterator[PicturesBeside]:
    """The writer of a table's pictures; they stand in their folder when the block ends well."""
    with contextlib.ExitStack() as stack:
        yield PicturesBeside(out, stack, shard)
