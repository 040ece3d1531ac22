"""`mmt init` on tables of every form."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from facts import assert_facts
from mmtoolkit.data.dataset import prepare
from mmtoolkit.schema.schema import Schema, read_schema
from runs import mmt

ROWS: list[dict[str, Any]] = [
    {"crop": ("rye", "oats", None)[k % 3], "height": k / 7, "plants": k % 5 + k % 11 * 3, "ripe": k % 2 == 0}
    for k in range(60)
]
KINDS = {"crop": "label", "height": "numeric", "plants": "numeric", "ripe": "binary"}


def first(path: Path, *options: str) -> tuple[Schema, str]:
    """The schema that is written, after its data are read; and the notes."""
    done = mmt("init", path, *options)
    assert done.status == 0, done.err
    schema = read_schema(path.parent / "t.yaml")
    splits = prepare(schema.data, schema.modalities, schema.at).splits
    assert sum(len(split) for split in splits.values()) == len(ROWS)
    return schema, done.err


def kinds(schema: Schema) -> dict[str, str]:
    return {name: modality.kind for name, modality in schema.modalities.items()}


def workbook(path: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.title = "about"
    book.active.append(["made by hand"])
    sheet = book.create_sheet("field")
    for row in (list(ROWS[0]), *(list(row.values()) for row in ROWS)):
        sheet.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.json.gz", "t.parquet"])
def test_a_first_schema_is_the_same_in_each_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "t.parquet":
        pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        text = "\n".join(map(json.dumps, ROWS)) if name == "t.jsonl" else json.dumps(ROWS)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    schema, notes = first(path)
    assert (kinds(schema), schema.name, notes) == (KINDS, "t", "")


def test_a_sheet(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx")
    schema, notes = first(path, "--sheet", "field")
    assert (kinds(schema), notes) == (KINDS, "")
    assert schema.data.model_dump()["sheet"] == "field"
    done = mmt("init", path, "--overwrite")
    assert_facts(done.err, "t.xlsx", "no rows")
    done = mmt("init", path, "--sheet", "fields", "--overwrite")
    assert_facts(done.err, "t.xlsx", "'fields'", "did you mean 'field'?", "about, field")
    book = openpyxl.load_workbook(path)
    book.move_sheet("field", -1)
    book.save(path)
    schema, notes = first(path, "--overwrite")
    assert kinds(schema) == KINDS
    assert_facts(notes, "t.xlsx", "first sheet, 'field'", "about", "sheet")


@pytest.mark.parametrize("pattern", ["", "*.parquet"])
def test_a_folder(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    for part in range(3):
        pa.parquet.write_table(pa.Table.from_pylist(ROWS[20 * part : 20 * part + 20]), folder / f"{part}.parquet")
    done = mmt("init", folder / pattern, "--out", tmp_path / "t.yaml")
    assert done.status == 0, done.err
    schema = read_schema(tmp_path / "t.yaml")
    assert (kinds(schema), schema.name) == (KINDS, "t")
    assert [path.name for path in schema.data.files()] == ["0.parquet", "1.parquet", "2.parquet"]
    assert sum(len(split) for split in prepare(schema.data, schema.modalities, schema.at).splits.values()) == 60
    assert mmt("init", folder / pattern).status == (0 if pattern else 2)  # t.yaml stands beside the folder


@pytest.mark.parametrize("odd", [["rye"], {"rye": 1}])
def test_the_odd_cell_of_a_column_is_named(tmp_path: Path, odd: Any) -> None:
    rows = [*ROWS[:7], {**ROWS[7], "crop": odd}, *ROWS[8:]]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = mmt("init", tmp_path / "t.jsonl")
    assert done.status == 0
    text = (tmp_path / "t.yaml").read_text()
    assert_facts(text, "# column crop: ", "no modality", "str: rye, oats", "row 8", type(odd).__name__, str(odd))
