"""`mmt impute` on delimited text: the text of the table, with the filled cells edited."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit import TrainedRun
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.user_table import UserFile
from runs import Ended, mmt
from table_runs import COLUMNS, truth
from untrained import untrained

SORTS = {"mäßig": 3.0, "süß": 7.5, "herb": 1.2}


@pytest.fixture(scope="module")
def run(things: Path) -> TrainedRun:
    return mmtoolkit.load(things)


def impute(run: Path, table: Path, out: Path, *options: str) -> Ended:
    done = mmt("impute", run, table, "--out", out, *options)
    assert done.status == 0, done.err
    return done


def odd_text(folder: Path, holes: float, seed: int) -> str:
    """A table as no writer of CSV would write it: each cell, line end and gap in another style."""
    draw = random.Random(seed)
    parts = ["Harvest 2025" + ";" * (len(COLUMNS) - 1) + "\n", ";".join(f'"{name}"' for name in COLUMNS), "\r\n"]
    for row in truth(30, folder, seed):
        cells = [draw.choice(("", '""', "NA")) if draw.random() < holes else cell for cell in row.values()]
        quoted = [
            cell if cell == '""' or ('"' not in cell and draw.random() < 0.5) else '"' + cell.replace('"', '""') + '"'
            for cell in cells
        ]
        parts += [";".join(quoted), draw.choice(("\n", "\r\n", "\r")), draw.choice(("", "", "\n", "\r\n\r\n"))]
    return "".join(parts) + ";".join(row.values()).replace('"', "")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_text_without_a_filled_cell_comes_back(run: TrainedRun, tmp_path: Path, encoding: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(odd_text(tmp_path, 0, 3).encode(encoding))
    options = ("--set", "data.encoding=cp1252") if encoding == "cp1252" else ()
    impute(run.folder, table, tmp_path / "out.csv", *options)
    assert (tmp_path / "out.csv").read_bytes() == table.read_bytes()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_only_filled_cells_change(run: TrainedRun, tmp_path: Path, encoding: str) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    table.write_bytes(odd_text(tmp_path, 0.3, 4).encode(encoding))
    done = impute(run.folder, table, out)
    assert_facts(done.err, "filled ", "the head is line 2; line 1 is skipped")
    old, new = open_table(table), open_table(out)
    assert isinstance(old, Delimited)
    assert isinstance(new, Delimited)
    assert new.prologue == old.prologue
    for before, after in zip(old.rows_with_lines(64), new.rows_with_lines(64), strict=True):
        for row, (line, other) in enumerate(zip(before.lines, after.lines, strict=True)):
            body, body_after = line.rstrip("\r\n"), other.rstrip("\r\n")
            assert line[len(body) :] == other[len(body_after) :]
            fields, fields_after = ([*old.record_text._fields(text)] for text in (body, body_after))
            for name, field, field_after in zip(old.names, fields, fields_after, strict=True):
                hole = before.cells(name)[row] is None
                assert field == field_after or (hole and name not in ("id", "note"))
                assert field.startswith('"') <= field_after.startswith('"')
    assert all(cell is not None for name in FILLED for cell in new.column(name))


FILLED = ("title", "the sort", "price", "width", "ripe")


def test_new_columns_stand_at_the_end(run: TrainedRun, tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    table.write_bytes(b"price;ripe\r\n2,5;yes\n\n'3,5';no")
    done = impute(run.folder, table, out, "--samples", "3", "--on-bad-cell", "missing", "--set", "data.quote='\"'")
    assert "added" in done.err
    head, first, gap, last = out.read_bytes().split(b"\n")
    assert head.startswith(b"price;ripe;photo;title;the sort;")
    assert head.endswith(b"\r")
    assert (first[:8], gap, last[:9]) == (b"2,5;yes;", b"", b"'3,5';no;")
    assert {line.count(b";") for line in (head, first, last)} == {head.count(b";")}


def test_another_ending_writes_the_rows_anew(run: TrainedRun, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(odd_text(tmp_path, 0.3, 5), encoding="utf-8", newline="")
    impute(run.folder, table, tmp_path / "out.tsv")
    impute(run.folder, table, tmp_path / "out.csv", "--overwrite")
    new, same = (open_table(tmp_path / f"out.{ending}", Reading(missing=())) for ending in ("tsv", "csv"))
    assert new.names == same.names == COLUMNS
    assert [new.column(name) for name in COLUMNS[2:]] == [same.column(name) for name in COLUMNS[2:]]


@pytest.fixture(scope="module")
def tasted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table in cp1252 whose schema says so."""
    folder = tmp_path_factory.mktemp("tasted")
    rows = [f"{sort};{height + n / 100:.2f}" for n in range(20) for sort, height in SORTS.items()]
    (folder / "t.csv").write_bytes("\n".join(["geschmack;höhe", *rows, ""]).encode("cp1252"))
    assert mmt("init", folder / "t.csv", "--encoding", "cp1252").status == 0
    done = mmt("run", folder / "t.yaml", "--out", folder / "run", "--set", "train.epochs=1", "--set", "evaluate=[]")
    assert done.status == 0, done.err
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig", "utf-16"])
def test_each_table_is_read_and_written_in_its_own_encoding(tasted: Path, tmp_path: Path, encoding: str) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    text = "geschmack,höhe\nsüß,7.5\n,3.1\n"
    table.write_bytes(text.encode(encoding))
    done = impute(tasted, table, out)
    filled = out.read_bytes().decode(encoding)
    assert filled.startswith("geschmack,höhe\nsüß,7.5\n")
    assert filled.splitlines()[2].split(",")[0] in SORTS
    assert ("is read as utf" in done.err) == (encoding != "cp1252")
    if encoding != "cp1252":
        done = mmt("embed", tasted, table, "--out", tmp_path / "z.csv")
        assert_facts(done.err, f"{table}: is read as utf-", "not as cp1252")


@pytest.mark.slow
def test_json_keeps_its_own_encoding(tasted: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    for encoding in ("cp1252", "utf-8", "utf-8-sig", "utf-16"):
        table.write_bytes('\n{"geschmack": "süß", "höhe": 7.5}\r\n\n{"höhe": 7.5, "geschmack":"herb"}'.encode(encoding))
        impute(tasted, table, out, "--overwrite")
        assert out.read_bytes() == table.read_bytes()


def test_a_prediction_that_the_encoding_lacks_stays_missing(tmp_path: Path) -> None:
    run = untrained({"crop": Label(classes=("rye", "日本"))}, tmp_path, train={"crop": ["rye", "日本"]})
    decoder = run.model.decoders.of("crop")
    with torch.no_grad():
        [*decoder.parameters()][-1].copy_(torch.tensor([-50.0, 50.0]))  # it predicts the second class alone
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    table.write_bytes("crop;süß\nrye;1\n;2\n".encode("cp1252"))
    notes = impute_table(run, UserFile.for_run(run, {"encoding": "cp1252"}, path=table), out)
    assert out.read_bytes() == table.read_bytes()
    assert_facts(notes[0], "filled no cell")
    assert_facts(notes[1], "crop that stay missing: 1; ", "cp1252")


def test_a_class_of_the_run_is_a_value_in_a_text_table(tmp_path: Path) -> None:
    """A run on a frame knows NA, Namibia, as a class; in a CSV file NA is a sign of a missing cell by default."""
    run = untrained({"country": Label(classes=("DE", "NA"))}, tmp_path, train={"country": ["DE", "NA"]})
    path, out = tmp_path / "t.csv", tmp_path / "out.csv"
    path.write_text("country,x\nNA,1\nDE,2\nNA,3\n,4\n")
    (note,) = [line for line in impute_table(run, UserFile.for_run(run, {}, path=path), out) if "a class" in line]
    assert_facts(note, "t.csv: ", "country", "values", "2 NA", "; ", 'missing: ["", "NA"')
    assert out.read_text().startswith("country,x\nNA,1\nDE,2\nNA,3\n")
    signs = {"missing": ["", "NA"]}
    lines = impute_table(run, UserFile.for_run(run, signs, path=path), out, overwrite=True)
    assert not any("a class" in line for line in lines)
