"""`mmt sample --out TABLE`: samples in the columns that the modalities are read from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image

import mmtoolkit
from facts import assert_facts
from runs import mmt
from table_runs import SORTS, read_csv, truth

HEAD = ["photo", "title", "the sort", "price", "width", "height", "ripe", "sweet", "sour"]


def test_a_vector_is_spread_over_its_columns(things: Path, tmp_path: Path) -> None:
    done = mmt("sample", things, "-n", "4", "--out", tmp_path / "s.csv")
    assert done.status == 0, done.err
    rows = read_csv(tmp_path / "s.csv")
    assert list(rows[0]) == HEAD
    assert len(rows) == 4
    for place, row in enumerate(rows):
        assert row["the sort"] in SORTS
        assert row["ripe"] in ("yes", "no")
        assert {row["sweet"], row["sour"]} <= {"0", "1"}
        assert float(row["width"]) != float(row["height"])
        assert row["photo"] == f"s_images/{place:05}_0_photo.png"
        assert Image.open(tmp_path / row["photo"]).size == (8, 8)


@pytest.mark.parametrize("ending", ["parquet", "feather", "jsonl"])
def test_types(things: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"s.{ending}"
    assert mmt("sample", things, "-n", "3", "--out", out).status == 0
    if ending == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        table = pa.parquet.read_table(out) if ending == "parquet" else pa.feather.read_table(out)
        assert table.schema.field("price").type == pa.float64()
        assert table.schema.field("the sort").type == pa.string()
        rows = table.to_pylist()
    assert [list(row) for row in rows] == [HEAD] * 3
    assert all(isinstance(row["width"], int) and isinstance(row["sweet"], str) for row in rows)


def test_any_modalities_are_given_together(things: Path, tmp_path: Path) -> None:
    photo = tmp_path / truth(3, tmp_path)[1]["photo"]
    given = {
        "photo": photo,
        "title": "apple",
        "sort": "plum",
        "price": "2.5",
        "size": "{width: 2}",
        "traits": "{sweet: 1}",
    }
    words = [word for name, value in given.items() for word in ("--given", f"{name}={value}")]
    done = mmt("sample", things, *words, "-n", "9", "--out", tmp_path / "out" / "s.csv")
    assert done.status == 0, done.err
    rows = read_csv(tmp_path / "out" / "s.csv")
    assert {(row["title"], row["the sort"], row["price"], row["width"], row["sweet"]) for row in rows} == {
        ("apple", "plum", "2.5", "2", "1")
    }
    assert len({row["height"] for row in rows}) > 1  # what is unknown of a vector is drawn
    run = mmtoolkit.load(things)
    for row in rows:
        copy = Image.open(tmp_path / "out" / row["photo"])
        assert np.array_equal(np.asarray(copy), np.asarray(Image.open(photo).convert("L")))
        assert run.modalities["photo"].parse(copy).shape == (1, 8, 8)


def test_a_table_of_samples_is_a_table_for_the_run(things: Path, tmp_path: Path) -> None:
    assert mmt("sample", things, "-n", "3", "--out", tmp_path / "s.csv").status == 0
    assert mmt("impute", things, tmp_path / "s.csv", "--out", tmp_path / "i.csv", "--on-bad-cell", "error").status == 0
    assert (tmp_path / "i.csv").read_bytes() == (tmp_path / "s.csv").read_bytes()


def test_nothing_that_is_there_is_replaced_unasked(things: Path, tmp_path: Path) -> None:
    for name in ("s.csv", "s.png"):
        (tmp_path / name).write_text("mine")
        done = mmt("sample", things, "-n", "2", "--out", tmp_path / name)
        assert done.status == 2
        assert_facts(done.err, f"{tmp_path / name}: ", "already; ", "--overwrite", "--out")
        assert (tmp_path / name).read_text() == "mine"
    done = mmt("sample", things, "--given", "photo", "--out", tmp_path / "s.png")
    assert (done.status, (tmp_path / "s.png").read_text()) == (2, "mine")

    picture = tmp_path / "new_images" / "00000_0_photo.png"
    picture.parent.mkdir()
    picture.write_text("mine")
    done = mmt("sample", things, "-n", "2", "--out", tmp_path / "new.csv")
    assert done.status == 2
    assert_facts(done.err, f"{picture.parent}: ", "already", "; ", "--overwrite")
    assert picture.read_text() == "mine"
    assert not (tmp_path / "new.csv").exists()

    commands: list[list[str | Path]] = [
        ["--out", tmp_path / "new.csv"],
        ["--given", "photo", "--out", tmp_path / "s.png"],
    ]
    for words in commands:
        done = mmt("sample", things, "-n", "2", *words, "--overwrite")
        assert done.status == 0, done.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
