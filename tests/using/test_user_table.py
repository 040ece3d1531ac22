"""A table that you give to a trained run: every option of reading works wherever a table is read."""

from __future__ import annotations

import gzip
import inspect
import io
import json
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image

import mmtoolkit
from facts import assert_facts
from mmtoolkit import DataWarning, TrainedRun, UserError
from mmtoolkit.base.described import descriptions
from mmtoolkit.cli.init import init
from mmtoolkit.data.dataset import prepare
from mmtoolkit.evaluators import Elbo
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.sources import Arrays, TableSource
from mmtoolkit.tables import Reading
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFile, UserFrame, file_as_set
from runs import mmt

ROWS = "".join(f"{row**2 % 29},a.png,plain\n" for row in range(1, 13))
TABLES: dict[str, tuple[str, bytes, Any]] = {
    "format": ("t.txt", f"price,photo,note\n{ROWS}".encode(), "csv"),
    "delimiter": ("t.csv", f"price,photo,note\n{ROWS}".replace(",", "/").encode(), "/"),
    "quote": ("t.csv", f"price,photo,note\n{ROWS}".replace("plain", "~plain, as is~").encode(), "~"),
    "head": ("t.csv", f"Harvest,2025,on\nprice,photo,note\n{ROWS}".encode(), 2),
    "encoding": ("t.csv", f"price,photo,note\n{ROWS}13,a.png,é\n".encode("latin-1"), "latin-1"),
    "sheet": ("t.xlsx", b"", "prices"),
    "missing": ("t.csv", f"price,photo,note\n{ROWS}?,a.png,\n".encode(), ["?", ""]),
    "absent_files": ("t.csv", f"price,photo,note\n{ROWS}13,gone.png,\n".encode(), "missing"),
    "files_outside": ("t.csv", f"price,photo,note\n{ROWS}13,../b.png,\n".encode(), True),
}
"""Option -> a table that is read with it alone: its file's name, its bytes, and the option's value."""
OF_INIT = [
    key for key in Reading.model_fields if key in {name.strip("_") for name in inspect.signature(init).parameters}
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder := tmp_path / "tables").mkdir()
    for path in (folder / "a.png", tmp_path / "b.png"):
        Image.new("L", (8, 8)).save(path)
    monkeypatch.chdir(folder)
    return folder


def write_table(folder: Path, key: str) -> tuple[Path, Any]:
    name, content, value = TABLES[key]
    (folder / name).write_bytes(content or workbook())
    return folder / name, value


def workbook() -> bytes:
    """An Excel file whose first sheet is no table of prices."""
    book = openpyxl.Workbook()
    book.active.append(["about"])
    sheet = book.create_sheet("prices")
    sheet.append(["price", "photo", "note"])
    for row in range(1, 13):
        sheet.append([row**2 % 29, "a.png", "plain"])
    book.save(file := io.BytesIO())
    return file.getvalue()


def present(run: TrainedRun, table: UserFile | UserFrame, name: str) -> list[bool]:
    place = list(run.modalities).index(name)
    return [bool(row) for piece in RunTable.of(run, table).pieces() for row in piece.present[:, place]]


def test_every_option_has_a_table_that_needs_it() -> None:
    assert list(TABLES) == list(Reading.model_fields)
    assert OF_INIT == ["format", "delimiter", "quote", "head", "encoding", "sheet"]


@pytest.mark.slow
@pytest.mark.parametrize("key", Reading.model_fields)
def test_an_option_of_a_source(things: Path, folder: Path, key: str) -> None:
    path, value = write_table(folder, key)
    run = mmtoolkit.load(things)
    modalities = {name: run.modalities[name] for name in ("price", "photo")}
    with pytest.raises(UserError):
        prepare(TableSource(path={"train": path}), modalities)
    data = prepare(TableSource.model_validate({"path": {"train": path}, key: value}), modalities)
    assert data.splits["train"].present[:12].all()
    assert descriptions(TableSource)[key] == descriptions(Reading)[key]


@pytest.mark.slow
@pytest.mark.parametrize("key", Reading.model_fields)
def test_an_option_of_a_table_that_is_given_to_a_run(things: Path, folder: Path, key: str) -> None:
    path, value = write_table(folder, key)
    setting = ("--set", f"data.{key}={json.dumps(value)}")
    for command in ("embed", "impute"):
        words = (command, things, path, "--out", f"{command}.csv", "--on-bad-cell", "error")
        assert mmt(*words).status == 2
        done = mmt(*words, *setting)
        assert done.status == 0, done.err
    copy = shutil.copytree(things, folder / "run")  # the run keeps its scores
    done = mmt("evaluate", copy, path, "--on-bad-cell", "error", "--set", "evaluate=[{kind: elbo}]", *setting)
    assert done.status == 0, done.err
    run = mmtoolkit.load(things)
    with pytest.raises(UserError):
        run.evaluate_on(path, [Elbo()], on_bad_cell="error")
    assert run.evaluate_on(path, [Elbo()], on_bad_cell="error", **{key: value})[0]["results"]


@pytest.mark.parametrize("key", OF_INIT)
def test_an_option_of_a_first_schema(folder: Path, key: str) -> None:
    path, value = write_table(folder, key)
    done = mmt("init", path, f"--{key}", str(value))
    assert done.status == 0, done.err
    schema = read_schema(folder / "t.yaml")
    assert getattr(schema.data, key) == value
    assert "price" in schema.modalities


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "arrow"])
def test_the_same_cells_are_missing_in_every_format(things: Path, folder: Path, ending: str) -> None:
    table, path = pa.table({"the sort": ["apple", "?", "NA"]}), folder / f"t.{ending}"
    if ending == "parquet":
        pa.parquet.write_table(table, path)
    elif ending == "arrow":
        pa.feather.write_feather(table, path)
    elif ending == "csv":
        path.write_text("the sort\napple\n?\nNA\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    run = mmtoolkit.load(things)
    user_file = file_as_set(run, path, ["data.missing=['?', NA]"], "error")
    assert present(run, user_file, "sort") == [True, False, False]
    frame = UserFrame.for_run(run, {"missing": ("?", "NA")}, "error", data=table)
    assert present(run, frame, "sort") == [True, False, False]
    with pytest.raises(UserError, match=r"row 2, column the sort: .*'\?'"):
        present(run, file_as_set(run, path, [], "error"), "sort")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl"])
def test_text_may_be_in_any_encoding(things: Path, folder: Path, ending: str) -> None:
    text = '{"title": "é"}\n' if ending == "jsonl" else "title\né\n"
    path, run = folder / f"t.{ending}", mmtoolkit.load(things)
    for encoding in ("utf-16", "utf-8-sig", "cp1252"):
        content = text.encode(encoding)
        path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
        for options in ({}, {"encoding": "cp1252"}):
            user_file = UserFile.for_run(run, options, path=path)
            if encoding == "cp1252" and not options:
                with pytest.raises(UserError, match=r"; .*encoding.*cp1252"):
                    present(run, user_file, "title")
            else:
                assert user_file.rows.column("title") == ["é"]


def test_it_is_read_as_the_runs_own_data_and_opened_late(things: Path, folder: Path) -> None:
    run = mmtoolkit.load(things)
    user_file = UserFile.for_run(run, {}, path="gone.csv")
    assert user_file.on_bad_cell == run.source.on_bad_cell == "missing"
    assert user_file.path == folder / "gone.csv"
    assert user_file.missing == run.source.reading().missing  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"gone\.csv: .*no such file; "):
        user_file.rows  # noqa: B018


def test_a_run_on_arrays_keeps_its_texts_for_a_missing_cell(tmp_path: Path) -> None:
    assert Arrays.of({"a": ["1", "?"]}, missing=("?",)).reading() == Reading(missing=("?",))


def test_numbers_may_stand_for_a_missing_cell() -> None:
    assert Reading.model_validate({"missing": [-1, 9.5]}).missing == ("-1", "9.5")


def test_options_that_do_not_fit_in_python(things: Path, folder: Path) -> None:
    run = mmtoolkit.load(things)
    frame = {"price": [1.0]}
    for call, *facts in (
        (
            lambda: run.embed(frame, absent_file="x"),
            "absent_file: ",
            "'absent_files'",
            "missing, absent_files, on_bad_cell",
        ),
        (lambda: run.impute(frame, encoding="cp1252"), "encoding: ", "; ", "missing, absent_files, on_bad_cell"),
        (lambda: run.evaluate_on("t.csv", encoding="klingon"), "encoding: ", "'klingon'", "; ", "utf-8"),
        (lambda: run.evaluate_on("t.csv", absent_files="no"), "absent_files: ", "'error' or 'missing'", "'no'", "; "),
    ):
        with pytest.raises(UserError) as raised:
            call()
        assert_facts(str(raised.value), *facts)


def test_notes_on_a_table_name_its_file(things: Path, folder: Path) -> None:
    (folder / "t.csv").write_text("price\n1\ndear\n")
    lines: list[str] = []
    run = mmtoolkit.load(things, say=lines.append)
    with pytest.warns(DataWarning) as warned:
        run.evaluate_on("t.csv", [Elbo()])
    assert_facts(lines[0], f"preparing {folder / 't.csv'}: ", "2 rows", "photo, title, ")
    assert warned[0].filename == __file__
    note = str(warned[0].message)
    assert_facts(note, f"{folder / 't.csv'}, column price: ", "1 of 2 cells", f"{folder / 't.csv'}, row 2: 'dear'")
    assert not any("train" in line for line in lines)
    lines.clear()
    run.evaluate_on("t.csv", [Elbo()])
    assert not any(line.startswith("preparing") for line in lines)  # from the cache
    run.evaluate_on("t.csv", [Elbo()], missing=("dear",))
    assert any(line.startswith("preparing") for line in lines)
