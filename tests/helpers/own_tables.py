"""Tables as users bring them: pictures, short texts, categories, numbers and flags of one hidden kind, with holes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

KINDS = ("anchor", "beetle", "comet", "daisy", "ember", "fjord")
COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 210), "yellow": (220, 200, 50)}
_SHAPES = ("circle", "square", "triangle", "cross", "ring", "bar")
_SIZES = ("tiny", "small", "large", "huge")
_MARKERS = ("", "", "", "NA")


@dataclass(frozen=True)
class Own:
    """A table in a file, with what it would hold without holes.

    Attributes:
        path: of the table.
        columns: column -> its cells as written, None where there is a hole.
        truth: column -> its cells without holes.
    """

    path: Path
    columns: Mapping[str, Sequence[str | None]]
    truth: Mapping[str, Sequence[str]]

    def mode(self, column: str) -> str:
        """The most frequent of the cells that are there."""
        known = [cell for cell in self.columns[column] if cell is not None]
        return max(sorted(set(known)), key=known.count)


def holed(
    path: Path,
    truth: Mapping[str, Sequence[str]],
    missing: float,
    seed: int = 0,
    whole: Sequence[str] = (),
    markers: Sequence[str] = _MARKERS,
) -> Own:
    """Write a table, each cell left out with probability `missing`, completely at random.

    Args:
        path: of the CSV file.
        truth: column -> its cells.
        missing: the share of cells to leave out.
        seed: of the draw.
        whole: columns that keep all of their cells.
        markers: what stands for a cell that was left out, drawn anew each time.
    """
    draw = np.random.default_rng(seed)
    columns: dict[str, list[str | None]] = {}
    written: dict[str, list[str]] = {}
    for name, cells in truth.items():
        gone = draw.random(len(cells)) < (0 if name in whole else missing)
        marks = draw.choice(markers, len(cells))
        columns[name] = [None if lost else cell for lost, cell in zip(gone, cells, strict=True)]
        written[name] = [str(mark) if lost else cell for lost, cell, mark in zip(gone, cells, marks, strict=True)]
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(written)
        out.writerows(zip(*written.values(), strict=True))
    return Own(path, columns, truth)


def shop(
    folder: Path, rows: int = 600, missing: float = 0.3, seed: int = 0, pictures: bool = True, side: int = 40
) -> Own:
    """Things of six kinds in four colours: a picture, a caption, categories, numbers, flags, and what is no use."""
    draw = np.random.default_rng(seed)
    shares = np.array([0.3, 0.22, 0.18, 0.12, 0.1, 0.08])
    kind = draw.choice(len(KINDS), rows, p=shares)
    # Half of the things have the colour that is usual for their kind.
    usual = kind % len(COLOURS)
    colour = np.where(draw.random(rows) < 0.5, usual, draw.integers(len(COLOURS), size=rows))
    size = draw.integers(len(_SIZES), size=rows)
    weight = 2.0 + 1.5 * kind + 0.6 * size + draw.normal(0, 0.8, rows)
    price = np.exp(1.0 + 0.4 * (kind % 3) + 0.3 * size + draw.normal(0, 0.9, rows))
    fragile = draw.random(rows) < np.array([0.9, 0.2, 0.8, 0.3, 0.1, 0.6])[kind]
    truth: dict[str, list[str]] = {"id": [f"T{place:05d}" for place in draw.permutation(rows)]}
    names = list(COLOURS)
    if pictures:
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        truth["photo"] = []
        for row in range(rows):
            name = f"pictures/{row:05d}.png"
            _picture(kind[row], COLOURS[names[colour[row]]], size[row], side, draw).save(folder / name)
            truth["photo"].append(name)
    shapes = [_SHAPES[k] if draw.random() < 0.85 else "thing" for k in kind]
    begin = draw.choice(["a", "one", "this is a", "a rather"], rows)
    truth["caption"] = [f"{begin[row]} {_SIZES[size[row]]} {names[colour[row]]} {shapes[row]}" for row in range(rows)]
    truth["kind"] = [KINDS[k] for k in kind]
    truth["colour"] = [names[c] for c in colour]
    truth["weight"] = [f"{value:.2f}" for value in weight]
    truth["price"] = [f"{value:.2f}" for value in price]
    truth["stars"] = [str(value) for value in np.clip(draw.poisson(1 + kind % 4), 0, 30)]
    truth["fragile"] = ["yes" if value else "no" for value in fragile]
    truth["added"] = [f"20{draw.integers(10, 25)}-{draw.integers(1, 13):02d}-{draw.integers(1, 29):02d}" for _ in kind]
    truth["currency"] = ["EUR"] * rows
    return holed(folder / "shop.csv", truth, missing, seed + 1, whole=["id"])


def _picture(kind: int, colour: tuple[int, int, int], size: int, side: int, draw: Any) -> Image.Image:
    ground = tuple(int(value) for value in draw.integers(200, 256, 3))
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    shaded = tuple(int(np.clip(value + draw.normal(0, 15), 0, 255)) for value in colour)
    reach = side * (0.16 + 0.07 * size)
    x, y = (side / 2 + draw.normal(0, side * 0.05) for _ in range(2))
    box = (x - reach, y - reach, x + reach, y + reach)
    width = max(2, int(reach / 2.5))
    if kind == 0:
        pen.ellipse(box, fill=shaded)
    elif kind == 1:
        pen.rectangle(box, fill=shaded)
    elif kind == 2:
        corners = [(x + reach * math.sin(a), y - reach * math.cos(a)) for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
        pen.polygon(corners, fill=shaded)
    elif kind == 3:
        pen.line((x - reach, y, x + reach, y), fill=shaded, width=width)
        pen.line((x, y - reach, x, y + reach), fill=shaded, width=width)
    elif kind == 4:
        pen.ellipse(box, outline=shaded, width=width)
    else:
        pen.rectangle((x - reach, y - reach / 3, x + reach, y + reach / 3), fill=shaded)
    return picture


def sklearn_table(folder: Path, name: str, missing: float = 0.3, seed: int = 0) -> Own:
    """One of scikit-learn's small tables as CSV with holes: iris, wine, breast_cancer or digits."""
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    truth = {
        str(column): [f"{value:g}" for value in data.data[:, place]] for place, column in enumerate(data.feature_names)
    }
    truth["target"] = [str(data.target_names[place]) for place in data.target]
    return holed(folder / f"{name}.csv", truth, missing, seed)
