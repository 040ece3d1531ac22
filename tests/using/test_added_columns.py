"""A column that a table lacks is added with the type that it had in the run's data."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import mmtoolkit
from mmtoolkit import TrainedRun
from runs import mmt
from table_runs import read_csv

pytestmark = pytest.mark.filterwarnings("ignore::mmtoolkit.DataWarning")

KINDS = {"grade": "label", "count": "numeric", "ripe": "binary", "day": "label", "price": "numeric", "code": "label"}
ROWS = 40
COLUMNS: dict[str, list[Any]] = {
    "size": [float(n) for n in range(ROWS)],
    "grade": [n % 3 + 1 for n in range(ROWS)],
    "count": [10 * n for n in range(ROWS)],
    "ripe": [n % 2 == 0 for n in range(ROWS)],
    "day": [datetime.date(2024, 5, 1 + n % 2) for n in range(ROWS)],
    "price": [n / 4 for n in range(ROWS)],
    "code": [f"0{n % 2 + 1}" for n in range(ROWS)],
}
TYPED = {
    "size": pa.float64(),
    "grade": pa.int16(),
    "count": pa.int64(),
    "ripe": pa.bool_(),
    "day": pa.date32(),
    "price": pa.float32(),
    "code": pa.string(),
}
NATURAL = {"size": pa.float64(), "grade": pa.int64(), "count": pa.int64(), "ripe": pa.bool_(), "price": pa.float64()}


@pytest.fixture(scope="module", params=["parquet", "csv", "jsonl"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / f"t.{request.param}"
    if request.param == "parquet":
        pa.parquet.write_table(pa.table(COLUMNS, pa.schema(list(TYPED.items()))), path)
    elif request.param == "csv":
        words = {**COLUMNS, "ripe": ["yes" if ripe else "no" for ripe in COLUMNS["ripe"]]}
        pandas.DataFrame(words).to_csv(path, index=False)
    else:
        rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in zip(*COLUMNS.values(), strict=True)]
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    modalities = ", ".join(f"{name}: {{kind: {kind}}}" for name, kind in KINDS.items())
    (folder / "t.yaml").write_text(
        f"name: t\ndata: {{kind: table, path: {path.name}}}\nmodalities: {{size: {{kind: numeric}}, {modalities}}}\n"
        "model: {kind: mvae, latent_dim: 2}\ntrain: {epochs: 1}\nevaluate: []\n"
    )
    schema = mmtoolkit.read_schema(folder / "t.yaml")
    return mmtoolkit.load(mmtoolkit.run(schema, folder / "run", figures=False).folder)


def expected(run: TrainedRun) -> dict[str, pa.DataType]:
    if run.folder.parent.name.startswith("parquet"):
        return TYPED
    words = {"day": pa.string(), "code": pa.string()}
    return NATURAL | words | ({"ripe": pa.string()} if has_words(run) else {})


def has_words(run: TrainedRun) -> bool:
    """Whether the table has yes and no, rather than true and false."""
    return run.folder.parent.name.startswith("csv")


def kind_of(column: Any) -> pa.DataType:
    kind = column.type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl"])
def test_files(run: TrainedRun, tmp_path: Path, ending: str) -> None:
    table, out = tmp_path / f"new.{ending}", tmp_path / f"out.{ending}"
    if ending == "jsonl":
        table.write_text('{"size":1.5}\n{"size":2.5}\n')
    else:
        write = pa.parquet.write_table if ending == "parquet" else pa.feather.write_feather
        write(pa.table({"size": [1.5, 2.5]}), table)
    done = mmt("impute", run.folder, table, "--out", out)
    assert done.status == 0, done.err
    if ending == "jsonl":
        row = json.loads(out.read_text().splitlines()[0])
        kinds = {"grade": int, "count": int, "ripe": bool, "day": str, "price": float, "code": str}
        kinds["ripe"] = str if has_words(run) else bool
        assert {name: type(row[name]) for name in kinds} == kinds
        return
    read = pa.parquet.read_table(out) if ending == "parquet" else pa.feather.read_table(out)
    assert {name: kind_of(read[name]) for name in KINDS} == {name: expected(run)[name] for name in KINDS}
    assert read["code"].to_pylist()[0] in ("01", "02")
    assert not any(read[name].null_count for name in read.column_names)


@pytest.mark.slow
def test_text_is_spelled_as_it_was_learned(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("size\n1.5\n")
    assert mmt("impute", run.folder, tmp_path / "new.csv", "--out", tmp_path / "out.csv").status == 0
    (row,) = read_csv(tmp_path / "out.csv")
    assert row["grade"] in ("1", "2", "3")
    assert row["count"].lstrip("-").isdigit()
    assert row["code"] in ("01", "02")
    assert row["day"].startswith("2024-05-0")
    words = {"no", "yes"} if has_words(run) else {"False", "True"}
    assert row["ripe"] in words


@pytest.mark.slow
def test_frames(run: TrainedRun) -> None:
    types = expected(run)
    arrow = run.impute(pa.table({"size": [1.5, 2.5]}))
    assert {name: kind_of(arrow[name]) for name in KINDS} == {name: types[name] for name in KINDS}
    frame = run.impute(pandas.DataFrame({"size": [1.5, 2.5]}, index=[5, 5]))
    assert frame.index.tolist() == [5, 5]
    assert frame["grade"].dtype == types["grade"].to_pandas_dtype()
    assert frame["count"].dtype == np.int64
    assert set(frame["ripe"]) <= ({"no", "yes"} if has_words(run) else {False, True})
    of_polars = run.impute(polars.DataFrame({"size": [1.5, 2.5]}))
    assert of_polars.schema["grade"] == (polars.Int16 if types is TYPED else polars.Int64)
    assert of_polars.schema["ripe"] == (polars.String if has_words(run) else polars.Boolean)
    assert of_polars.schema["day"] == (polars.Date if types is TYPED else polars.String)
    row = {name: cells[0] for name, cells in run.impute({"size": [1.5, 2.5]}).items()}
    kinds = {"grade": int, "count": int, "ripe": str if has_words(run) else bool, "price": float, "code": str}
    assert {name: type(row[name]) for name in kinds} == kinds
    assert isinstance(row["day"], datetime.date if types is TYPED else str)


@pytest.mark.slow
def test_a_run_of_0_1_knows_no_types(run: TrainedRun) -> None:
    data = json.loads((run.folder / "data.json").read_text())
    assert data["types"] == {name: str(kind) for name, kind in run_types(run).items()}
    old = {key: value for key, value in data.items() if key not in ("types", "signs")}
    (run.folder / "data.json").write_text(json.dumps(old))
    try:
        again = mmtoolkit.load(run.folder)
        assert again.types == {}
        assert again.impute(pa.table({"size": [1.5]}))["grade"].type == pa.string()
    finally:
        (run.folder / "data.json").write_text(json.dumps(data))


def run_types(run: TrainedRun) -> dict[str, pa.DataType]:
    """The types that a run stores: CSV has none for words."""
    if run.folder.parent.name.startswith("csv"):
        return {name: kind for name, kind in NATURAL.items() if name != "ripe"}
    return expected(run)


TYPES = [pa.int8(), pa.date32(), pa.time64("us"), pa.timestamp("us"), pa.timestamp("ns", "Europe/Berlin")]
TYPES += [pa.duration("s"), pa.decimal128(5, 2), pa.bool_(), pa.large_string(), pa.float16(), pa.binary()]


@pytest.mark.parametrize("kind", TYPES)
def test_types_have_names(kind: pa.DataType) -> None:
    from mmtoolkit.tables.types import type_named

    assert type_named(str(kind)) == kind
    assert type_named("list<item: int64>") is None
