"""Writes samples of a run to files: a picture, or a table with a folder of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import check_free, make_folder
from mmtoolkit.components import Modality, Run
from mmtoolkit.components.entries import unconditioned
from mmtoolkit.figures import direction, rows_with, samples, save_figure
from mmtoolkit.tables.fitting import fitted, is_picture, plain, type_of
from mmtoolkit.tables.output import PicturesBeside, pictures_beside
from mmtoolkit.tables.summary import ColumnSummary
from mmtoolkit.tables.writing import new_table

FORMATS = (".png", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".json", ".jsonl", ".xlsx")
_TEXT = (".csv", ".tsv")
_MOST_COLUMNS = 100


def write_samples(
    modalities: Mapping[str, Modality], values: Mapping[str, Tensor], out: Path, overwrite: bool = False
) -> None:
    """Write samples, as `TrainedRun.sample` returns them, to a .png file or a table.

    A table has a row for each sample, and the columns that the modalities are read from. Pictures go to the folder
    NAME_images beside the table, and their paths into its cells.

    Args:
        modalities: name -> modality.
        values: name -> samples (N, *event).
        out: the file to write.
        overwrite: whether to replace the file if it exists, and write into that folder if it exists.

    Raises:
        UserError: no samples can be written to a file with this ending, the file exists, or it cannot be written.
    """
    check_samples_output(out, overwrite)
    make_folder(out.parent)
    if out.suffix == ".png":
        save_figure(samples(modalities, values), out)
        return
    with pictures_beside(out) as pictures:
        columns = _columns(modalities, values, pictures, out.suffix in _TEXT, overwrite)
        fields = pa.schema([(column, cells.type) for column, cells in columns.items()])
        with new_table(out, fields) as writer:
            writer.write(columns)


def _columns(
    modalities: Mapping[str, Modality],
    values: Mapping[str, Tensor],
    pictures: PicturesBeside,
    text_format: bool,
    overwrite: bool,
) -> dict[str, pa.Array]:
    """The columns that modalities are read from. A column that several share becomes a column for each modality."""
    readers = Counter(column for name in values for column in modalities[name].source_columns(name))
    columns: dict[str, pa.Array] = {}
    for place, (name, modality) in enumerate(modalities.items()):
        if name not in values:
            continue
        by_column = modality.by_column(name, [modality.cell(value) for value in values[name].cpu()])
        for column, cells in by_column.items():
            style = modality.style(ColumnSummary(column, len(cells), 0, (), (), text_format=text_format))
            cells = [None if cell is None else plain(style(cell)) for cell in cells]
            if any(map(is_picture, cells)):
                pictures.check(overwrite)
            cells = [
                pictures.path_of(cell, row, name, place) if is_picture(cell) else cell for row, cell in enumerate(cells)
            ]
            own_name = name if len(by_column) == 1 else f"{name}.{column}"
            kind = next((type_of(cell) for cell in cells if cell is not None), pa.string())
            columns[column if readers[column] == 1 else own_name] = fitted(cells, kind)
    return columns


def write_direction(
    run: Run,
    given: Sequence[str],
    out: Path,
    split: str,
    n: int,
    draws: int = 0,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Draw predictions from the given modalities of n rows of a split, as `figures.direction` does, to a .png file.

    Raises:
        UserError: the file is not a .png, exists or cannot be written; there is no such split, or no row of it has the
            given; the model cannot infer z from the given, or decodes given more than these.
    """
    if out.suffix != ".png":
        raise UserError(
            f"{out}: predictions for rows of the data are a picture; give a file that ends in .png, or "
            "--given NAME=VALUE"
        )
    check_free(out, overwrite)
    if n > _MOST_COLUMNS:
        raise UserError(f"-n {n}: the figure has a column for each row, at most {_MOST_COLUMNS}; take fewer")
    names = ", ".join(given)
    if fault := unconditioned(given, run.model):
        raise UserError(f"--given {names}: {fault}; give each of these too, with --given")
    rows = rows_with(run, split, given, n)
    if not len(rows):
        raise UserError(f"--given {names}: no row of the split {split!r} has it; choose another with --split")
    figure = direction(run, split, given, rows, draws, seed)
    make_folder(out.parent)
    save_figure(figure, out)


def check_samples_output(out: Path, overwrite: bool) -> None:
    """Raise if samples cannot be written to a file with this ending, or the file exists and must stay."""
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: samples are written to {', '.join(FORMATS)}; give a file that ends in one of these")
    check_free(out, overwrite)
