"""Imputes and embeds tables in memory, for `TrainedRun.impute` and `TrainedRun.embed`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mmtoolkit.base.files import filling_folder, safe_name
from mmtoolkit.components import Run
from mmtoolkit.tables.fitting import fitted, is_bytes, is_picture
from mmtoolkit.tables.frame import Frame, New
from mmtoolkit.tables.output import numbered, png
from mmtoolkit.using.embedding import Embedder, check_copied_columns, embedding_columns, read_by
from mmtoolkit.using.fill import Fill
from mmtoolkit.using.imputing import Filling, Imputer, ImputeSummary, TypedRun
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFrame

_SavePicture = Callable[[Image.Image, int, str], str]
"""Saves a picture of a row and a column, and returns its path."""


def impute_frame(
    run: TypedRun, user_frame: UserFrame, fill: Fill, images: Path | str | None
) -> tuple[Any, ImputeSummary]:
    """Fill the missing cells of a table in memory; see `TrainedRun.impute`."""
    frame = user_frame.rows
    imputer = Imputer(run, RunTable.of(run, user_frame, run.model.modalities), fill)
    cells: dict[str, tuple[list[int], list[Any]]] = {}
    spread: dict[str, NDArray[np.float64]] = {name: np.full(len(frame), np.nan) for name in imputer.spread}
    with contextlib.ExitStack() as stack:
        save_picture = None if images is None else _pictures_in(run, Path(images), stack)
        for filling in imputer.fillings(names=()):
            _collect(filling, cells, frame, save_picture)
            for name, numbers in filling.spread.items():
                spread[name][filling.start : filling.start + len(numbers)] = numbers
    added: dict[str, New] = {}
    for name in imputer.added:
        places, new = cells.pop(name, ([], []))
        added[name] = _new_column(places, new, len(frame), imputer.added_type(name))
        if isinstance(column := added[name], pa.Array):
            imputer.count_unfit(name, column.null_count - len(frame) + len(places))
    answer, unfit = frame.with_filled(cells, {**added, **spread})
    for name, count in unfit.items():
        imputer.count_unfit(name, count)
    return answer, imputer.summary()


def impute_frames(
    run: TypedRun, user_frame: UserFrame, fills: Sequence[Fill], images: Path | str | None
) -> tuple[list[Any], list[ImputeSummary]]:
    """Fill a table in memory several times; the pictures of each go to a folder of their own, from IMAGES_1 on."""
    folders = [None] * len(fills) if images is None else numbered(Path(images), len(fills))
    both = [impute_frame(run, user_frame, fill, folder) for fill, folder in zip(fills, folders, strict=True)]
    return [table for table, _ in both], [counts for _, counts in both]


def _new_column(places: Sequence[int], cells: Sequence[Any], length: int, kind: pa.DataType) -> New:
    """A new column of a type. Some cells may stay missing, if the model decodes them given what their rows lack."""
    column: list[Any] = [None] * length
    for place, cell in zip(places, cells, strict=True):
        column[place] = cell
    return column if any(map(is_picture, cells)) else fitted(column, kind)


def _collect(
    filling: Filling, cells: dict[str, tuple[list[int], list[Any]]], frame: Frame, save_picture: _SavePicture | None
) -> None:
    """Add predictions to the cells, pictures as their column holds them: as bytes, as paths, or as they are."""
    for column, (places, new) in filling.cells.items():
        rows = [filling.start + place for place in places]
        if any(map(is_picture, new)) and _holds_bytes(frame, column):
            new = [png(cell) for cell in new]
        elif save_picture is not None:
            new = [
                save_picture(cell, row, column) if is_picture(cell) else cell
                for row, cell in zip(rows, new, strict=True)
            ]
        into = cells.setdefault(column, ([], []))
        into[0].extend(rows)
        into[1].extend(new)


def _holds_bytes(frame: Frame, column: str) -> bool:
    """Whether the known cells of a column are bytes."""
    known = frame.values(column) if column in frame.names else []
    return is_bytes(known.type) if isinstance(known, pa.Array) else any(isinstance(cell, bytes) for cell in known)


def _pictures_in(run: Run, folder: Path, stack: contextlib.ExitStack) -> _SavePicture:
    """A function that saves pictures in a folder."""
    new = stack.enter_context(filling_folder(folder))
    columns = [column for name, modality in run.modalities.items() for column in modality.source_columns(name)]

    def save_picture(picture: Image.Image, row: int, column: str) -> str:
        file = f"{row:05}_{safe_name(column, columns.index(column))}.png"
        picture.save(new / file, format="png")
        return str(folder / file)

    return save_picture


def embed_frame(run: Run, user_frame: UserFrame, keep: Sequence[str], private: bool = False) -> tuple[Any, list[str]]:
    """Embed a table in memory, as a table of the same kind, with notes; see `TrainedRun.embed`."""
    frame = user_frame.rows
    names = embedding_columns(run.model, private)
    check_copied_columns(frame, keep, names)
    run_table = RunTable.of(run, user_frame, read_by(run))
    embedder = Embedder(run, run_table, private)
    parts = [values.numpy() for _, values in embedder.pieces()]
    numbers = np.concatenate([np.zeros((len(names), 0), dtype=np.float32), *parts], axis=1)
    return frame.alongside(keep, dict(zip(names, numbers, strict=True))), embedder.notes(run_table.absent)
