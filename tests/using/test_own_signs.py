"""Signs of missing cells that one modality has alone: every reader of a run takes their cells as holes."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import Arrays, DataWarning, TrainedRun, UserError, parse_schema, prepare
from mmtoolkit.data.summary import summary
from mmtoolkit.evaluators import Elbo
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.user_table import UserFile
from runs import mmt
from table_runs import read_csv
from untrained import untrained

ALLERGY = ["severe", "none", "mild", "none"] * 5
DOSE = ["3.0", "none", "7.4", "3.5"] * 5
HEIGHT = ["-99", "1.5", "-99.0", "7.3"] * 5


@pytest.fixture
def run(tmp_path: Path) -> TrainedRun:
    modalities = {
        "allergy": Label(),
        "dose": Numeric(missing=("none",)),
        "height": Numeric.model_validate({"missing": [-99]}),
    }
    return untrained(modalities, tmp_path, train={"allergy": ALLERGY, "dose": DOSE, "height": HEIGHT})


def test_training_rows_lack_them(run: TrainedRun) -> None:
    assert run.modalities["height"].missing == ("-99",)
    assert run.dataset.splits["train"].present.tolist()[:4] == [
        [True, True, False],
        [True, False, True],
        [True, True, False],
        [True, True, True],
    ]
    height = run.modalities["height"]
    assert isinstance(height, Numeric)
    assert height.mean == pytest.approx((4.4,))


def test_other_signs_are_another_column_in_the_cache(tmp_path: Path) -> None:
    table = {"height": [1.0, -99.0, 9.0, 3.0]}
    for missing, present in ((None, 4), (["-99"], 3), (["9", -99], 2)):
        modality = Numeric.model_validate({"missing": missing})
        data = prepare(Arrays.of({"train": table}), {"height": modality})
        assert data.splits["train"].present.sum() == present


def test_each_of_several_modalities_and_columns(tmp_path: Path) -> None:
    table = {"a": [1, -99, 3, 4], "b": [-99, -99, 3, 4], "c": [1.0, 2.0, 3.0, -99.0]}
    schema = parse_schema(
        {
            "name": "x",
            "data": {"kind": "arrays"},
            "modalities": {
                "some": {"kind": "numeric", "each": ["c"], "missing": [-99]},
                "both": {"kind": "numeric", "columns": ["a", "b"], "missing": [-99]},
            },
            "model": {"kind": "mvae", "latent_dim": 2},
        }
    )
    train = prepare(Arrays.of({"train": table}), schema.modalities).splits["train"]
    assert train.present.tolist() == [[True, True], [True, False], [True, True], [False, True]]
    assert train.stored["both"][:, 1].tolist() == [[1, 0], [0, 0], [1, 1], [1, 1]]


KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "pandas": pandas.DataFrame,
    "polars": polars.DataFrame,
    "arrow": pa.table,
}


def _list(column: Any) -> list[Any]:
    cells: list[Any] = column.to_pylist() if isinstance(column, pa.ChunkedArray) else list(column)
    return [None if cell is None or cell != cell else cell for cell in cells]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heights", [[-99, 2, 3, None], [-99.0, 2.5, 3.0, None], ["-99", "2.5", "-99.0", None]])
def test_holes_of_every_type_are_filled(run: TrainedRun, kind: str, heights: list[Any]) -> None:
    table = KINDS[kind](
        {"allergy": ["none", "mild", None, "none"], "dose": ["none", "3", "4.5", None], "height": heights}
    )
    filled = run.impute(table)
    columns = {name: _list(filled[name]) for name in ("allergy", "dose", "height")}
    assert columns["allergy"][0] == columns["allergy"][3] == "none"
    assert columns["dose"][1:3] == ["3", "4.5"]
    assert None not in columns["dose"]
    assert "none" not in columns["dose"]
    holes = [place for place, cell in enumerate(heights) if cell in (-99, "-99", "-99.0", None)]
    for place, (old, new) in enumerate(zip(heights, columns["height"], strict=True)):
        assert new is not None
        assert (float(new) != -99) if place in holes else new == old


def test_all_readers_agree(run: TrainedRun, tmp_path: Path) -> None:
    rows = {"allergy": ALLERGY, "dose": DOSE, "height": HEIGHT}
    clean = {
        "allergy": ALLERGY,
        "dose": [None if cell == "none" else cell for cell in DOSE],
        "height": [None if cell.startswith("-99") else cell for cell in HEIGHT],
    }
    path = tmp_path / "t.csv"
    pandas.DataFrame(rows).to_csv(path, index=False)
    np.testing.assert_allclose(run.embed(rows)["mean_0"], run.embed(clean)["mean_0"])
    scores = [run.evaluate_on(data, [Elbo()])[0]["results"] for data in (rows, clean, path)]
    assert [[result["examples"] for result in each] for each in scores] == [[r["examples"] for r in scores[0]]] * 3
    batch = run.batch([{"allergy": "none", "dose": "none", "height": -99.0}, {"height": "2.5"}])
    assert batch.present.tolist() == [[True, False, False], [False, False, True]]


def test_a_spelling_stays_where_it_is_not_filled(tmp_path: Path) -> None:
    run = untrained({"a": Label(missing=("x",)), "b": Label()}, tmp_path, train={"a": ["p", "q"], "b": ["p", "q"]})
    # All that the model can predict for a is listed as missing.
    filled, counts = run.impute({"a": ["x", "p"], "b": ["p", "q"]}, missing=["p", "q"], summary=True)
    assert filled == {"a": ["x", "p"], "b": ["p", "q"]}
    assert counts.filled == {}
    assert_facts(next(iter(counts.unfilled["a"])), "predicts", "missing")


@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl", "csv"])
def test_files(run: TrainedRun, tmp_path: Path, ending: str) -> None:
    rows = [{"allergy": "none", "dose": "none", "height": -99}, {"allergy": "mild", "dose": 3.5, "height": 2}]
    rows += [{"allergy": None, "dose": None, "height": 3}]
    path, out = tmp_path / f"t.{ending}", tmp_path / f"out.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif ending == "csv":
        pandas.DataFrame(rows).to_csv(path, index=False)
    else:
        table = pa.table({name: [row[name] and str(row[name]) for row in rows] for name in ("allergy", "dose")})
        table = table.append_column("height", pa.array([-99, 2, 3]))
        (pa.parquet.write_table if ending == "parquet" else pa.feather.write_feather)(table, path)
    impute_table(run, UserFile.for_run(run, {}, path=path), out)
    if ending == "jsonl":
        filled = [json.loads(line) for line in out.read_text().splitlines()]
        assert [type(row["dose"]) for row in filled] == [float] * 3
        assert [type(row["height"]) for row in filled] == [int] * 3
        assert filled[1] == rows[1]
    else:
        read = {"csv": pandas.read_csv, "parquet": pandas.read_parquet, "arrow": pandas.read_feather}[ending]
        frame = read(out, keep_default_na=False) if ending == "csv" else read(out)
        filled = frame.to_dict("records")
        assert (filled[1]["allergy"], float(filled[1]["dose"]), float(filled[1]["height"])) == ("mild", 3.5, 2)
    assert filled[0]["allergy"] == "none"
    assert filled[2]["allergy"] in ("none", "mild", "severe")
    assert [float(row["dose"]) for row in filled]
    assert float(filled[0]["height"]) != -99


@pytest.mark.parametrize("kind", KINDS)
def test_counts_of_a_table_in_memory(kind: str) -> None:
    table = KINDS[kind]({"a": ["x", "NA", "y", "?"], "b": [1.0, -99.0, 3.0, 4.0]})
    modalities = {"a": Label(missing=("?",)), "b": Numeric()}
    data = prepare(Arrays.of({"train": table}, missing=["NA", "-99"]), modalities)
    assert summary(data)["signs"] == {"a": {"NA": 1, "?": 1}, "b": {"-99": 1}}
    assert summary(data)["types"]["b"] == "double"


# Texts that read as no value.


def test_a_text_that_a_number_reads_as_nothing_is_never_replaced(tmp_path: Path) -> None:
    run = untrained({"a": Numeric()}, tmp_path, train={"a": [1.0, 2.0, 3.0]})
    with pytest.warns(DataWarning) as warned:
        filled = run.impute({"a": ["nan", "2", None, "NaN"]})
    assert [filled["a"][0], filled["a"][1], filled["a"][3]] == ["nan", "2", "NaN"]
    assert filled["a"][2] is not None
    note = str(warned[0].message)
    assert_facts(note, "the table: ", "texts of a", "no value: 2; ", "stay as they are", "missing", "row 1: 'nan'")
    assert run.impute({"a": ["nan", "2"]}, missing=["nan"])["a"][0] != "nan"


def test_a_bad_cell_may_be_listed(tmp_path: Path) -> None:
    run = untrained({"a": Label()}, tmp_path, train={"a": ["p", "q"]})
    with pytest.raises(UserError) as raised:
        run.impute({"a": ["NA", "p"]}, on_bad_cell="error")
    assert_facts(str(raised.value), "row 1, column a: 'NA'", "; mend", 'on_bad_cell="missing"', "list it in missing")


# Texts that a reader of the new table takes for missing cells.


@pytest.fixture(scope="module")
def countries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on a Parquet table with the class NA."""
    folder = tmp_path_factory.mktemp("countries")
    codes = ["NA", "DE", "NA", "FR"] * 15
    table = {"country": codes, "area": [float(len(code) + n) for n, code in enumerate(codes)], "zone": ["NA", "x"] * 30}
    pa.parquet.write_table(pa.table(table), folder / "t.parquet")
    (folder / "t.yaml").write_text(
        "name: t\ndata: {kind: table, path: t.parquet}\n"
        "modalities: {country: {kind: label}, area: {kind: numeric}}\nmodel: {kind: mvae, latent_dim: 2}\n"
        "train: {epochs: 1}\nevaluate: []\n"
    )
    assert mmt("run", folder / "t.yaml", "--out", folder / "run", "--no-figures").status == 0
    return folder


def test_a_table_with_nulls_written_to_text(countries: Path, tmp_path: Path) -> None:
    new: dict[str, list[Any]] = {
        "country": ["NA", None, "DE", None, "NA"] * 4,
        "area": [1.0, 2.0, None, 4.0, 5.0] * 4,
        "zone": ["NA", ""] * 10,
    }
    pa.parquet.write_table(pa.table(new), tmp_path / "new.parquet")
    done = mmt("impute", countries / "run", tmp_path / "new.parquet", "--out", tmp_path / "out.csv")
    assert done.status == 0, done.err
    rows = read_csv(tmp_path / "out.csv")
    for row, country in zip(rows, new["country"], strict=True):
        assert row["country"] == country if country else row["country"] != "NA"
    assert_facts(
        done.err, f"{tmp_path / 'out.csv'}: column country: ", "missing cells: 'NA' (8); ", "data.missing: ['']"
    )
    assert_facts(done.err, f"{tmp_path / 'out.csv'}: column zone: ", "'NA' (10), '' (10); write another format")
    done = mmt("impute", countries / "run", tmp_path / "new.parquet", "--out", tmp_path / "out.jsonl")
    assert "readers" not in done.err
    filled = [json.loads(line)["country"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert None not in filled
    done = mmt("embed", countries / "run", tmp_path / "new.parquet", "--out", tmp_path / "z.csv", "--keep", "country")
    assert_facts(done.err, f"{tmp_path / 'z.csv'}: column country: ", "'NA' (8); ")


# Names of columns.


def test_a_column_of_almost_the_same_name_is_named(countries: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("COUNTRY,area\nDE,1\n,2\n")
    hint = "has no column country (did you mean 'COUNTRY'?)"
    done = mmt("impute", countries / "run", tmp_path / "new.csv", "--out", tmp_path / "out.csv")
    assert_facts(done.err, f"{tmp_path / 'new.csv'}: {hint}: added")
    done = mmt("embed", countries / "run", tmp_path / "new.csv", "--out", tmp_path / "z.csv")
    assert_facts(done.err, f"{tmp_path / 'new.csv'}: {hint}: ")
    done = mmt("evaluate", countries / "run", tmp_path / "new.csv", "--set", "evaluate=[{kind: elbo}]")
    assert_facts(done.err, f"{tmp_path / 'new.csv'}: {hint}: all rows lack country")
    run, table = mmtoolkit.load(countries / "run"), {"COUNTRY": ["DE", None], "area": [1.0, 2.0]}
    for use in (run.impute, run.embed, lambda data: run.evaluate_on(data, [Elbo()])):
        with pytest.warns(DataWarning) as warned:
            use(table)
        assert [warning.filename for warning in warned] == [__file__]
        assert_facts(str(warned[0].message), f"the table: {hint}: ")


# The summary.


def test_the_summary_counts_what_changed(run: TrainedRun) -> None:
    table = {"allergy": ["none", None, "sever", None], "height": ["-99", None, 2.0, "tall"]}
    with pytest.warns(DataWarning) as warned:
        filled, counts = run.impute(table, on_bad_cell="missing", summary=True)
    assert list(filled) == ["allergy", "height", "dose"]
    assert counts.filled == {"allergy": 2, "height": 2, "dose": 4}
    assert counts.unfilled == {}
    assert (counts.absent, counts.added, counts.uninformed) == (["dose"], ["dose"], 2)
    assert counts.bad["allergy"][0] == counts.bad["height"][0] == 1
    assert_facts(counts.bad["height"][1], "row 4, column height: 'tall'")
    assert list(counts.notes) == [str(warning.message) for warning in warned]


def test_numbers_and_nothing_in_the_list_of_an_array(tmp_path: Path) -> None:
    run = untrained({"x": Numeric(), "y": Numeric()}, tmp_path, train={"x": [1.0, 2.0], "y": [1.0, 2.0]})
    frame = pandas.DataFrame({"x": [-99, 1], "y": [1.0, 2.0]})
    for signs in ([np.int64(-99)], np.array([-99]), {-99, None}, (-99.0, float("nan"))):
        assert run.impute(frame, missing=signs)["x"].tolist() != [-99, 1]
    names = run.impute({"x": [1.0, 2.0], "y": [None, 2.0], "name": ["nan", "None"]}, missing=[None, float("nan")])
    assert names["name"] == ["nan", "None"]
    source = Arrays.of({"x": ["nan", "None"]}, missing=[None, float("nan")], split={"train": 1.0})
    assert list(source.load("train").column("x")) == ["nan", "None"]
    modality = Label.model_validate({"missing": [np.int64(-99), None]})
    assert modality.missing == ("-99",)


@pytest.mark.parametrize("signs", ["NA", -99, None.__class__])
def test_signs_that_are_no_list_say_so(signs: Any, tmp_path: Path) -> None:
    run = untrained({"x": Numeric()}, tmp_path, train={"x": [1.0, 2.0]})
    with pytest.raises(UserError) as raised:
        run.impute({"x": [1.0, None]}, missing=signs)
    assert_facts(str(raised.value), "missing: ", f"{signs!r} is no list", "; ")
