"""A run on tables in memory: pandas, polars, Arrow, dictionaries. The answer is a table of the same kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit import DataWarning, TrainedRun, UserError
from mmtoolkit.evaluators import Elbo, Prediction
from mmtoolkit.tables.frames import frame_of
from table_runs import SORTS, read_csv, truth, with_holes, write_csv
from untrained import untrained

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")


@pytest.fixture(scope="module")
def run(things: Path) -> TrainedRun:
    return mmtoolkit.load(things)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Rows with holes, whose pictures lie in the current folder."""
    monkeypatch.chdir(tmp_path)
    return with_holes(truth(30, tmp_path, 5), 0.4)


def columns(rows: list[dict[str, str]]) -> dict[str, list[Any]]:
    """The rows as typed columns, None where missing."""
    reads = {"price": float, "height": float, "width": int, "sweet": int}
    return {
        name: [None if row[name] in ("", "NA") else reads.get(name, str)(row[name]) for row in rows] for name in rows[0]
    }


FILLED = ("photo", "title", "the sort", "price", "width", "height", "ripe", "sweet", "sour")


def same(before: list[Any], after: list[Any], filled: bool) -> None:
    for old, new in zip(before, after, strict=True):
        if old is not None or not filled:
            assert new == old
        else:
            assert new is not None


def test_a_dictionary_of_lists(run: TrainedRun, rows: list[dict[str, str]]) -> None:
    table = columns(rows)
    before = {name: list(cells) for name, cells in table.items()}
    new = run.impute(table)
    assert table == before
    assert list(new) == list(table)
    for name, cells in table.items():
        same(cells, new[name], name in FILLED)
    assert {type(cell) for cell, old in zip(new["photo"], table["photo"], strict=True) if old is None} == {Image.Image}
    assert np.issubdtype(run.embed(table)["mean_0"].dtype, np.float32)


def test_a_dictionary_of_arrays(run: TrainedRun) -> None:
    price = np.array([1.5, np.nan, 2.5], dtype=np.float32)
    new = run.impute(
        {"price": price, "ripe": np.array(["yes", None, "no"], dtype=object), "x": np.arange(6).reshape(3, 2)}
    )
    assert new["price"].dtype == np.float32
    assert new["price"][[0, 2]].tolist() == [1.5, 2.5]
    assert np.isfinite(new["price"]).all()
    assert np.isnan(price[1])
    assert new["ripe"].tolist()[::2] == ["yes", "no"]
    assert new["ripe"][1] in ("yes", "no")
    assert new["x"].shape == (3, 2)


def test_pandas_keeps_index_types_and_cells(run: TrainedRun, rows: list[dict[str, str]]) -> None:
    table = columns(rows)
    frame = pandas.DataFrame(
        {
            "id": pandas.array(table["id"]),
            "the sort": pandas.Categorical(
                [None if cell == "apple" else cell for cell in table["the sort"]], ["plum", "pear", "quince"]
            ),
            "price": np.array(table["price"], dtype=np.float32),
            "width": pandas.array(table["width"], dtype="Int64"),
            "height": np.array(table["height"], dtype=float),
            "ripe": pandas.array(table["ripe"], dtype="string"),
            "sweet": np.array(table["sweet"], dtype=float),
            "note": table["note"],
        },
        index=pandas.Index(range(100, 130), name="row"),
    )
    frame.attrs["from"] = "here"
    before = frame.copy(deep=True)
    new = run.impute(frame, samples=3)
    pandas.testing.assert_frame_equal(frame, before)
    assert new.index.equals(frame.index)
    for name in frame.columns:
        known = frame[name].notna()
        assert (new[name][known].astype(object) == frame[name][known].astype(object)).all()
        if name == "the sort":
            assert list(new[name].cat.categories)[:3] == ["plum", "pear", "quince"]
            assert set(new[name]) <= set(SORTS)
        else:
            assert new[name].dtype == frame[name].dtype
        assert new[name].notna().all() or name == "note"
    assert list(new.columns[len(frame.columns) :]) == [
        *("photo", "title", "sour"),
        *(f"the sort_p_{sort}" for sort in SORTS),
        *("price_std", "width_std", "height_std", "ripe_p", "sweet_p", "sour_p"),
    ]
    assert new["price_std"].isna().equals(frame["price"].notna())
    assert isinstance(new["photo"].iloc[0], Image.Image)
    z = run.embed(frame, keep=["id"])
    assert z.index.equals(frame.index)
    assert list(z.columns)[:2] == ["id", "mean_0"]
    assert z["id"].equals(frame["id"])


def test_pictures_in_objects(run: TrainedRun) -> None:
    draw = np.random.default_rng(0)
    pictures = [Image.fromarray(draw.integers(0, 255, (8, 8), dtype=np.uint8)) for _ in range(3)]
    array = np.asarray(pictures[1])
    frame = pandas.DataFrame(
        {"photo": pandas.Series([pictures[0], array, None], dtype=object), "ripe": ["no", None, "yes"]}
    )
    new = run.impute(frame)
    assert new["photo"][0] is pictures[0]
    assert new["photo"][1] is array
    assert new["photo"][2].size == (8, 8)
    z = run.embed({"photo": pictures})
    stacked = run.embed({"photo": np.stack([np.asarray(picture) for picture in pictures])})
    np.testing.assert_allclose(z["mean_0"], stacked["mean_0"])
    frame = polars.DataFrame({"photo": polars.Series([*pictures[:2], None], dtype=polars.Object)})
    new = run.impute(frame)
    assert new["photo"].to_list()[:2] == pictures[:2]
    assert new["photo"].to_list()[2].size == (8, 8)


def test_polars_keeps_types_and_cells(run: TrainedRun, rows: list[dict[str, str]]) -> None:
    frame = polars.DataFrame(columns(rows)).with_columns(
        polars.col("the sort").cast(polars.Categorical),
        polars.col("ripe").cast(polars.Enum(["no", "yes"])),
        polars.col("width").cast(polars.UInt8),
        polars.col("price").cast(polars.Float32),
    )
    frame = frame.drop("photo", "sour")
    new = run.impute(frame, samples=2)
    for name, kind in frame.schema.items():
        assert new.schema[name] == kind
        same(frame[name].to_list(), new[name].to_list(), name in FILLED)
    assert new.schema["photo"] == polars.Object
    assert new["price_std"].is_nan().sum() == frame["price"].is_not_null().sum()
    z = run.embed(frame, keep=["id"])
    assert z.columns[:2] == ["id", "mean_0"]
    assert z["id"].equals(frame["id"])


def test_arrow_keeps_its_schema(run: TrainedRun, rows: list[dict[str, str]], tmp_path: Path) -> None:
    table = pa.table(columns(rows))
    table = table.set_column(3, "the sort", table["the sort"].dictionary_encode())
    with pytest.raises(UserError) as raised:
        run.impute(table)
    assert_facts(str(raised.value), "column photo: ", "Arrow", "; ", "images=FOLDER")
    new = run.impute(table, images=tmp_path / "images")
    assert new.schema.equals(table.schema)
    for name in table.column_names:
        same(table[name].to_pylist(), new[name].to_pylist(), name in FILLED)
    for path in new["photo"].to_pylist():
        assert Image.open(path).size == (8, 8)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    assert run.embed(reader).equals(run.embed(table))
    assert run.impute(table.drop_columns(["photo"]).slice(3, 5), images=tmp_path / "more").num_rows == 5


def test_all_kinds_are_read_alike(run: TrainedRun, rows: list[dict[str, str]]) -> None:
    table = columns(rows)
    write_csv(Path("t.csv"), rows)
    from_file = pandas.DataFrame(read_csv(Path("t.csv")))
    kinds = [table, pandas.DataFrame(table), polars.DataFrame(table), pa.table(table), from_file]
    z = [run.embed(kind, missing=["", "NA"]) for kind in kinds]
    first, *others = (np.stack([np.asarray(of_kind[f"mean_{k}"]) for k in range(3)]) for of_kind in z)
    for other in others:
        np.testing.assert_allclose(first, other, rtol=1e-5, atol=1e-6)


def test_notes_on_the_table_are_warnings_at_the_callers_line(things: Path) -> None:
    lines: list[str] = []
    run = mmtoolkit.load(things, say=lines.append)
    with pytest.warns(DataWarning) as warned:
        run.impute({"price": ["dear", 2.0, None], "ripe": ["yes", None, None]})
    assert lines == []
    assert {warning.filename for warning in warned} == {__file__}
    bad, columns, empty = (str(warning.message) for warning in warned)
    assert_facts(bad, "the table: ", "price", "1; ", "missing", "the table, row 1, column price: 'dear'")
    assert_facts(columns, "the table: ", "photo, title, the sort, width, height, sweet, sour", "added", "every row")
    assert_facts(empty, "the table: ", "rows", "z", "1; ", "prior")
    with pytest.raises(UserError) as raised:
        run.impute({"price": ["dear"]}, on_bad_cell="error")
    assert_facts(str(raised.value), "the table, row 1, column price: 'dear'", "; ", 'on_bad_cell="missing"')


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (3, ("int", "; ", "pandas", "polars", "Arrow", "dictionary")),
        ({"prise": [1]}, ("the table: ", "none of the columns", "photo, ", "'price'", "'prise'")),
        ({"price": [1], "ripe": []}, ("length", "{'price': 1, 'ripe': 0}")),
        ({"price": 30}, ("'price'", "30", "; ", "list")),
        (pandas.DataFrame([[1, 2]], columns=["price", "price"]), ("two columns", "'price'", "; rename")),
    ],
)
def test_data_that_is_not_a_table(run: TrainedRun, data: Any, facts: tuple[str, ...]) -> None:
    for use in (run.impute, run.embed):
        with pytest.raises(UserError) as raised:
            use(data)
        assert_facts(str(raised.value), *facts)


def test_an_unknown_policy(run: TrainedRun) -> None:
    for use in (run.impute, run.embed, run.evaluate_on):
        with pytest.raises(UserError) as raised:
            use({"price": [1]}, on_bad_cell="ignore")  # type: ignore[arg-type]
        assert_facts(str(raised.value), "on_bad_cell: ", "'error' or 'missing'", "'ignore'", "; ")


def test_classes_that_are_numbers_fit_into_a_column_of_floats(tmp_path: Path) -> None:
    run = untrained({"grade": Label(classes=("1", "2", "3"))}, tmp_path, train={"grade": ["1", "3"]})
    grades = run.impute(pandas.DataFrame({"grade": [3.0, None, 1.0]}), on_bad_cell="error")["grade"]
    assert grades.dtype == float
    assert grades[0] == 3
    assert grades[1] in (1, 2, 3)
    grades = run.impute(pandas.DataFrame({"grade": [3.5, None]}), on_bad_cell="missing")["grade"]
    assert grades[0] == 3.5


def test_a_table_without_rows(run: TrainedRun) -> None:
    new = run.impute({"price": [], "ripe": []})
    assert new["price"] == new["the sort"] == []
    assert run.embed(pandas.DataFrame({"price": []}))["mean_0"].tolist() == []


# Scores.


def test_scores_on_a_frame_are_those_on_its_file(run: TrainedRun, rows: list[dict[str, str]]) -> None:
    write_csv(Path("t.csv"), rows)
    evaluators = [Elbo(), Prediction(entries=[{"target": ["sort"], "given": ["price"]}])]
    from_file = run.evaluate_on("t.csv", evaluators)
    from_frame = run.evaluate_on(pandas.DataFrame(columns(rows)), evaluators)
    assert from_frame[0]["split"] == "table"
    for one, other in zip(from_file, from_frame, strict=True):
        assert [result["examples"] for result in one["results"]] == [result["examples"] for result in other["results"]]
        for a, b in zip(one["results"], other["results"], strict=True):
            assert a["value"] == pytest.approx(b["value"], rel=1e-4)


@pytest.mark.slow
def test_frames_are_never_imported_by_the_library() -> None:
    code = (
        "import sys, mmtoolkit.runs.run, mmtoolkit.using.frames, mmtoolkit.tables.frames\n"
        "mmtoolkit.tables.frames.frame_of({'a': [1]})\nprint(*{'pandas', 'polars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_the_rows_of_a_frame_come_in_pieces() -> None:
    frame = frame_of(pandas.DataFrame({"a": range(5), "b": list("vwxyz")}))
    pieces = [(list(rows.cells("b")), list(rows.cells("a"))) for rows in frame.rows(2)]
    assert pieces == [(["v", "w"], [0, 1]), (["x", "y"], [2, 3]), (["z"], [4])]
