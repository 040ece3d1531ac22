"""`mmt impute`: the model's predictions fill the missing cells, and nothing else changes."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import mmtoolkit
from endless import Endless
from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmt_binary import Binary
from mmtoolkit import TrainedRun
from mmtoolkit.base import meter
from mmtoolkit.base.errors import UserError
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.imputing import Imputer
from mmtoolkit.using.run_table import RunTable, rows_at_once
from mmtoolkit.using.user_table import UserFile
from runs import Ended, assert_refused, mmt
from table_runs import COLUMNS, SORTS, cells_of, read_csv, truth, with_holes, write_csv
from untrained import untrained

FILLED = ("photo", "title", "the sort", "price", "width", "height", "ripe", "sweet", "sour")


@pytest.fixture(scope="module")
def run(things: Path) -> TrainedRun:
    return mmtoolkit.load(things)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A table with holes, in a folder of its own."""
    return write_csv(tmp_path / "new.csv", with_holes(truth(40, tmp_path, 5), 0.4))


def impute(run: Path, table: Path, out: Path, *options: str) -> Ended:
    done = mmt("impute", run, table, "--out", out, *options)
    assert done.status == 0, done.err
    assert done.out == f"{out}\n"
    return done


# What is filled.


def test_holes_hold_the_prediction_of_the_posterior_mean(run: TrainedRun, new: Path) -> None:
    impute(run.folder, new, new.with_name("out.csv"))
    rows, filled_rows = read_csv(new), read_csv(new.with_name("out.csv"))
    assert len(filled_rows) == len(rows) == 40
    for row, filled in list(zip(rows, filled_rows, strict=True))[:12]:
        p = run.decode(run.infer([cells_of(run, row, new.parent)]).mean)
        for name, modality in run.modalities.items():
            cell = modality.cell(modality.point(p[name])[0])
            cells = cell if isinstance(cell, dict) else {modality.source_columns(name)[0]: cell}
            for column, expected in cells.items():
                if row[column] not in ("", "NA"):
                    continue
                if isinstance(expected, Image.Image):
                    pixels = np.asarray(Image.open(new.parent / filled[column]), dtype=int)
                    assert np.abs(pixels - np.asarray(expected, dtype=int)).max() <= 1
                elif isinstance(expected, float):
                    known = [row[column] for row in rows if row[column] not in ("", "NA")]
                    decimals = max(len(cell.partition(".")[2]) for cell in known)
                    assert len(filled[column].partition(".")[2]) <= decimals
                    assert float(filled[column]) == pytest.approx(expected, abs=0.51 * 0.1**decimals)
                else:
                    assert filled[column] == expected


def test_present_cells_and_other_columns_stay(run: TrainedRun, new: Path) -> None:
    impute(run.folder, new, new.with_name("out.csv"))
    for row, filled in zip(read_csv(new), read_csv(new.with_name("out.csv")), strict=True):
        assert list(row) == list(filled) == list(COLUMNS)
        for name, cell in row.items():
            if name in FILLED and cell in ("", "NA"):
                assert filled[name] not in ("", "NA")
            else:
                assert filled[name] == cell


def test_the_first_line_counts_filled_cells(run: TrainedRun, new: Path) -> None:
    rows = read_csv(new)
    done = impute(run.folder, new, new.with_name("out.csv"))
    counts = [f"{sum(row[name] in ('', 'NA') for row in rows)} of {name}" for name in FILLED]
    first, *rest = done.err.splitlines()
    assert sorted(first.removeprefix("filled ").split(", ")) == sorted(counts)
    assert rest == []


@pytest.mark.parametrize("style", [{"delimiter": ";", "lineterminator": "\r\n", "encoding": "utf-8-sig"}, {}])
def test_a_table_without_holes_comes_back_byte_for_byte(run: TrainedRun, tmp_path: Path, style: dict[str, str]) -> None:
    table = write_csv(tmp_path / "t.csv", truth(10, tmp_path), **style)
    done = impute(run.folder, table, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == table.read_bytes()
    assert done.err == "filled no cell\n"


def test_columns_that_are_absent_are_added(run: TrainedRun, tmp_path: Path) -> None:
    rows = [{"id": row["id"], "photo": row["photo"], "height": row["height"]} for row in truth(5, tmp_path)]
    done = impute(run.folder, write_csv(tmp_path / "t.csv", rows), tmp_path / "out.csv")
    filled = read_csv(tmp_path / "out.csv")
    added = ["title", "the sort", "price", "width", "ripe", "sweet", "sour"]
    assert list(filled[0]) == ["id", "photo", "height", *added]
    assert all(row["the sort"] in SORTS and float(row["width"]) and row["sweet"] in "01" for row in filled)
    assert [row["height"] for row in filled] == [row["height"] for row in rows]
    assert_facts(done.err.splitlines()[1], f"{(tmp_path / 't.csv')}: ", ", ".join(added), "added", "every row")


def test_no_hole_is_filled_with_a_text_that_is_read_as_missing(run: TrainedRun, tmp_path: Path) -> None:
    rows = [{**row, "the sort": "NA"} for row in truth(6, tmp_path)]
    table = write_csv(tmp_path / "t.csv", rows)
    done = impute(run.folder, table, tmp_path / "out.csv", "--set", f"data.missing={json.dumps(['NA', *SORTS])}")
    assert (tmp_path / "out.csv").read_bytes() == table.read_bytes()
    first, second = done.err.splitlines()
    assert first == "filled no cell"
    assert_facts(second, f"{table}: ", "the sort", "missing: 6; ", "text", "missing cell")


def test_rows_with_nothing_have_the_prior(run: TrainedRun, tmp_path: Path) -> None:
    rows = [dict.fromkeys(COLUMNS, ""), dict.fromkeys(COLUMNS, "NA"), {**dict.fromkeys(COLUMNS, ""), "ripe": "yes"}]
    done = impute(run.folder, write_csv(tmp_path / "t.csv", rows), tmp_path / "out.csv")
    first, second, third = read_csv(tmp_path / "out.csv")
    label = run.modalities["sort"]
    p = run.decode(torch.zeros(1, 3), ["sort"])["sort"]
    assert first["the sort"] == label.cell(label.point(p)[0])
    numbers = [name for name in first if name not in {"photo", "id", "note"} and "." in first[name]]
    assert [float(first[name]) for name in numbers] == pytest.approx([float(second[name]) for name in numbers])
    rest = dict.fromkeys([*numbers, "photo"], "")
    assert first | rest == second | rest | {"id": "", "note": ""}
    assert float(first["price"]) != pytest.approx(float(third["price"]))
    assert_facts(done.err.splitlines()[-1], f"{tmp_path / 't.csv'}: ", "rows", "z", "2; ", "prior")


class Doubles(Numeric):
    """Predicts for an unknown entry twice the known one."""

    def filled(self, value: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        known = value[:, :, :1] if bool(value[:, 1, 0].all()) else value[:, :, 1:]
        return torch.cat([known, torch.stack([2 * known[:, 0], known[:, 1]], 1)], dim=2)


def test_the_known_entries_of_a_vector_have_a_say_in_the_others(tmp_path: Path) -> None:
    vector = Doubles(columns=("u", "v"), mean=(0.0, 0.0), std=(1.0, 1.0))
    run = untrained({"x": vector}, tmp_path, train={"u": [1.0, 2.0], "v": [1.0, 3.0]})
    table = run.impute({"u": [4.0, 5.5, 1.0], "v": [None, None, 7.0]})
    assert table == {"u": [4.0, 5.5, 1.0], "v": [8.0, 11.0, 7.0]}


# Draws.


def test_draws_are_joined_and_their_spread_stands_beside(run: TrainedRun, new: Path) -> None:
    impute(run.folder, new, new.with_name("out.csv"), "--samples", "30")
    rows, filled_rows = read_csv(new), read_csv(new.with_name("out.csv"))
    probabilities = [f"the sort_p_{sort}" for sort in SORTS]
    added = [*probabilities, "price_std", "width_std", "height_std", "ripe_p", "sweet_p", "sour_p"]
    assert list(filled_rows[0]) == [*COLUMNS, *added]
    for row, filled in zip(rows, filled_rows, strict=True):
        for name in ("price", "width", "height"):
            assert bool(filled[f"{name}_std"]) == (row[name] in ("", "NA"))
        if row["the sort"] in ("", "NA"):
            shares = [float(filled[name]) for name in probabilities]
            assert sum(shares) == pytest.approx(1, abs=1e-5)
            assert filled["the sort"] == SORTS[int(np.argmax(shares))]
        else:
            assert not any(filled[name] for name in probabilities)
        for name, yes in (("ripe", "yes"), ("sweet", "1"), ("sour", "1")):
            if row[name] in ("", "NA"):
                assert (float(filled[f"{name}_p"]) > 0.5) == (filled[name] == yes)


def test_draws_follow_the_seed_alone(run: TrainedRun, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outs = []
    for place, seed in enumerate(("0", "0", "1")):
        out = new.with_name(f"{place}.jsonl")
        impute(run.folder, new, out, "--samples", "3", "--seed", seed)
        outs.append([{**json.loads(line), "photo": ""} for line in out.read_text().splitlines()])
    assert outs[0] == outs[1]
    assert outs[0] != outs[2]


@pytest.mark.parametrize("draws", [1, 4])
def test_pooled_and_spread_by_the_formula(draws: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(draws * 3, 2, generator=generator)
    label = Label(classes=("a", "b", "c"))
    p = label.decoder(2)(z)
    mean = p.logits.double().softmax(-1).view(draws, 3, 3).mean(0)
    assert label.pooled(p, draws).tolist() == mean.argmax(-1).tolist()
    spread = label.spread("x", p, draws)["x"]
    torch.testing.assert_close(torch.stack([spread[f"p_{c}"] for c in "abc"], 1).double(), mean, rtol=1e-5, atol=1e-6)

    split = torch.distributions.Categorical(probs=torch.tensor([[0.9, 0.1], [0.45, 0.55], [0.45, 0.55]]))
    assert Label(classes=("a", "b")).pooled(split, 3).tolist() == [0]  # 0.6 on average, though two draws say b

    numeric = Numeric(mean=(10.0, -1.0), std=(2.0, 3.0), columns=("u", "v"), likelihood="student_t")
    p = numeric.decoder(2)(z)
    centre, own = p.base.mean.view(draws, 3, 2), p.base.variance.view(draws, 3, 2)
    torch.testing.assert_close(numeric.pooled(p, draws)[:, 0], centre.mean(0))
    assert numeric.pooled(p, draws)[:, 1].all()
    second = (own + centre.square()).mean(0) - centre.mean(0).square()  # E[x²] - E[x]²
    for k, column in enumerate("uv"):
        torch.testing.assert_close(numeric.spread("x", p, draws)[column]["std"], second[:, k].sqrt())

    binary = Binary(values=("n", "y"))
    p = binary.decoder(2)(z)
    yes = p.logits.double().sigmoid().view(draws, 3).mean(0)
    torch.testing.assert_close(binary.spread("x", p, draws)["x"]["p"].double(), yes, rtol=1e-5, atol=1e-6)
    assert binary.pooled(p, draws).tolist() == (yes > 0.5).double().tolist()


def test_pooled_votes_where_points_are_whole_numbers_and_averages_where_not() -> None:
    from toys import Category, Vector

    category = Category()
    logits = torch.eye(3)[[0, 1, 1, 2, 2, 1]] * 5  # draw-major, two rows: draws 0 1 2 and 1 2 1
    p = torch.distributions.Categorical(logits=logits)
    category.__class__.point = lambda self, p: p.logits.argmax(-1)  # type: ignore[method-assign, attr-defined]
    try:
        assert category.pooled(p, 3).tolist() == [0, 1]
    finally:
        del category.__class__.point
    means = torch.arange(12.0).view(6, 2)
    normal = torch.distributions.Independent(torch.distributions.Normal(means, 1.0), 1)
    assert torch.equal(Vector().pooled(normal, 3), means.view(3, 2, 2).mean(0))
    assert Vector().spread("x", normal, 3) == {}


# Formats.


def typed(folder: Path, rows: Sequence[Mapping[str, str]]) -> pa.Table:
    """The rows in types: whole numbers, small floats, a dictionary, yes and no."""

    def column(name: str, read: Callable[[str], Any], kind: pa.DataType) -> pa.Array:
        return pa.array([None if row[name] in ("", "NA") else read(row[name]) for row in rows], kind)

    return pa.table(
        {
            "id": column("id", int, pa.int16()),
            "photo": column("photo", str, pa.string()),
            "the sort": column("the sort", str, pa.string()).dictionary_encode(),
            "price": column("price", float, pa.float32()),
            "width": column("width", int, pa.int64()),
            "height": column("height", float, pa.float64()),
            "ripe": column("ripe", str, pa.large_string()),
            "sweet": column("sweet", lambda cell: cell == "1", pa.bool_()),
            "sour": column("sour", int, pa.int8()),
            "note": column("note", str, pa.string()),
        }
    )


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_types_and_nulls_stay(run: TrainedRun, tmp_path: Path, ending: str) -> None:
    table = typed(tmp_path, with_holes(truth(40, tmp_path, 5), 0.4)).drop_columns(["sour"])
    path, out = tmp_path / f"t.{ending}", tmp_path / f"out.{ending}"
    write = pa.parquet.write_table if ending == "parquet" else pa.feather.write_feather
    write(table, path)
    impute(run.folder, path, out)
    new = pa.parquet.read_table(out) if ending == "parquet" else pa.feather.read_table(out)
    assert new.schema.names == [*table.schema.names, "title", "sour"]
    for name in table.schema.names:
        assert new.schema.field(name).type == table.schema.field(name).type
        for before, after in zip(table[name].to_pylist(), new[name].to_pylist(), strict=True):
            assert after == before if before is not None or name == "note" else after is not None
    assert new["sour"].to_pylist().count(None) == 0


def test_a_column_of_nulls_gets_a_type(run: TrainedRun, tmp_path: Path) -> None:
    rows = truth(3, tmp_path)
    columns = {
        "photo": [row["photo"] for row in rows],
        "price": pa.nulls(3),
        "the sort": pa.nulls(3),
        "note": pa.nulls(3),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    impute(run.folder, tmp_path / "t.parquet", tmp_path / "out.parquet")
    new = pa.parquet.read_table(tmp_path / "out.parquet")
    kinds = [new.schema.field(name).type for name in columns]
    assert kinds == [pa.string(), pa.float64(), pa.string(), pa.null()]
    assert new["the sort"].null_count == 0


def test_cells_that_do_not_fit_stay_missing_with_a_note(run: TrainedRun, tmp_path: Path) -> None:
    rows = truth(2, tmp_path)
    columns = {"photo": [row["photo"] for row in rows], "the sort": pa.array([None, None], pa.int64())}
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    done = impute(run.folder, tmp_path / "t.parquet", tmp_path / "out.parquet")
    assert pa.parquet.read_table(tmp_path / "out.parquet")["the sort"].null_count == 2
    assert_facts(done.err, "t.parquet: ", "the sort", "missing: 2; ", "type", "column", "cell such as '")


def test_pictures_go_into_a_column_of_bytes(run: TrainedRun, tmp_path: Path) -> None:
    data = [(tmp_path / row["photo"]).read_bytes() for row in truth(2, tmp_path)]
    pa.parquet.write_table(
        pa.table({"photo": pa.array([data[0], None]), "ripe": ["no", "yes"]}), tmp_path / "t.parquet"
    )
    impute(run.folder, tmp_path / "t.parquet", tmp_path / "out.parquet")
    first, second = pa.parquet.read_table(tmp_path / "out.parquet")["photo"].to_pylist()
    assert first == data[0]
    assert second.startswith(b"\x89PNG")
    assert not (tmp_path / "out_images").exists()


LINES = [
    r'{"id":1.0,"the sort":"pear","price":1e0 ,"width": null, "big": 123456789012345678901234567890}',
    r'{"the sort": null, "price": 2.50, "height": 1, "ripe": "no", "note": "\u00fc \"x\"", "sweet":1, '
    r'"sour": 0, "width": 1, "title": "ab", "photo": null}',
    r"{}",
]


def test_json_keeps_the_types_of_its_columns(run: TrainedRun, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"the sort": "fig", "price": 3, "ripe": True, "width": 1.5, "height": None},
        {"the sort": None, "price": None, "ripe": None, "width": None, "height": 2},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    impute(run.folder, tmp_path / "t.jsonl", tmp_path / "o.jsonl", "--set", "data.on_bad_cell=missing")
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [type(lines[1][name]) for name in rows[0]] == [str, int, bool, float, int]
    assert isinstance(lines[0]["height"], int)


NAMIBIA: dict[str, list[Any]] = {
    "title": ["NA", None, "", "apple", "nan"],
    "the sort": ["NA", "plum", None, "NULL", ""],
    "price": [1.5, None, 2.5, 3.0, 4.0],
    "ripe": ["yes", None, "NA", "no", "null"],
    "note": ["NA", "", "N/A", None, "x"],
}
"""Texts that are values where the format has a null."""


def namibia(path: Path) -> Path:
    table = pa.table(NAMIBIA)
    if path.suffix == ".parquet":
        pa.parquet.write_table(table, path)
    elif path.suffix == ".arrow":
        pa.feather.write_feather(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


def columns_of(path: Path) -> dict[str, list[Any]]:
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return {name: [row.get(name) for row in rows] for name in rows[0]}
    read = pa.parquet.read_table if path.suffix == ".parquet" else pa.feather.read_table
    return dict(read(path).to_pydict())


def assert_known_cells_stay(after: Mapping[str, Sequence[Any]]) -> None:
    for name, cells in NAMIBIA.items():
        for old, new in zip(cells, after[name], strict=True):
            if old is not None:
                assert isinstance(new, type(old))
                assert new == old
            else:
                assert (new is None) == (name == "note")


@pytest.fixture(params=["0.2", "0.1"])
def a_run(things: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The run as it is, and with all texts listed that 0.1 wrote into the schema of every run."""
    if request.param == "0.2":
        return things
    (tmp_path / "old").mkdir()
    folder = Path(shutil.copytree(things, tmp_path / "old" / "run"))
    schema = (folder / "schema.yaml").read_text()
    assert schema.index("  missing: null\n") < schema.index("modalities:\n")  # the modalities have one too
    usual = '  missing: ["", NA, N/A, NaN, nan, "null", "NULL"]\n'
    (folder / "schema.yaml").write_text(schema.replace("  missing: null\n", usual, 1))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl"])
def test_texts_are_known_cells_where_the_format_has_a_null(a_run: Path, tmp_path: Path, ending: str) -> None:
    path, out = namibia(tmp_path / f"t.{ending}"), tmp_path / f"out.{ending}"
    done = impute(a_run, path, out)
    assert_known_cells_stay(columns_of(out))
    assert_facts(done.err, "filled ", *(f" 1 of {name}" for name in NAMIBIA if name != "note"))
    impute(a_run, path, out, "--overwrite", "--set", "data.missing=[NA]")
    after = columns_of(out)
    assert [after["the sort"][0] in SORTS, after["ripe"][2] in ("no", "yes")] == [True, True]
    assert after["title"][0] != "NA"
    assert [after["the sort"][3:], after["title"][2:], after["note"]] == [
        ["NULL", ""],
        ["", "apple", "nan"],
        NAMIBIA["note"],
    ]


def frames() -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")

    def of_pandas(frame: Any) -> dict[str, list[Any]]:
        return {name: [None if pandas.isna(cell) else cell for cell in frame[name]] for name in NAMIBIA}

    return {
        "dict": (dict, dict),
        "arrays": (lambda c: {n: np.array(cells, object) for n, cells in c.items()}, dict),
        "arrow": (pa.table, pa.Table.to_pydict),
        "pandas": (pandas.DataFrame, of_pandas),
        "pandas, string": (lambda c: pandas.DataFrame(c).convert_dtypes(), of_pandas),
        "polars": (polars.DataFrame, lambda frame: frame.to_dict(as_series=False)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dict", "arrays", "arrow", "pandas", "pandas, string", "polars"])
def test_texts_are_known_cells_in_memory(a_run: Path, tmp_path: Path, kind: str) -> None:
    make, columns = frames()[kind]
    run = mmtoolkit.load(a_run)
    assert_known_cells_stay(columns(run.impute(make(NAMIBIA), images=tmp_path / "a")))
    after = columns(run.impute(make(NAMIBIA), images=tmp_path / "b", missing=["NA"]))
    assert after["the sort"][0] in SORTS
    assert list(after["the sort"][3:]) == ["NULL", ""]
    assert after["ripe"][2] in ("no", "yes")


def test_a_class_may_be_named_na(tmp_path: Path) -> None:
    run = untrained({"x": Label()}, tmp_path, train={"x": ["NA", "NULL"]})
    table = run.impute({"x": ["NA", None, "NULL", None]})
    assert table["x"][::2] == ["NA", "NULL"]
    assert {table["x"][1], table["x"][3]} <= {"NA", "NULL"}


@pytest.mark.parametrize("ending", ["arrow", "parquet"])
def test_views_of_texts_stay_views(run: TrainedRun, tmp_path: Path, ending: str) -> None:
    try:
        pa.parquet.write_table(pa.table({"x": pa.array(["a"], pa.string_view())}), tmp_path / "try.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("this version of PyArrow cannot write views of texts")
    columns = {
        "the sort": pa.array(["fig", None], pa.string_view()),
        "id": pa.array(["1", None], pa.string_view()),
        "price": pa.array([Decimal("3.10"), None]),
    }
    path = tmp_path / f"t.{ending}"
    write, read = (
        (pa.feather.write_feather, pa.feather.read_table)
        if ending == "arrow"
        else (pa.parquet.write_table, pa.parquet.read_table)
    )
    write(pa.table(columns), path)
    impute(run.folder, path, tmp_path / f"o.{ending}")
    before, after = read(path), read(tmp_path / f"o.{ending}")
    assert after.schema.types[:3] == before.schema.types
    assert after["id"].to_pylist() == ["1", None]
    assert after["the sort"].to_pylist()[0] == "fig"
    assert after["the sort"].to_pylist()[1] in SORTS
    assert after["price"].null_count == 0
    impute(run.folder, path, tmp_path / "p.csv")
    assert read_csv(tmp_path / "p.csv")[0]["price"] == "3.10"


def test_numbers_that_no_type_holds_together(run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmtoolkit.tables.writing._PIECE", 1)
    (tmp_path / "t.jsonl").write_text(f'{{"the sort": "fig", "id": {2**60 + 1}}}\n{{"the sort": null, "id": 1.5}}\n')
    done = mmt("impute", run.folder, tmp_path / "t.jsonl", "--out", tmp_path / "out.parquet")
    (line,) = done.err.splitlines()
    assert_facts(line, f"{tmp_path / 'out.parquet'}: ", "written", "; ", "another format")
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]


def test_lines_of_json_change_only_where_they_are_filled(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(LINES), encoding="utf-8")
    impute(run.folder, tmp_path / "t.jsonl", tmp_path / "out.jsonl")
    first, second, third = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    width = json.loads(first)["width"]
    assert first.startswith(LINES[0].replace("null", json.dumps(width)).removesuffix("}") + ", ")
    sort = json.loads(second)["the sort"]
    filled = LINES[1].replace("null", json.dumps(sort), 1).replace("null", '"out_images/00001_0_photo.png"')
    assert second == filled
    assert set(json.loads(third)) == set(FILLED)


def test_json_keeps_its_encoding(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"the sort": null, "price": 1, "note": "ü"}\n', encoding="latin-1")
    impute(run.folder, tmp_path / "t.jsonl", tmp_path / "out.jsonl", "--set", "data.encoding=latin-1")
    (line,) = (tmp_path / "out.jsonl").read_text(encoding="latin-1").splitlines()
    assert line.startswith('{"the sort": "')
    assert '"note": "ü"' in line


@pytest.mark.slow
def test_from_one_format_to_another(run: TrainedRun, new: Path) -> None:
    impute(run.folder, new, new.with_name("a.csv"))
    text = [{**row, "photo": ""} for row in read_csv(new.with_name("a.csv"))]
    for name in ("b.parquet", "c.feather", "d.jsonl", "e.tsv"):
        impute(run.folder, new, new.with_name(name))
    tables = pa.parquet.read_table(new.with_name("b.parquet")), pa.feather.read_table(new.with_name("c.feather"))
    lines = [json.loads(line) for line in new.with_name("d.jsonl").read_text().splitlines()]
    for rows in (*(table.to_pylist() for table in tables), lines, read_csv(new.with_name("e.tsv"), delimiter="\t")):
        assert [{**row, "photo": ""} for row in rows] == text
    impute(run.folder, new.with_name("b.parquet"), new.with_name("f.csv"))
    assert [{**row, "photo": ""} for row in read_csv(new.with_name("f.csv"))] == text


# Models that cannot give everything.


def test_a_model_that_decodes_given_something(things: Path, tmp_path: Path) -> None:
    schema = mmtoolkit.read_schema(
        things.parent / "things.yaml", ["model={kind: cvae, latent_dim: 2, target: price, given: [sort]}"]
    )
    run = mmtoolkit.run(schema, tmp_path / "run", figures=False)
    rows = with_holes(truth(30, tmp_path, 5), 0.5)
    done = impute(run.folder, write_csv(tmp_path / "t.csv", rows), tmp_path / "out.csv")
    lacking = 0
    for row, filled in zip(rows, read_csv(tmp_path / "out.csv"), strict=True):
        assert {**row, "price": ""} == {**filled, "price": ""}
        given, known = (row[name] not in ("", "NA") for name in ("the sort", "price"))
        lacking += not known and not given
        assert (filled["price"] not in ("", "NA")) == (known or given)
    missing = {name: sum(row[name] in ("", "NA") for row in rows) for name in FILLED}
    notes = done.err.splitlines()[1:]
    assert len(notes) == len(missing)
    for name, count in missing.items():
        (note,) = (line for line in notes if f" {name} " in line)
        assert_facts(note, f"{tmp_path / 't.csv'}: ", name, f"missing: {lacking if name == 'price' else count}; ")
        assert_facts(note, "; ", *(("given sort",) if name == "price" else ("does not decode",)))
    assert lacking
    impute(run.folder, tmp_path / "t.csv", tmp_path / "out.parquet")
    table = pa.parquet.read_table(tmp_path / "out.parquet")
    assert table["price"].null_count == lacking
    assert table["the sort"].null_count == missing["the sort"]  # text has a marker for it, a type has null
    assert table["note"].to_pylist() == [row["note"] for row in rows]


# Bad cells.


def test_bad_cells_stay_and_are_counted(run: TrainedRun, tmp_path: Path) -> None:
    rows = truth(6, tmp_path)
    (tmp_path / "pictures" / "3.png").write_bytes(b"no picture")
    rows[0]["price"], rows[1]["the sort"], rows[2]["photo"] = "dear", "fig", "pictures/none.png"
    rows[4].update(width="wide", height="")
    table = write_csv(tmp_path / "t.csv", rows)
    done = impute(run.folder, table, tmp_path / "out.csv")  # the run's own data.on_bad_cell is missing
    filled = read_csv(tmp_path / "out.csv")
    assert [row for row in filled if row["id"] != "004"] == [row for row in rows if row["id"] != "004"]
    assert filled[4]["width"] == "wide"
    assert float(filled[4]["height"])
    first, photo, *others = done.err.splitlines()
    assert first == "filled 1 of height"
    place = f"{table}, row 3, column photo: pictures/none.png: "
    assert_facts(photo, f"{table}: ", "photo", "2; ", "missing", place, "no such file")
    for line, name in zip(others, ("sort", "price", "size"), strict=True):
        assert_facts(line, f"{table}: ", name, "1; ", f"{table}, row ")

    done = mmt("impute", run.folder, table, "--out", tmp_path / "no.csv", "--on-bad-cell", "error")
    assert (done.status, done.out) == (2, "")
    first, *_ = done.err.splitlines()
    assert first.startswith(place)
    assert_facts(first, "no such file", str(tmp_path), "; ", "cell", "--on-bad-cell missing")
    assert f"{table}, row 1, column price: 'dear'" in done.err
    assert f"{table}, row 5, columns width, height: width: 'wide'" in done.err
    assert not (tmp_path / "no.csv").exists()


def test_a_picture_that_need_not_be_there_is_filled(run: TrainedRun, tmp_path: Path) -> None:
    rows = truth(2, tmp_path)
    rows[0]["photo"] = "none.png"
    table = write_csv(tmp_path / "t.csv", rows)
    impute(run.folder, table, tmp_path / "out.csv", "--set", "data.absent_files=missing")
    assert read_csv(tmp_path / "out.csv")[0]["photo"] == "out_images/00000_0_photo.png"


def test_a_picture_outside_the_folder(run: TrainedRun, tmp_path: Path) -> None:
    rows = truth(2, tmp_path)
    (tmp_path / "in").mkdir()
    table = write_csv(tmp_path / "in" / "t.csv", [{**rows[0], "photo": "../pictures/0.png"}])
    done = mmt("impute", run.folder, table, "--out", tmp_path / "o.csv", "--on-bad-cell", "error")
    assert_facts(done.err, f"{table}, row 1, column photo: ../pictures/0.png: ", str(tmp_path / "in"), "; ", "move")
    done = impute(run.folder, table, tmp_path / "o.csv", "--set", "data.files_outside=true", "--on-bad-cell", "error")
    assert_facts(done.err.splitlines()[-1], f"{tmp_path / 'o.csv'}: ", "paths", "column photo", "folder of", str(table))


# Refusals.


def test_output_that_is_refused(run: TrainedRun, new: Path) -> None:
    (there := new.with_name("there.csv")).write_text("mine")
    folder = run.folder
    (link := new.with_name("link.csv")).symlink_to(new)
    (new.parent / "d.csv").mkdir()
    xls, endings = (
        new.parent / "x.xls",
        ".csv, .tsv, .tab, .parquet, .pq, .arrow, .feather, .json, .jsonl, .ndjson, .xlsx; ",
    )
    for words, facts in (
        ((new, "--out", there), [f"{there}: ", "already; ", "--overwrite", "--out"]),
        ((new, "--out", new, "--overwrite"), [f"{new}: ", "table", "; ", "--out"]),
        ((link, "--out", new, "--overwrite"), [f"{new}: ", "table", "; ", "--out"]),
        ((new, "--out", xls), [f"{xls}: ", endings, "ends in"]),
        ((new, "--out", new.parent / "d.csv", "--overwrite"), [f"{new.parent / 'd.csv'}: ", "folder; ", "--out"]),
        ((new, "--out", "/proc/mmt/x.csv"), ["/proc/mmt: ", "written: "]),
    ):
        assert_refused(mmt("impute", folder, *words), facts)
    assert there.read_text() == "mine"
    impute(folder, new, there, "--overwrite")
    assert len(read_csv(there)) == 40


def test_pictures_that_are_there_are_not_lost(run: TrainedRun, new: Path) -> None:
    folder = new.with_name("out_images")
    folder.mkdir()
    (folder / "mine.png").write_text("mine")
    done = mmt("impute", run.folder, new, "--out", new.with_name("out.csv"))
    assert_refused(done, [f"{folder}: ", "already", "pictures", "; ", "--overwrite", "--out"])
    impute(run.folder, new, new.with_name("out.csv"), "--overwrite")
    assert (folder / "mine.png").read_text() == "mine"
    for row in read_csv(new.with_name("out.csv")):
        assert Image.open(new.parent / row["photo"]).size == (8, 8)


def test_tables_that_are_refused(run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    def assert_fault(table: Path, options: Sequence[str], *facts: str) -> None:
        assert_refused(mmt("impute", run.folder, table, "--out", out, *options), facts)
        assert not out.exists()

    assert_fault(tmp_path / "none.csv", (), f"{tmp_path / 'none.csv'}: ", "no such file; ", "path")
    (other := tmp_path / "other.csv").write_text("a,b,prise\n1,2,3\n")
    columns = "photo, title, the sort, price, width, height, ripe, sweet, sour"
    remedy = ("'price'", "'prise'", "a, b, prise", "rename", "another table")
    assert_fault(other, (), f"{other}: ", "none of the columns", columns, *remedy)
    (ragged := tmp_path / "ragged.csv").write_text("id,price\n1,2\n3\n")
    assert_fault(ragged, (), f"{ragged}:3: ", "row 2", "1 cell", "2; ")
    (clash := tmp_path / "clash.csv").write_text("price,price_std\n,2\n")
    assert_fault(clash, ("--samples", "2"), f"{clash}: ", "already", "'price_std'", "; rename")
    (latin := tmp_path / "latin.csv").write_bytes("the sort,note\npear,é\n".encode("latin-1"))
    assert_fault(latin, (), f"{latin}:2: ", "utf-8")
    impute(run.folder, latin, out, "--set", "data.encoding=latin-1")
    assert out.read_bytes().splitlines()[1].startswith("pear,é,".encode("latin-1"))
    out.unlink()
    wrong = "data.encodin=latin-1"
    assert_fault(latin, ("--set", wrong), f"--set {wrong}: ", "'encoding'", "; ", "data.format", "data.encoding")
    assert_fault(latin, ("--set", "data.encoding=klingon"), "--set data.encoding: ", "'klingon'", "; ", "utf-8")


def test_no_draw_is_no_number_of_draws(run: TrainedRun, new: Path) -> None:
    done = mmt("impute", run.folder, new, "--out", new.with_name("x.csv"), "--samples", "0")
    assert done.status == 2
    assert "--samples" in done.err
    assert not new.with_name("x.csv").exists()


def test_a_table_that_changes_while_it_is_read(run: TrainedRun, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmtoolkit.using import imputing

    fill = imputing.Imputer._filling

    def changed(self: Imputer, piece: Any, *rest: Any) -> Any:
        new.write_text(new.read_text() + "x\n")
        return fill(self, piece, *rest)

    monkeypatch.setattr(imputing.Imputer, "_filling", changed)
    done = mmt("impute", run.folder, new, "--out", new.with_name("x.csv"))
    assert_refused(done, [f"{new}: ", "changed", "; ", "again"])
    assert sorted(path.name for path in new.parent.iterdir()) == ["new.csv", "pictures"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.slow
def test_a_disk_that_is_full(run: TrainedRun, new: Path, ending: str) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    out = new.with_name(f"out.{ending}")
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from mmtoolkit.cli import main; resource.setrlimit(resource.RLIMIT_FSIZE, (1200,) * 2); "
        f"sys.argv = ['mmt', 'impute', {str(run.folder)!r}, {str(new)!r}, '--out', {str(out)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "written: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in new.parent.iterdir()) == ["new.csv", "pictures"]


def test_an_interruption_leaves_nothing(run: TrainedRun, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmtoolkit.using import imputing

    fill = imputing.Imputer._filling

    def interrupted(self: Imputer, piece: Any, *rest: Any) -> Any:
        if piece.start:
            raise KeyboardInterrupt
        return fill(self, piece, *rest)

    monkeypatch.setattr(imputing.Imputer, "_filling", interrupted)
    monkeypatch.setattr(imputing, "rows_at_once", lambda *_: 10)
    done = mmt("impute", run.folder, new, "--out", new.with_name("x.csv"))
    assert (done.status, done.err) == (130, "interrupted\n")
    assert sorted(path.name for path in new.parent.iterdir()) == ["new.csv", "pictures"]


# Memory.


@pytest.mark.slow
def test_rows_are_let_go(tmp_path: Path) -> None:
    modalities = {"a": Numeric(mean=(0.0,), std=(1.0,)), "b": Label(classes=("x", "y"))}
    run = untrained(modalities, tmp_path, train={"a": [1.0, 2.0], "b": ["x", "y"]})
    table = Endless(12 * rows_at_once(modalities, list(modalities)))
    imputer = Imputer(run, RunTable(run, table, None, "error"))
    tracemalloc.start()
    count = sum(len(filling.rows) for filling in imputer.fillings())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(table)
    assert table.most <= 3
    assert most < 40e6  # all twelve pieces would be more than twice that
    assert imputer.filled == {"a": count // 2, "b": count // 2}


# Progress.


@pytest.mark.slow
def test_progress_is_reported_now_and_then(
    things: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(0, 20)
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    done = impute(things, new, tmp_path / "out.csv", "--samples", "600")
    lines = [line for line in done.err.splitlines() if line.startswith("impute: ")]
    assert lines
    assert all(re.fullmatch(r"impute: \d+ of 40 rows, about \d+ s left", line) for line in lines)


@pytest.mark.parametrize("command", ["impute", "embed"])
def test_a_terminal_has_a_bar_of_the_rows(
    command: str, things: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setenv("COLUMNS", "100")
    done = mmt(command, things, new, "--out", tmp_path / "out.csv")
    assert done.status == 0
    assert re.search(rf"{command}\b.*40/40", done.err)


# A filled cell is written as its column writes the class.

RIPE = {"crop": ["rye", "oats", "oats", "rye"] * 5, "ripe": ["no", "yes", "yes", "no"] * 5, "grade": [1.0, 2.0] * 10}


@pytest.fixture(scope="module")
def ripe(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """It learned yes and no, and grades that were stored as floats."""
    run = untrained({"crop": Label(), "ripe": Binary(), "grade": Label()}, tmp_path_factory.mktemp("ripe"), train=RIPE)
    assert run.modalities["grade"] == Label(classes=("1", "2"))
    return run


OWN: dict[str, tuple[list[Any], list[Any]]] = {  # ripe, and grade
    "numbers": ([0, 1, None, None], [2, 1, None, 1]),
    "one number": ([1, 1, None, None], [2, None, None, 2]),
    "floats": ([0.0, 1.0, None, None], [2.0, 1.0, None, 2.0]),
    "truth": ([False, True, None, None], [1, 2, None, 1]),
    "one truth": ([True, True, None, None], [1, 2, None, 1]),
    "words": ([" NO", "Yes", None, None], ["1.00", "2.00", None, "1.00"]),
    "letters": (["N", "Y", None, None], ["1", "2", None, "2"]),
}


def own_table(case: str) -> dict[str, list[Any]]:
    ripe, grade = OWN[case]
    return {"crop": ["rye", None, "oats", "rye"], "ripe": ripe, "grade": grade}


def assert_own(case: str, after: Mapping[str, Sequence[Any]]) -> None:
    """Known cells stay, and the others have the type and a spelling of them."""
    usual = {"one number": [0, 1], "one truth": [False, True]}
    for name, cells in own_table(case).items():
        known = {cell for cell in cells if cell is not None}
        allowed: dict[str, Any] = {"crop": ["rye", "oats"], "ripe": usual.get(case, known), "grade": known | {1}}
        for old, new in zip(cells, after[name], strict=True):
            assert type(new) is type(next(iter(known))), (name, new)
            assert new == old if old is not None else new in allowed[name], (name, new)


@pytest.mark.parametrize("case", OWN)
def test_a_class_is_filled_in_as_a_line_of_json_writes_it(ripe: TrainedRun, tmp_path: Path, case: str) -> None:
    table = own_table(case)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    impute_table(ripe, UserFile.for_run(ripe, {}, path=tmp_path / "t.jsonl"), tmp_path / "o.jsonl")
    assert_own(case, columns_of(tmp_path / "o.jsonl"))


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "dictionary"])
@pytest.mark.parametrize("case", OWN)
def test_a_class_is_filled_in_as_a_typed_column_writes_it(
    ripe: TrainedRun, tmp_path: Path, case: str, coded: bool
) -> None:
    table = pa.table(own_table(case))
    if coded:
        for place, name in enumerate(table.column_names):
            if table[name].type != pa.bool_():  # no format has a dictionary of them
                table = table.set_column(place, name, table[name].dictionary_encode())
    ending = "arrow" if coded else "parquet"  # Parquet has dictionaries of texts alone
    (pa.feather.write_feather if coded else pa.parquet.write_table)(table, tmp_path / f"t.{ending}")
    impute_table(ripe, UserFile.for_run(ripe, {}, path=tmp_path / f"t.{ending}"), tmp_path / f"o.{ending}")
    after = (pa.feather.read_table if coded else pa.parquet.read_table)(tmp_path / f"o.{ending}")
    assert after.schema.types == table.schema.types
    assert_own(case, after.to_pydict())


@pytest.mark.parametrize("case", OWN)
def test_a_class_is_filled_in_as_the_text_writes_it(ripe: TrainedRun, tmp_path: Path, case: str) -> None:
    texts = {name: [None if cell is None else str(cell) for cell in cells] for name, cells in own_table(case).items()}
    lines = [",".join("" if cell is None else cell for cell in row) for row in zip(*texts.values(), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join([",".join(texts), *lines, ""]))
    impute_table(ripe, UserFile.for_run(ripe, {}, path=tmp_path / "t.csv"), tmp_path / "o.csv")
    after = read_csv(tmp_path / "o.csv")
    for name, cells in texts.items():
        partners = {"one number": {"0"}, "one truth": {"False"}}.get(case, set()) if name == "ripe" else set()
        known = {cell for cell in cells if cell} | partners | ({"1"} if "2" in cells else set())
        assert {row[name] for row in after} <= known, name
        assert [row[name] for row, cell in zip(after, cells, strict=True) if cell] == [cell for cell in cells if cell]


@pytest.mark.parametrize("kind", ["dict", "arrow", "pandas object", "pandas category", "polars"])
@pytest.mark.parametrize("case", OWN)
def test_a_class_is_filled_in_as_a_frame_writes_it(ripe: TrainedRun, case: str, kind: str) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = own_table(case)
    make: dict[str, Callable[[Any], Any]] = {
        "dict": dict,
        "arrow": pa.table,
        "pandas object": lambda t: pandas.DataFrame({n: pandas.Series(cells, dtype=object) for n, cells in t.items()}),
        "pandas category": lambda t: pandas.DataFrame({n: _category(pandas, cells) for n, cells in t.items()}),
        "polars": polars.DataFrame,
    }
    frame = make[kind](table)
    after = ripe.impute(frame)
    if kind.startswith("pandas"):
        assert list(after.dtypes) == list(frame.dtypes) or kind == "pandas category"  # it may get a category
        assert_own(case, {name: [_plain(cell) for cell in after[name]] for name in table})
    elif kind == "arrow":
        assert_own(case, after.to_pydict())
    else:
        assert_own(case, after if kind == "dict" else after.to_dict(as_series=False))


def _category(pandas: Any, cells: Sequence[Any]) -> Any:
    """A column of categories that keeps whole numbers and truth in spite of holes."""
    known = pandas.Series([cell for cell in cells if cell is not None])
    categories = pandas.CategoricalDtype(known.drop_duplicates())
    return pandas.Categorical.from_codes(
        [-1 if cell is None else list(categories.categories).index(cell) for cell in cells], dtype=categories
    )


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


@pytest.mark.parametrize("trained", [["1.0", "2.0", "3.0"], [1, 2, 3], [1.0, 2.0, None, 3.0]])
@pytest.mark.parametrize("new", [["1", "2", "", "3"], ["1.0", "2.0", "", "3.0"]])
def test_whole_numbers_are_classes_with_holes_and_without(tmp_path: Path, trained: list[Any], new: list[str]) -> None:
    run = untrained({"grade": Label()}, tmp_path, train={"grade": trained * 3})
    (tmp_path / "new.csv").write_text("\n".join(["grade,x", *(f"{cell},x" for cell in new), ""]))
    impute_table(run, UserFile.for_run(run, {}, path=tmp_path / "new.csv"), tmp_path / "out.csv")
    filled = [row["grade"] for row in read_csv(tmp_path / "out.csv")]
    assert filled[2] in {cell for cell in new if cell}
    assert [filled[place] for place in (0, 1, 3)] == [new[place] for place in (0, 1, 3)]


def test_a_class_is_not_filled_into_a_column_that_would_change_it(tmp_path: Path) -> None:
    run = untrained({"code": Label()}, tmp_path, train={"code": ["007", "1.5"] * 3})
    table = pa.table({"code": pa.array([None, None], pa.int64()), "x": [1, 2]})
    assert run.impute(table)["code"].null_count == 2


def test_many_bad_cells_cost_little(tmp_path: Path) -> None:
    codes = [f"T{n}" for n in range(4000)]
    run = untrained({"code": Label(), "x": Label()}, tmp_path, train={"code": codes, "x": ["a", "b"] * 2000})
    table = {"code": [f"X{n}" for n in range(3000)], "x": [None, "a", "b"] * 1000}
    start = time.process_time()
    assert None not in run.impute(table, on_bad_cell="missing")["x"]
    with pytest.raises(UserError, match="row 1, column code: 'X0' is none of the 4000 classes"):
        run.impute(table)
    assert time.process_time() - start < 8  # 0.3 s on an idle core; 13 s with a text for each


def test_a_fault_of_a_whole_column_is_told_once(run: TrainedRun) -> None:
    with pytest.raises(UserError) as raised:
        run.impute({"the sort": ["?!"] * 50, "price": [None] * 50}, on_bad_cell="error")
    assert_facts(raised.value.faults[0], "row 1, column the sort: '?!' is none of the")
    assert_facts(raised.value.faults[1], "column the sort: 49 more cells have the same fault")
    assert len(raised.value.faults) == 2
