"""A record beside a picture and a text, from `mmt init` to filled cells, samples and z: as CSV, Parquet and frames."""

from __future__ import annotations

import csv
import json
import math
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from facts import assert_facts
from mmtoolkit import DataWarning, TrainedRun, load
from runs import mmt, sets

ROWS = 60
SCALARS = ("record", "height", "town", "smokes", "visits", "born")
FEW = sets("train.epochs=1", "train.sampling={rows: 64}", "train.batch_size=32", "evaluate=[{kind: imputation}]")


def columns(folder: Path) -> dict[str, list[Any]]:
    """A photo, a note and six scalar columns, one of which is called record; every fifth cell of each is a hole."""
    draw = random.Random(0)
    (folder / "p").mkdir()
    for row in range(ROWS):
        Image.new("L", (8, 8), 3 * row).save(folder / f"p/{row}.png")
    whole: dict[str, list[Any]] = {
        "photo": [f"p/{row}.png" for row in range(ROWS)],
        "record": [round(draw.gauss(50, 9), 2) for _ in range(ROWS)],
        "note": [f"one {draw.choice('abcdef')} {draw.choice('ghijkl')}" for _ in range(ROWS)],
        "height": [round(draw.gauss(170, 10), 1) for _ in range(ROWS)],
        "town": [draw.choice(["Bonn", "Kiel", "Ulm"]) for _ in range(ROWS)],
        "smokes": [draw.choice(["no", "yes"]) for _ in range(ROWS)],
        "visits": [int(draw.expovariate(0.2)) for _ in range(ROWS)],
        "born": [f"19{draw.randrange(40, 99)}-0{draw.randrange(1, 10)}-1{draw.randrange(10)}" for _ in range(ROWS)],
    }
    return {
        name: [None if (row + shift) % 5 == 0 else cell for row, cell in enumerate(cells)]
        for shift, (name, cells) in enumerate(whole.items())
    }


def trained(table: Path) -> TrainedRun:
    """`mmt init`, `check` and `run` of a table; it trains for an epoch."""
    schema, run = table.with_suffix(".yaml"), table.parent / "run"
    commands: list[list[str | Path]] = [["init", table], ["check", schema]]
    commands.append(["run", schema, "--out", run, "--no-figures", *FEW])
    for words in commands:
        done = mmt(*words)
        assert done.status == 0, done.err
    return load(run)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    cells = columns(folder)
    path = folder / "people.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([[*cells], *zip(*cells.values(), strict=True)])
    return path


@pytest.fixture(scope="module")
def run(table: Path, session_cache: Path) -> TrainedRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMT_CACHE", str(session_cache))
        return trained(table)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def test_the_scalar_columns_are_one_record_with_a_name_of_its_own(run: TrainedRun) -> None:
    kinds = {name: unit.kind for name, unit in run.schema.units.items()}
    assert kinds == {"photo": "image", "record_": "record", "note": "text"}
    assert tuple(run.schema.units["record_"].members("record_")) == SCALARS
    assert [run.modalities[name].kind for name in SCALARS] == [
        "numeric", "numeric", "label", "binary", "count", "date"
    ]  # fmt: skip
    assert run.schema.train.hide is not None
    scores = json.loads((run.folder / "results.json").read_text())["scores"][0]["results"]
    assert {score["target"][0] for score in scores} == {*SCALARS, "photo", "note"}


def test_the_check_counts_the_networks_of_the_record_once(table: Path, run: TrainedRun) -> None:
    report = json.loads(mmt("check", run.folder / "schema.yaml", "--json").out)
    assert list(report["modalities"]) == ["photo", *SCALARS, "note"]
    units = report["units"]
    assert units["record_"]["modalities"] == [*SCALARS]
    sizes = [unit["encoder"] + unit["decoder"] for unit in units.values()]
    assert all(sizes)
    assert sum(sizes) == report["parameters"]["total"]
    shown = mmt("check", run.folder / "schema.yaml").out
    assert_facts(shown, "record_", "6 columns", "  height ", "  born ", "note")


def test_a_csv_is_filled_and_its_known_cells_stay(table: Path, run: TrainedRun) -> None:
    out = table.with_name("filled.csv")
    assert mmt("impute", run.folder, table, "--out", out).status == 0
    old, new = rows_of(table), rows_of(out)
    assert len(old) == len(new) == ROWS
    for before, after in zip(old, new, strict=True):
        assert all(after[name] == cell for name, cell in before.items() if cell)
        assert all(after[name] for name in SCALARS)
    filled = [after for before, after in zip(old, new, strict=True) if not before["born"]]
    assert all(pandas.to_datetime(row["born"], format="%Y-%m-%d") is not pandas.NaT for row in filled)


def test_columns_of_the_record_are_given_as_any_modality_is(run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "made.csv"
    given = ("--given", "town=Kiel", "--given", "height=180.5", "--given", "note=one a g")
    assert mmt("sample", run.folder, *given, "-n", "4", "--out", out).status == 0
    made = rows_of(out)
    assert [(row["town"], row["height"], row["note"]) for row in made] == [("Kiel", "180.5", "one a g")] * 4
    assert all(float(row["record"]) and row["smokes"] in ("no", "yes") and int(row["visits"]) >= 0 for row in made)
    assert not run.infer([{"town": "Kiel"}]).mean.equal(run.infer([{"town": "Ulm"}]).mean)
    refused = mmt("sample", run.folder, "--given", "record_=1", "-n", "4", "--out", tmp_path / "no.csv")
    assert refused.status == 2
    assert_facts(refused.err, "--given record_=1", "no modality 'record_'", "record, height")


def test_z_is_the_same_for_files_and_frames(table: Path, run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "z.csv"
    assert mmt("embed", run.folder, table, "--out", out).status == 0
    z = np.array([[float(cell) for cell in row.values()] for row in rows_of(out)])
    assert z.shape == (ROWS, 2 * run.model.latent_dim)
    frame = pandas.read_csv(table).drop(columns="photo")
    with pytest.warns(DataWarning) as caught:
        embedded = run.embed(frame).to_numpy()
    (warning,) = caught
    assert_facts(str(warning.message), "has no column photo")
    assert embedded.shape == z.shape
    without = np.array([not row["photo"] for row in rows_of(table)])
    assert without.sum() == ROWS / 5
    np.testing.assert_allclose(embedded[without], z[without], atol=1e-5)
    assert not np.allclose(embedded[~without], z[~without], atol=1e-5)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_is_filled(table: Path, run: TrainedRun, library: str) -> None:
    numbers: dict[str, list[Any]] = {
        "height": [170.5, None, 181.0], "town": [None, "Ulm", "Bonn"], "record": [50.25, 40.5, None]
    }  # fmt: skip
    frame: Any = pandas.DataFrame(numbers) if library == "pandas" else polars.DataFrame(numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # it lacks columns
        filled = run.impute(frame)
    assert type(filled) is type(frame)
    for name, cells in numbers.items():
        for before, after in zip(cells, [*filled[name]], strict=True):
            assert after == before if before is not None else isinstance(after, str) or math.isfinite(after)
    assert {*filled["town"]} <= {"Bonn", "Kiel", "Ulm"}


@pytest.mark.slow
def test_parquet(tmp_path: Path) -> None:
    cells = columns(tmp_path)
    path, out = tmp_path / "people.parquet", tmp_path / "filled.parquet"
    old = pa.table({**cells, "born": pa.array(pandas.to_datetime(pandas.Series(cells["born"])).dt.date)})
    pa.parquet.write_table(old, path)
    run = trained(path)
    assert tuple(run.schema.units["record_"].members("record_")) == SCALARS
    assert mmt("impute", run.folder, path, "--out", out).status == 0
    new = pa.parquet.read_table(out)
    assert new.schema.types == old.schema.types
    for name in old.column_names:
        for before, after in zip(old[name].to_pylist(), new[name].to_pylist(), strict=True):
            assert before in (None, after)
            assert after is not None
    assert mmt("embed", run.folder, path, "--out", tmp_path / "z.parquet").status == 0
    assert pa.parquet.read_table(tmp_path / "z.parquet").num_rows == ROWS
    made = tmp_path / "made.parquet"
    assert mmt("sample", run.folder, "--given", "born=1970-01-31", "-n", "2", "--out", made).status == 0
    assert [str(cell)[:10] for cell in pa.parquet.read_table(made)["born"].to_pylist()] == ["1970-01-31"] * 2


def test_a_table_of_one_scalar_column_has_no_record(tmp_path: Path) -> None:
    path, out = tmp_path / "t.csv", tmp_path / "filled.csv"
    draw = random.Random(0)
    lines = [f"{n}," if n % 4 == 0 else f"{n},{draw.gauss(9, 2):.2f}" for n in range(40)]
    path.write_text("\n".join(["id,size", *lines]) + "\n")
    run = trained(path)
    assert {name: unit.kind for name, unit in run.schema.units.items()} == {"size": "numeric"}
    assert mmt("impute", run.folder, path, "--out", out).status == 0
    assert all(float(row["size"]) for row in rows_of(out))
