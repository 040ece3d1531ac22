"""`mmt impute` on tables of every form: what nobody asked to fill stays as it was."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from facts import assert_facts
from mmtoolkit.tables import open_table
from runs import Ended, mmt
from table_runs import COLUMNS, truth, with_holes

NUMBERS = ("price", "width", "height")


def typed(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Rows with null for missing cells and with numbers."""
    known = [{name: cell if cell not in ("", "NA") else None for name, cell in row.items()} for row in rows]
    return [
        {name: float(cell) if name in NUMBERS and cell is not None else cell for name, cell in row.items()}
        for row in known
    ]


@pytest.fixture
def whole(tmp_path: Path) -> list[dict[str, Any]]:
    return typed(truth(8, tmp_path, 5))


@pytest.fixture
def holed(tmp_path: Path) -> list[dict[str, Any]]:
    rows = typed(with_holes(truth(8, tmp_path, 5), 0.4))
    return [row | {"photo": f"pictures/{place}.png"} for place, row in enumerate(rows)]


def impute(things: Path, table: Path, out: Path) -> Ended:
    done = mmt("impute", things, table, "--out", out)
    assert done.status == 0, done.err
    return done


def workbook(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows, with the sum of width and height as a formula in the place of the note."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(COLUMNS)
    for place, row in enumerate(rows, 2):
        sheet.append([*list(row.values())[:-1], f"=F{place}+G{place}"])
    book.create_sheet("more")["A1"] = "=SUM(Sheet!F2:F9)"
    book.save(path)
    return path


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["json", "jsonl", "json.gz", "jsonl.zst", "xlsx"])
def test_a_table_without_holes_comes_back_as_it_was(
    things: Path, whole: list[dict[str, Any]], tmp_path: Path, ending: str
) -> None:
    path, out = tmp_path / f"t.{ending}", tmp_path / f"u.{ending}"
    if ending == "xlsx":
        workbook(path, whole)
    elif "." in ending:
        mmt("impute", things, plain(tmp_path / f"p.{ending.split('.')[0]}", whole), "--out", path)
    else:
        plain(path, whole)
    assert "no cell" in impute(things, path, out).err
    if ending == "xlsx":
        assert parts(out) == parts(path)
    else:
        assert out.read_bytes() == path.read_bytes()


def plain(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON in the manner of many programs, or as lines."""
    lines = path.suffix == ".jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=2))
    return path


def test_only_the_holes_of_an_array_are_filled(things: Path, holed: list[dict[str, Any]], tmp_path: Path) -> None:
    path = plain(tmp_path / "t.json", holed)
    impute(things, path, tmp_path / "u.json")
    old, new = path.read_text().split("\n"), (tmp_path / "u.json").read_text().split("\n")
    assert len(old) == len(new)
    for before, after in zip(old, new, strict=True):
        if "null" in before and "note" not in before:
            assert re.sub(r": .*?(,?)$", r": null\1", after) == before
            assert "null" not in after
        else:
            assert after == before


def test_only_the_holes_of_a_sheet_are_filled(things: Path, holed: list[dict[str, Any]], tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", holed)
    done = impute(things, path, tmp_path / "u.xlsx")
    assert_facts(done.err, "filled ", "first sheet, 'Sheet'", "more")
    old, new = openpyxl.load_workbook(path), openpyxl.load_workbook(tmp_path / "u.xlsx")
    assert new.sheetnames == ["Sheet", "more"]
    assert new["more"]["A1"].value == "=SUM(Sheet!F2:F9)"
    for row in new["Sheet"].iter_rows():
        for cell in row:
            before = old["Sheet"][cell.coordinate].value
            assert cell.value is not None
            assert before in (None, cell.value)
    assert {type(cell.value) for cell in new["Sheet"]["E"][1:]} <= {float, int}


def test_a_formula_is_never_filled(things: Path, whole: list[dict[str, Any]], tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", whole)
    book = openpyxl.load_workbook(path)
    book["Sheet"]["E2"], book["Sheet"]["E3"] = "=1/0", None
    book.save(path)
    done = impute(things, path, tmp_path / "u.xlsx")
    assert_facts(done.err, "filled 1 of price\n", "cells of price that stay missing: 1", "formula")
    sheet = openpyxl.load_workbook(tmp_path / "u.xlsx")["Sheet"]
    assert sheet["E2"].value == "=1/0"
    assert sheet["E3"].value is not None


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "parquet", "xlsx", "csv.bz2"])
@pytest.mark.parametrize("start", ["json", "xlsx", "parquet"])
def test_a_table_is_written_in_another_format(
    things: Path, holed: list[dict[str, Any]], tmp_path: Path, start: str, ending: str
) -> None:
    path, out = tmp_path / f"t.{start}", tmp_path / f"u.{ending}"
    if start == "json":
        plain(path, holed)
    elif start == "xlsx":
        workbook(path, holed)
    else:
        pa.parquet.write_table(pa.Table.from_pylist(holed), path)
    impute(things, path, out)
    table = open_table(out)
    assert table.names == COLUMNS
    for name in COLUMNS[:-1]:
        for row, cell in zip(holed, table.column(name), strict=True):
            assert cell is not None
            if row[name] is not None:
                assert float(cell) == row[name] if name in NUMBERS else str(cell) == row[name], name


@pytest.mark.slow
def test_a_folder_is_filled_part_by_part(things: Path, holed: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, rows in (("b", holed[3:]), ("a", holed[:3])):
        path = tmp_path / "parts" / f"{name}.parquet"
        pa.parquet.write_table(pa.Table.from_pylist(rows, pa.Table.from_pylist(holed).schema), path)
    rows = [row | {"photo": f"../{row['photo']}"} for row in holed]
    done = mmt("impute", things, tmp_path / "parts", "--out", tmp_path / "filled", "--on-bad-cell", "error")
    assert done.status == 2  # the pictures lie outside the folder
    assert_facts(done.err, f"{tmp_path / 'parts' / 'a.parquet'}, row 1, column photo: ")
    for name in ("a", "b"):
        part = rows[:3] if name == "a" else rows[3:]
        pa.parquet.write_table(
            pa.Table.from_pylist(part, pa.Table.from_pylist(rows).schema), tmp_path / "parts" / f"{name}.parquet"
        )
    words = (things, tmp_path / "parts", "--set", "data.files_outside=true")
    done = mmt("impute", *words, "--out", tmp_path / "filled")
    assert done.status == 0, done.err
    filled = {path.name: pa.parquet.read_table(path) for path in (tmp_path / "filled").iterdir()}
    assert {name: len(table) for name, table in filled.items()} == {"a.parquet": 3, "b.parquet": 5}
    assert filled["a.parquet"]["price"].null_count == 0
    assert mmt("impute", *words, "--out", tmp_path / "filled").status == 2
    assert mmt("impute", *words, "--out", tmp_path / "filled", "--overwrite").status == 0
    assert mmt("impute", *words, "--out", tmp_path / "one.parquet").status == 0
    assert len(pa.parquet.read_table(tmp_path / "one.parquet")) == 8
    assert mmt("embed", *words, "--out", tmp_path / "z").status == 0
    assert sorted(path.name for path in (tmp_path / "z").iterdir()) == ["a.parquet", "b.parquet"]


def test_the_odd_cell_of_json_is_named(things: Path, tmp_path: Path) -> None:
    for name, text in (
        ("t.jsonl", '{"the sort": "apple"}\n\n{"the sort": ["apple"]}\n'),
        ("t.json", '[{"the sort": "apple"}, {"the sort": ["apple"]}]'),
    ):
        (tmp_path / name).write_text(text)
        done = mmt("embed", things, tmp_path / name, "--out", tmp_path / "z.csv", "--on-bad-cell", "error")
        assert_facts(done.err, f"{tmp_path / name}, row 2, column the sort: ", "['apple']", "; ")
