"""What a golden run is asked, and how its answers are compared."""

from __future__ import annotations

import json
import lzma
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import mmtoolkit

HERE = Path(__file__).parent
WEIGHTS = "weights.safetensors"
TOLERANCE = 1e-5
"""Relative, and absolute below one: about 100 roundings of float32."""
_NUMBERS = 12  # that are kept of one value; of a picture they are spread over it

Row = Mapping[str, Any]


def golden_folders() -> list[Path]:
    """The golden runs, a folder each."""
    return sorted(path.parent for path in HERE.glob("*/expected.json"))


def unpack(folder: Path, into: Path) -> Path:
    """A copy of a golden run as its release wrote it: its weights are unpacked, and its answers are left out."""
    ignored = shutil.ignore_patterns("expected.json", f"{WEIGHTS}.xz")
    run = Path(shutil.copytree(folder, into / folder.name, ignore=ignored))
    (run / WEIGHTS).write_bytes(lzma.decompress((folder / f"{WEIGHTS}.xz").read_bytes()))
    return run


def outputs(run: mmtoolkit.TrainedRun, questions: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of a run, as JSON holds them.

    Args:
        run: loaded.
        questions: `table`, rows of column -> cell, of which the first len(z) have every column that a modality of one
            column reads; `givens`, the sets of modalities to infer z from; `z`; `draws`, if there, how many to draw
            with nothing given.
    """
    table = [{column: _located(cell) for column, cell in row.items()} for row in questions["table"]]
    rows = [_by_modality(run, row) for row in table]
    z = torch.tensor(questions["z"])
    whole = rows[: len(z)]
    values = run.batch(whole)
    posteriors = [run.infer(rows, given) for given in [None, *questions["givens"]]]
    decoded = run.decode(z, rows=whole)
    given = {name: rows[0][name] for name in questions["givens"][-1]}
    drawn = run.sample(questions["draws"], seed=1) if "draws" in questions else {}
    return {
        **({"draws": {name: _numbers(value) for name, value in drawn.items()}} if drawn else {}),
        "infer": [{"mean": _numbers(q.mean), "variance": _numbers(q.variance)} for q in posteriors],
        "log_prob": {name: _numbers(p.log_prob(values.value(name))) for name, p in decoded.items()},
        "point": {name: _numbers(run.modalities[name].point(p)) for name, p in decoded.items()},
        "sample": {name: _numbers(value) for name, value in run.sample(2, given, seed=1).items()},
        "impute": _imputed(run, table),
    }


def differences(expected: Any, actual: Any, place: str = "") -> Iterator[str]:
    """A line for each place where two answers differ by more than another machine explains."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping) and list(expected) == list(actual):
        for key, value in expected.items():
            yield from differences(value, actual[key], f"{place}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for i, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{place}[{i}]")
    elif isinstance(expected, float) and isinstance(actual, float):
        if not math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{place}: expected {expected!r}, got {actual!r}"
    elif str(expected) != str(actual):  # 0.1.0 filled in the text 0 where the column holds the number
        yield f"{place}: expected {expected!r}, got {actual!r}"


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def _located(cell: Any) -> Any:
    """A cell; of a picture its path here."""
    return str(HERE / cell) if isinstance(cell, str) and cell.startswith("pictures/") else cell


def _by_modality(run: mmtoolkit.TrainedRun, row: Row) -> dict[str, Any]:
    """A row of column -> cell as modality -> cell, without what is missing."""
    cells: dict[str, Any] = {}
    for name, modality in run.modalities.items():
        known = {column: row[column] for column in modality.source_columns(name) if row.get(column) is not None}
        if getattr(modality, "columns", None) is not None:
            cells[name] = known
        elif known:
            (cells[name],) = known.values()
    return cells


def _imputed(run: mmtoolkit.TrainedRun, table: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of a table with their missing cells filled, but for those of pictures."""
    columns = dict.fromkeys(c for name, modality in run.modalities.items() for c in modality.source_columns(name))
    filled = run.impute({column: [row.get(column) for row in table] for column in columns})
    pictures = {c for name, m in run.modalities.items() if m.picture for c in m.source_columns(name)}
    return {column: [_plain(cell) for cell in cells] for column, cells in filled.items() if column not in pictures}


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


def _numbers(x: Tensor) -> list[Any]:
    """A tensor as lists, a row each; of a row of many numbers some, spread evenly, and the mean of all."""
    x = x.detach().cpu()
    if x.dim() < 2:
        return [_short(number) for number in x.tolist()]
    x = x.flatten(1)
    if x.shape[1] <= _NUMBERS:
        return [[_short(number) for number in row] for row in x.tolist()]
    some = x[:, torch.linspace(0, x.shape[1] - 1, _NUMBERS).long()]
    rows = torch.cat([some.double(), x.double().mean(1, keepdim=True)], dim=1)
    return [[_short(number) for number in row] for row in rows.tolist()]


def _short(number: float) -> float:
    """A number with the digits that float32 has, so that files are small."""
    return float(f"{number:.8g}") if isinstance(number, float) else number
