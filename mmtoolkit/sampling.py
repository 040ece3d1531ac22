"""What a run generates as files: a picture, or a table with images beside."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from mmtoolkit.components import Modality
from mmtoolkit.errors import UserError
from mmtoolkit.evaluators.entries import unconditioned
from mmtoolkit.figures import direction, rows_with, safe_name, samples, save_figure
from mmtoolkit.files import make_folder, replacing

if TYPE_CHECKING:
    from mmtoolkit.run import TrainedRun

FORMATS = (".png", ".csv", ".parquet")
_MOST_COLUMNS = 100


def write_samples(modalities: Mapping[str, Modality], values: Mapping[str, Tensor], out: Path) -> None:
    """Write samples, as `TrainedRun.sample` gives them, to a .png, .csv or .parquet file.

    In a table each row is a sample and each column a modality, holding what a cell of such a table holds; cells that
    are pictures are written to the folder NAME_images beside it, and their paths stand in the table.

    Raises:
        UserError: the file's ending is none of these, or it cannot be written.
    """
    check_format(out)
    make_folder(out.parent)
    if out.suffix == ".png":
        save_figure(samples(modalities, values), out)
        return
    n = len(next(iter(values.values())))
    rows = []
    for row in range(n):
        cells = {}
        for place, (name, modality) in enumerate(modalities.items()):
            if name not in values:
                continue
            cell = modality.cell(values[name][row])
            if isinstance(cell, Image.Image):
                file = make_folder(out.with_name(f"{out.stem}_images")) / f"{row:05}_{safe_name(name, place)}.png"
                with replacing(file) as new:
                    cell.save(new, format="png")
                cell = f"{file.parent.name}/{file.name}"
            cells[name] = _plain(cell)
        rows.append(cells)
    if out.suffix == ".csv":
        with replacing(out) as new, new.open("w", newline="", encoding="utf-8") as text:
            writer = csv.DictWriter(text, list(values))
            writer.writeheader()
            writer.writerows(rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(out) as new:
        pq.write_table(pa.Table.from_pylist(rows), new)


def write_direction(
    run: TrainedRun, given: Sequence[str], out: Path, split: str, n: int, draws: int = 0, seed: int = 0
) -> None:
    """Draw what modalities of n rows of a split tell of all, as `figures.direction` does, to a .png file.

    Raises:
        UserError: the file is no .png or cannot be written, there is no such split or no row of it has the given, or
            the model cannot infer z from the given or decode with them alone.
    """
    if out.suffix != ".png":
        raise UserError(
            f"{out}: what rows of the data tell is drawn; give a file that ends in .png, or --given NAME=VALUE"
        )
    if n > _MOST_COLUMNS:
        raise UserError(f"-n {n}: a figure has a column for each row, and {_MOST_COLUMNS} at most; take fewer")
    names = ", ".join(given)
    if fault := unconditioned(given, run.model):
        raise UserError(f"--given {names}: {fault}; name what it decodes given too, each with --given")
    rows = rows_with(run, split, given, n)
    if not len(rows):
        raise UserError(f"--given {names}: no row of the split {split!r} has it; choose another with --split")
    figure = direction(run, split, given, rows, draws, seed)
    make_folder(out.parent)
    save_figure(figure, out)


def check_format(out: Path) -> None:
    """Raise where a file's ending is not one that samples can be written to."""
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: samples are written to {', '.join(FORMATS)}; give a file that ends in one of these")


def _plain(cell: Any) -> Any:
    return cell if isinstance(cell, (str, int, float, bool)) else json.dumps(cell, ensure_ascii=False)
