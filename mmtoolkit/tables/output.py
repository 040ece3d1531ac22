"""Checks where a table may be written, and writes its pictures beside it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import check_free, filling_folder, safe_name
from mmtoolkit.tables.formats import ENDINGS, format_of


def check_output(out: Path, overwrite: bool, table: Path | None = None) -> None:
    """Check that a table may be written to a file.

    Args:
        out: the file.
        overwrite: whether an existing file may be replaced.
        table: the file from which you read the rows.

    Raises:
        UserError: the ending names no format, the file exists already, or it is the table that you read.
    """
    try:
        format_of(out)
    except UserError:
        endings = ", ".join(ENDINGS)
        raise UserError(f"{out}: tables are written to {endings}; give a file that ends in one of these") from None
    if table is not None and os.path.exists(out) and os.path.exists(table) and os.path.samefile(out, table):
        raise UserError(f"{out}: is the table that is read; write elsewhere with --out FILE")
    check_free(out, overwrite)


class PicturesBeside:
    """Writes the pictures of a new table as PNG files in the folder NAME_images beside it.

    Args:
        out: the table.
        stack: when it ends well, the pictures stand in the folder; after an error, none does.
    """

    def __init__(self, out: Path, stack: contextlib.ExitStack) -> None:
        stem = Path(out.stem).stem if out.suffix.lower() == ".gz" else out.stem
        self.folder, self._stack = out.with_name(f"{stem}_images"), stack
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
def pictures_beside(out: Path) -> Iterator[PicturesBeside]:
    """The writer of a table's pictures; they stand in their folder when the block ends well."""
    with contextlib.ExitStack() as stack:
        yield PicturesBeside(out, stack)
