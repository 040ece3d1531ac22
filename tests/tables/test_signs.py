"""Signs of missing cells: texts, and numbers however they are stored or written."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from mmtoolkit import Reading
from mmtoolkit.tables import open_table
from mmtoolkit.tables.frames import frame_of
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.signs import Signs
from mmtoolkit.tables.summary import summarise_columns

SAME: dict[str, list[Any]] = {
    "texts": ["-99", "-99.0", " -99.00 ", "-99.5", "-099", "99", "-990", "x", "", None],
    "integers": [-99, 99, -990],
    "floats": [-99.0, -99.5, float("nan")],
    "decimals": [Decimal("-99.00"), Decimal("-99.50")],
    "yes and no": [True, False],
}
SHOWN = {"texts": 3, "integers": 1, "floats": 1, "decimals": 1, "yes and no": 0}


@pytest.mark.parametrize("kind", SAME)
def test_a_cell_is_a_sign_if_it_is_the_same_number(kind: str) -> None:
    cells, signs = SAME[kind], Signs(["-99"])
    shown = SHOWN[kind]
    assert [signs.shown(cell) for cell in cells] == ["-99"] * shown + [None] * (len(cells) - shown)
    assert list(signs.without(cells))[:shown] == [None] * shown
    assert sum(signs.counts(cells).values()) == shown
    array = pa.array(cells)
    assert list(Rows({"a": array}, ["-99"]).cells("a"))[shown:][:1] == cells[shown : shown + 1]
    assert Rows({"a": array}, ["-99"]).signs("a") == ({"-99": shown} if shown else {})
    assert list(Rows({"a": cells}, ["-99"]).cells("a"))[:shown] == [None] * shown


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string()]
)
def test_signs_in_typed_columns(kind: pa.DataType) -> None:
    array = pa.array(["9", "99", "100"]).cast(kind)
    rows = Rows({"a": array}, ["99", "99.9", "1e30", "-1", "99999999999999999999"])
    assert [cell is None for cell in rows.cells("a")] == [False, True, False]
    assert [cell is None for cell in Rows({"a": array.dictionary_encode()}, ["99"]).cells("a")] == [False, True, False]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_sign_that_no_float_holds_exactly(kind: Any) -> None:
    signs, cells = Signs(["99.9"]), np.array([99.9, 1], kind)
    assert list(signs.without(cells)) == [None, 1]
    assert signs.without(cells[1:]) is not None
    assert list(Rows({"a": pa.array(cells)}, ["99.9"]).cells("a")) == [None, 1]
    assert signs.counts(pa.array(cells)) == {"99.9": 1}


def test_pictures_and_lists_show_no_sign() -> None:
    pictures = np.zeros((2, 3, 3))
    assert Signs(["0"]).without(pictures) is pictures
    assert Signs(["0"]).without([[0.0], b"0"]) == [[0.0], b"0"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow", "jsonl", "frame"])
def test_a_number_as_a_sign_of_the_whole_table(tmp_path: Path, ending: str) -> None:
    table = pa.table({"height": [1.5, -99.0, None], "grade": [-99, 2, 3]})
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        path.write_text("height,grade\n1.5,-99\n-99.0,2\n,3\n")
    elif ending == "jsonl":
        path.write_text('{"height":1.5,"grade":-99}\n{"height":-99.0,"grade":2}\n{"grade":3}\n')
    elif ending == "parquet":
        pa.parquet.write_table(table, path)
    elif ending == "arrow":
        pa.feather.write_feather(table, path)
    signs = ["-99", ""]
    opened = frame_of(table, signs) if ending == "frame" else open_table(path, Reading(missing=signs))
    height, grade = summarise_columns(opened)
    assert (height.missing, grade.missing) == (2, 1)
    assert (height.signs, grade.signs) == ({"-99": 1}, {"-99": 1})
