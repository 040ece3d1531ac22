"""Predicted numbers are written as the column of the user's table writes its own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmt_attributes import Label, Numeric
from mmtoolkit import TrainedRun
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.sampling import write_samples
from mmtoolkit.using.user_table import UserFile
from table_runs import read_csv
from untrained import untrained

CROPS = ["oats", "rye", "oats"]


def run_on(folder: Path, cells: Sequence[Any], **options: Any) -> TrainedRun:
    """A run that has learned a column of numbers beside a label."""
    crops = [CROPS[place % 3] for place in range(len(cells))]
    return untrained({"x": Numeric(**options), "crop": Label()}, folder, train={"x": list(cells), "crop": crops})


def filled(run: TrainedRun, folder: Path, text: str, ending: str = "csv", **options: Any) -> str:
    """The text of a table after its cells are filled."""
    table, out = folder / f"t.{ending}", folder / f"out.{ending}"
    table.write_text(text, encoding="utf-8")
    impute_table(run, UserFile.for_run(run, options, path=table), out, overwrite=True)
    return out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("learned", "known", "pattern"),
    [
        (["77", "10", "33", "8"], ["69", "74"], r"[0-9]+"),
        (["1750464000", "1724889600", "1728345600"], ["1735689600"], r"1[0-9]{9}"),
        (["7.25", "8.50", "9.75"], ["7.60", "8.10"], r"[0-9]\.[0-9]{2}"),
        (["7.25", "8.5", "9"], ["7.6", "8"], r"[0-9](\.[0-9])?"),
        (["0.00002", "0.00005"], ["0.00003"], r"0\.[0-9]{5}"),
        (["1.5e-07", "2.25e-07", "3.1e-07"], ["1.50e-07", "2.25e-07"], r"[0-9]\.[0-9]{2}e-07"),
        (["1.5E5", "2.2E5"], ["1.5E5", "2.2E5"], r"[0-9]\.[0-9]E5"),
    ],
)
def test_a_fill_in_a_text_is_spelled_like_the_known_cells(
    tmp_path: Path, learned: list[str], known: list[str], pattern: str
) -> None:
    run = run_on(tmp_path, learned)
    rows = "".join(f"oats,{cell}\n" for cell in [*known, "", ""])
    lines = filled(run, tmp_path, f"crop,x\n{rows}").splitlines()
    assert lines[1:-2] == [f"oats,{cell}" for cell in known]
    for line in lines[-2:]:
        assert re.fullmatch(f"oats,{pattern}", line), line


def test_the_spelling_is_that_of_the_table_and_not_of_the_training_cells(tmp_path: Path) -> None:
    run = run_on(tmp_path, ["7.25", "8.5", "9.75"])
    (cell,) = [line.split(",")[1] for line in filled(run, tmp_path, "crop,x\noats,8\nrye,\n").splitlines()[2:]]
    assert cell.isdigit()


@pytest.mark.parametrize(
    ("marks", "known"),
    [
        ({"decimal": ",", "thousands": "."}, ["7.360", "651", "12.345"]),
        ({"decimal": ",", "thousands": None}, ["7,25", "8,50"]),
        ({"decimal": ".", "thousands": ","}, ['"7,360.5"', '"12,345.2"']),
        ({"decimal": ",", "thousands": "\u202f"}, ["7\u202f360", "12\u202f345"]),
    ],
)
def test_marks_are_those_of_the_column(tmp_path: Path, marks: dict[str, Any], known: list[str]) -> None:
    run = run_on(tmp_path, [cell.strip('"') for cell in known], **marks)
    rows = "".join(f"oats;{cell}\n" for cell in [*known, ""])
    text = filled(run, tmp_path, f"crop;x\n{rows}", delimiter=";")
    last = text.splitlines()[-1].split(";")[1].strip('"')
    number = run.modalities["x"].parse(last).item()
    digits = {len(cell.strip('"').partition(marks["decimal"])[2]) for cell in known}
    assert len(last.partition(marks["decimal"])[2]) in digits
    if marks["thousands"] and number >= 1000:
        assert marks["thousands"] in last


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_column_that_the_table_lacks_has_the_learned_decimals(tmp_path: Path, ending: str) -> None:
    whole, fractions = (run_on(tmp_path, cells) for cells in (["1750464000", "1724889600"], ["7.5", "8.1", "9.4"]))
    text = "crop\noats\n" if ending == "csv" else '{"crop": "oats"}\n'
    for run, decimals in ((whole, 0), (fractions, 1)):
        answer = filled(run, tmp_path, text, ending)
        cell = answer.splitlines()[-1].split(",")[1] if ending == "csv" else str(json.loads(answer)["x"])
        assert "e" not in cell
        assert len(cell.partition(".")[2]) <= decimals
    comma = run_on(tmp_path, ["7,5", "8,1", "9,4"], decimal=",")
    answer = filled(comma, tmp_path, text, ending)
    if ending == "csv":
        assert '"' in answer
        assert comma.modalities["x"].parse(answer.split('"')[1]).item() < 12
    else:
        assert isinstance(json.loads(answer)["x"], float)


def test_numbers_of_json_keep_their_type(tmp_path: Path) -> None:
    run = run_on(tmp_path, [1.5, 2.25, 3.75])
    ints = filled(run, tmp_path, '{"crop": "oats", "x": 4}\n{"crop": "rye", "x": null}\n', "jsonl")
    floats = filled(run, tmp_path, '{"crop": "oats", "x": 4.0}\n{"crop": "rye", "x": null}\n', "jsonl")
    assert isinstance(json.loads(ints.splitlines()[1])["x"], int)
    assert isinstance(json.loads(floats.splitlines()[1])["x"], float)


def test_typed_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    whole = run_on(tmp_path, [41, 42, 47])
    frame = whole.impute(pandas.DataFrame({"crop": ["oats", "rye"], "x": [42.0, None]}))
    assert frame["x"].dtype == float
    assert frame["x"][1].is_integer()
    assert isinstance(whole.impute({"crop": ["oats", "rye"], "x": [42, None]})["x"][1], int)
    cents = run_on(tmp_path, [4.1, 4.2, 4.75])
    number = cents.impute({"crop": ["oats", "rye"], "x": [4.3, None]})["x"][1]
    assert number == round(number, 2)
    number = cents.impute({"crop": ["oats", "rye"], "x": [4.3125, None]})["x"][1]
    assert number != round(number, 2)  # the table has more decimals
    money = cents.impute({"crop": ["oats", "rye"], "x": [Decimal("4.30"), None]})["x"][1]
    assert money.as_tuple().exponent == -2
    table = pa.table({"crop": ["oats", "rye"], "x": pa.array([Decimal("4.300"), None], pa.decimal128(9, 3))})
    assert cents.impute(table)["x"].type == pa.decimal128(9, 3)


def test_a_run_without_decimals_is_as_it_was(tmp_path: Path) -> None:
    run = run_on(tmp_path, [1, 2], mean=(1.23456,), std=(2.0,))
    assert run.modalities["x"].decimals is None  # type: ignore[attr-defined]
    assert not float(filled(run, tmp_path, "crop,x\noats,8\nrye,\n").splitlines()[2].split(",")[1]).is_integer()


def test_samples_have_the_learned_decimals(tmp_path: Path) -> None:
    run = run_on(tmp_path, ["1750464000", "1724889600"])
    write_samples(run.modalities, run.sample(4), tmp_path / "s.csv")
    assert all(row["x"].lstrip("-").isdigit() for row in read_csv(tmp_path / "s.csv"))
    comma = run_on(tmp_path, ["1.750,5", "1.724,25"], decimal=",", thousands=".")
    write_samples(comma.modalities, comma.sample(4), tmp_path / "c.csv")
    write_samples(comma.modalities, comma.sample(4), tmp_path / "c.parquet")
    assert all(len(row["x"].partition(",")[2]) <= 2 for row in read_csv(tmp_path / "c.csv"))
    assert pa.parquet.read_schema(tmp_path / "c.parquet").field("x").type == pa.float64()
