"""A small run over a table with every kind of column, and tables with holes for it to be used on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import mmtoolkit
from mmtoolkit import TrainedRun

SCHEMA = """\
name: things
data: {kind: table, path: things.csv, split: {train: 0.8, valid: 0.1, test: 0.1}, on_bad_cell: missing}
modalities:
  photo: {kind: image, shape: [1, 8, 8], network: mlp}
  title: {kind: text, length: 8}
  sort: {kind: label, column: "the sort"}
  price: {kind: numeric}
  size: {kind: numeric, columns: [width, height]}
  ripe: {kind: binary}
  traits: {kind: attributes, columns: [sweet, sour]}
model: {kind: mvae, latent_dim: 3, subsets: {k: 1}}
train: {epochs: 1, batch_size: 50, learning_rate: 3e-3}
evaluate: []
"""
COLUMNS = ("id", "photo", "title", "the sort", "price", "width", "height", "ripe", "sweet", "sour", "note")
SORTS = ("apple", "pear", "plum")


def truth(rows: int, folder: Path, seed: int = 0) -> list[dict[str, str]]:
    """Rows without holes, as CSV writes them; their pictures are written to the folder `pictures`."""
    draw = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    found = []
    for row in range(rows):
        sort = int(draw.integers(3))
        pixels = draw.integers(0, 60, (8, 8), dtype=np.uint8) + 80 * sort
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pictures" / f"{row}.png")
        values = [
            f"{row:03}",
            f"pictures/{row}.png",
            f"a{SORTS[sort][:4]}",
            SORTS[sort],
            f"{2 + sort + draw.normal():.2f}",
        ]
        values += [
            f"{1 + sort}",
            f"{draw.normal(sort, 0.1):.3f}",
            "yes" if sort else "no",
            str(sort % 2),
            str(sort // 2),
        ]
        found.append(dict(zip(COLUMNS, [*values, f'say "{row}", so'], strict=True)))
    return found


def with_holes(
    rows: Iterable[Mapping[str, str]], share: float, seed: int = 1, markers: Sequence[str] = ("", "NA")
) -> list[dict[str, str]]:
    """The same with cells left out at random, but for the id."""
    draw = np.random.default_rng(seed)
    return [
        {
            name: str(draw.choice(markers)) if name != "id" and draw.random() < share else cell
            for name, cell in row.items()
        }
        for row in rows
    ]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        out = csv.DictWriter(file, list(rows[0]), **{"lineterminator": "\n", **options})
        out.writeheader()
        out.writerows(rows)
    return path


def read_csv(path: Path, **options: Any) -> list[dict[str, str]]:
    with path.open(newline="", encoding=options.pop("encoding", "utf-8")) as file:
        return list(csv.DictReader(file, **options))


def trained(folder: Path, model: str | None = None) -> Path:
    """The folder of a run; things.csv, which it was trained on, stands beside it."""
    write_csv(folder / "things.csv", with_holes(truth(150, folder), 0.1))
    (folder / "things.yaml").write_text(SCHEMA)
    schema = mmtoolkit.read_schema(folder / "things.yaml", [f"model={model}"] if model else [])
    return mmtoolkit.run(schema, folder / "run", figures=False).folder


def cells_of(run: TrainedRun, row: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """A row of CSV as cells of the run's modalities."""
    known = {name: cell for name, cell in row.items() if cell not in ("", "NA")}
    cells: dict[str, Any] = {
        name: {column: known[column] for column in modality.source_columns(name) if column in known}
        if len(modality.source_columns(name)) > 1
        else known.get(modality.source_columns(name)[0])
        for name, modality in run.modalities.items()
    }
    if cells["photo"]:
        cells["photo"] = folder / cells["photo"]
    return {name: cell for name, cell in cells.items() if cell}
