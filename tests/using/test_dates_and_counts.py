"""From a table with dates, times, counts and ordinals to filled cells: as CSV, as Parquet and as a frame."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet
import pytest

from mmtoolkit import load
from runs import mmt, sets

ROWS = 90
FEW = sets("train.epochs=1", "train.sampling=null")
KINDS = {"day": "date", "seen": "date", "opens": "time", "visits": "count", "quality": "ordinal"}


def columns() -> dict[str, list[Any]]:
    """The columns, every fifth cell of each a hole."""
    start = datetime(2022, 1, 3, 6, 30)
    visits = [0, 0, 1, 0, 2, 7, 0, 1, 3, 12, 0, 4, 1, 25, 5, 0, 6, 9, 15, 33, 0, 2, 8]
    whole: dict[str, list[Any]] = {
        "day": [(start + timedelta(days=11 * n)).date() for n in range(ROWS)],
        "seen": [start + timedelta(hours=29 * n) for n in range(ROWS)],
        "opens": [time((5 * n) % 24, 15 * (n % 4)) for n in range(ROWS)],
        "visits": [visits[n % 23] for n in range(ROWS)],
        "quality": [("low", "medium", "high")[n % 3] for n in range(ROWS)],
    }
    return {
        name: [None if (row + shift) % 5 == 0 else cell for row, cell in enumerate(cells)]
        for shift, (name, cells) in enumerate(whole.items())
    }


WRITTEN: dict[str, Callable[[Any], str]] = {
    "day": lambda cell: cell.strftime("%d.%m.%Y"),
    "seen": lambda cell: f"{cell.month}/{cell.day}/{cell.year} {cell.strftime('%I:%M %p')}",
    "opens": lambda cell: cell.strftime("%H:%M"),
    "visits": str,
    "quality": str,
}
READ: dict[str, Callable[[str], Any]] = {
    "day": lambda text: datetime.strptime(text, "%d.%m.%Y").date(),
    "seen": lambda text: datetime.strptime(text, "%m/%d/%Y %I:%M %p"),
    "opens": lambda text: datetime.strptime(text, "%H:%M").time(),
    "visits": int,
    "quality": ("low", "medium", "high").index,
}


def trained(table: Path) -> Path:
    """`mmt init`, `check` and `run`, with nothing edited."""
    schema, run = table.with_suffix(".yaml"), table.parent / "run"
    commands: list[list[str | Path]] = [["init", table, "--out", schema], ["check", schema]]
    commands.append(["run", schema, "--out", run, *FEW])
    for words in commands:
        done = mmt(*words)
        assert done.status == 0, done.err
    assert {name: modality.kind for name, modality in load(run).modalities.items()} == KINDS
    return run


@pytest.mark.slow
def test_csv(tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    cells = {name: ["" if c is None else WRITTEN[name](c) for c in column] for name, column in columns().items()}
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([[*cells], *zip(*cells.values(), strict=True)])
    run = trained(table)
    done = mmt("impute", run, table, "--out", out)
    assert done.status == 0, done.err
    with out.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    for name, column in cells.items():
        for old, row in zip(column, rows, strict=True):
            if old:
                assert row[name] == old
            else:
                read = READ[name](row[name])
                assert name == "quality" or WRITTEN[name](read) == row[name]


@pytest.mark.slow
def test_parquet_and_frames(tmp_path: Path) -> None:
    table, out = tmp_path / "t.parquet", tmp_path / "out.parquet"
    old = pa.table(columns())
    pa.parquet.write_table(old, table)
    run = trained(table)
    done = mmt("impute", run, table, "--out", out)
    assert done.status == 0, done.err
    new = pa.parquet.read_table(out)
    assert new.schema.types == old.schema.types
    check(old.to_pydict(), new.to_pydict())

    frame = pandas.DataFrame({name: pandas.Series(cells, dtype=object) for name, cells in columns().items()})
    frame["seen"] = pandas.to_datetime(frame["seen"])
    frame["visits"] = frame["visits"].astype("Int64")
    filled = load(run).impute(frame)
    assert filled.dtypes.to_dict() == frame.dtypes.to_dict()
    before = {name: [None if pandas.isna(cell) else cell for cell in frame[name]] for name in frame}
    check(before, {name: [*filled[name]] for name in filled})


def check(old: dict[str, list[Any]], new: dict[str, list[Any]]) -> None:
    types: dict[str, Any] = {"day": date, "seen": datetime, "opens": time, "visits": (int, np.integer), "quality": str}
    for name, column in old.items():
        for before, after in zip(column, new[name], strict=True):
            assert before is None or before == after
            assert isinstance(after, types[name])
            if name == "seen":
                assert (after.second, after.microsecond) == (0, 0)
            if name == "visits":
                assert after >= 0
