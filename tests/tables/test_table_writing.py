"""Writing tables: cells in the type of their column, and text that is read back as it was."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.fitting import as_text, fitted, number_text, replaced, type_of
from mmtoolkit.tables.json_object import with_values
from mmtoolkit.tables.nested import numbers_of_lists
from mmtoolkit.tables.writing import fields_of, new_table
from toys import EXAMPLES

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)


def copied(path: Path, out: Path, **reading: Any) -> Path:
    """The table at `path`, read and written."""
    table = open_table(path, Reading(**reading))
    with new_table(out, fields_of(table), table) as writer:
        for rows in table.rows(3):
            writer.write(rows.raw, rows.lines)
    return out


# Delimited text.


@EXAMPLES
@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=6), delimiter=st.sampled_from(",;\t|^"))
def test_cells_of_text_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    folder = tmp_path_factory.mktemp("w")
    table = pa.table({"a b": [row[0] for row in rows], f'"{delimiter}': [row[1] for row in rows]})
    pa.parquet.write_table(
        table.cast(pa.schema([(name, pa.string()) for name in table.column_names])), folder / "t.parquet"
    )
    out = copied(folder / "t.parquet", folder / "t.csv")
    with out.open(newline="", encoding="utf-8") as text:
        assert list(csv.reader(text, strict=True)) == [["a b", f'"{delimiter}'], *map(list, rows)]
    again = open_table(out, Reading(missing=()))
    assert [tuple(row) for rows in again.rows(2) for row in zip(*map(as_list, rows.raw.values()), strict=True)] == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_text_keeps_its_style(tmp_path: Path, end: str, encoding: str, delimiter: str) -> None:
    text = io.StringIO()
    out = csv.writer(text, delimiter=delimiter, lineterminator=end)
    out.writerows([["a\nb", "ü", ""], ["1.0", 'x"y', "NA"], [f"x{delimiter}", " z ", "0x1"], ["", "\r\n", "1e400"]])
    (tmp_path / "t.csv").write_bytes(text.getvalue().encode(encoding))
    reading = {"encoding": "utf-8" if encoding == "utf-8-sig" else encoding, "delimiter": delimiter}
    copied(tmp_path / "t.csv", tmp_path / "u.csv", **reading)
    assert (tmp_path / "u.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


def test_packed_text_stays_packed(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\r\n1,2\r\n"))
    copied(tmp_path / "t.csv.gz", tmp_path / "u.csv.gz")
    assert gzip.decompress((tmp_path / "u.csv.gz").read_bytes()) == b"a,b\r\n1,2\r\n"


def test_a_letter_that_the_encoding_lacks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a\nü\n".encode("latin-1"))
    table = open_table(tmp_path / "t.csv", Reading(encoding="latin-1"))
    with pytest.raises(UserError) as raised, new_table(tmp_path / "u.csv", fields_of(table), table) as writer:
        writer.write({"a": pa.array(["€"])})
    assert_facts(str(raised.value), f"{tmp_path / 'u.csv'}: cannot be written: ", "latin-1", "'€'", "; ", ".parquet")
    with (
        pytest.raises(UserError) as raised,
        new_table(tmp_path / "u.csv", pa.schema([("a", pa.string()), ("€", pa.string())]), table),
    ):
        pass
    assert_facts(str(raised.value), f"{tmp_path / 'u.csv'}: cannot be written: ", "latin-1", "'€'", "; ", ".parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_json_lines_keep_their_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.jsonl").write_bytes('{"a": "ü", "b":1}\r\n{"b":2 }\n'.encode(encoding))
    copied(tmp_path / "t.jsonl", tmp_path / "u.jsonl", encoding=encoding)
    assert (tmp_path / "u.jsonl").read_bytes() == (tmp_path / "t.jsonl").read_bytes()


def test_letters_that_the_encoding_of_json_lines_lacks_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes('{"a": "ü"}\n'.encode("latin-1"))
    table = open_table(tmp_path / "t.jsonl", Reading(encoding="latin-1"))
    with new_table(tmp_path / "u.jsonl", fields_of(table), table) as writer:
        for rows in table.rows(1):
            writer.write({"a": ["ü€𝄞"]}, rows.lines, {"a": [0]})
            writer.write({"a": ["ü€𝄞"]})
    text = (tmp_path / "u.jsonl").read_bytes()
    assert text == '{"a": "ü\\u20ac\\ud834\\udd1e"}\n'.encode("latin-1") * 2
    assert [json.loads(line)["a"] for line in text.decode("latin-1").splitlines()] == ["ü€𝄞"] * 2


# Between formats.

COLUMNS = {
    "n": pa.array([1, None, -3]),
    "x": pa.array([1.0, 0.1, None]),
    "t": pa.array(["a", None, 'b,"']),
    "b": pa.array([True, False, None]),
    "d": pa.array([datetime.date(2020, 1, 2), None, None]),
    "l": pa.array([[1, 2], None, []]),
    "c": pa.array(["u", None, "v"]).dictionary_encode(),
}


def as_list(column: Any) -> list[Any]:
    """A column of Arrow or of plain values as a list."""
    return list(column.to_pylist() if isinstance(column, pa.Array) else column)


def test_typed_columns_as_text(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table(COLUMNS), tmp_path / "t.parquet")
    text = copied(tmp_path / "t.parquet", tmp_path / "t.csv").read_text()
    assert text == 'n,x,t,b,d,l,c\n1,1.0,a,true,2020-01-02,"[1, 2]",u\n,0.1,,false,,,\n-3,,"b,""",,,[],v\n'
    text = copied(tmp_path / "t.parquet", tmp_path / "t.tsv").read_text()
    assert text.startswith("n\tx\tt\tb")
    lines = copied(tmp_path / "t.parquet", tmp_path / "t.jsonl").read_text().splitlines()
    first: dict[str, object] = {"n": 1, "x": 1.0, "t": "a", "b": True, "d": "2020-01-02", "l": [1, 2], "c": "u"}
    rows: list[dict[str, object]] = [first, {"x": 0.1, "b": False}, {"n": -3, "t": 'b,"', "l": [], "c": "v"}]
    assert [json.loads(line) for line in lines] == [{**dict.fromkeys(COLUMNS), **row} for row in rows]
    assert list(json.loads(lines[1])) == list(COLUMNS)


@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather"])
def test_typed_columns_keep_their_types(tmp_path: Path, ending: str) -> None:
    schema = pa.table(COLUMNS).schema.with_metadata({"pandas": "{}"})
    pa.parquet.write_table(pa.table(COLUMNS, schema=schema), tmp_path / "t.parquet")
    out = copied(tmp_path / "t.parquet", tmp_path / f"u.{ending}")
    table = pa.parquet.read_table(out) if ending == "parquet" else pa.feather.read_table(out)
    assert table.schema.equals(pa.parquet.read_schema(tmp_path / "t.parquet"), check_metadata=True)
    assert table.schema.field("c").type == pa.dictionary(pa.int32(), pa.string())
    assert table.to_pydict() == pa.table(COLUMNS).to_pydict()


def test_a_dictionary_that_grows_from_group_to_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmtoolkit.tables.columnar_writing._GROUP_ROWS", 2)
    parts = [
        pa.array(part, pa.string()).dictionary_encode() for part in (["b", None], ["a", "b"], ["c", "a"], [None, None])
    ]
    for ending in ("arrow", "parquet"):
        out = tmp_path / f"t.{ending}"
        with new_table(out, pa.schema([("c", parts[0].type)])) as writer:
            for part in parts:
                writer.write({"c": part})
        table = pa.parquet.read_table(out) if ending == "parquet" else pa.feather.read_table(out)
        assert table["c"].to_pylist() == ["b", None, "a", "b", "c", "a", None, None]
        assert pa.types.is_dictionary(table["c"].type)


def test_values_without_types_get_the_narrowest(tmp_path: Path) -> None:
    lines = ('{"a": 1, "b": "x", "c": [1], "d": 1.5}', '{"a": 2.5, "b": 3, "d": "", "e": null}', '{"a": null}')
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    table = pa.parquet.read_table(copied(tmp_path / "t.jsonl", tmp_path / "t.parquet"))
    assert table.schema.field("a").type == pa.float64()
    assert table.to_pydict() == {
        "a": [1, 2.5, None],
        "b": ["x", "3", None],
        "c": [[1], None, None],
        "d": ["1.5", "", None],
        "e": [None] * 3,
    }


def test_bytes_have_no_form_as_text(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"a": [b"\0"]}), tmp_path / "t.parquet")
    for ending in ("csv", "jsonl"):
        out = tmp_path / f"t.{ending}"
        with pytest.raises(UserError) as raised:
            copied(tmp_path / "t.parquet", out)
        assert_facts(str(raised.value), f"{out}: cannot be written: ", "bytes", "text", "; ", ".parquet")
        assert not out.exists()


# JSON Lines.

JSON = r'{"a":1.0,  "b" : 12345678901234567890123, "ü": "\u00e9\n", "c": [1e2, {"a": 0.10}], "a": -0.0 }'


def test_only_the_named_values_of_an_object_change(tmp_path: Path) -> None:
    assert with_values(JSON, {}) == JSON
    assert with_values(JSON, {"b": "2"}) == JSON.replace("12345678901234567890123", "2")
    assert with_values(JSON, {"new": "[1]"}) == JSON.replace("-0.0 }", '-0.0, "new": [1] }')
    assert with_values(JSON, {"a": "0"}) == JSON.replace("1.0", "0").replace("-0.0", "0")
    assert with_values("{ }\r\n", {"é": '"x"', "b": "1"}) == '{"é": "x", "b": 1 }\r\n'
    assert with_values('{"x": null}', {"x": "1", "y": "2"}) == '{"x": 1, "y": 2}'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


@EXAMPLES
@given(
    row=st.dictionaries(TEXT, VALUES, max_size=4),
    new=st.dictionaries(TEXT, VALUES, max_size=3),
    indent=st.sampled_from([None, 1]),
    ascii_=st.booleans(),
)
def test_an_object_holds_its_old_and_its_new_values(
    row: dict[str, Any], new: dict[str, Any], indent: int | None, ascii_: bool
) -> None:
    text = json.dumps(row, indent=indent, ensure_ascii=ascii_)
    changed = json.loads(with_values(text, {key: json.dumps(value) for key, value in new.items()}))
    assert list(changed.items()) == list({**row, **new}.items())


def test_lines_stay_as_they_were(tmp_path: Path) -> None:
    row = JSON.replace(', "a": -0.0', "")
    text = f"\ufeff \n{row}\r\n\n{{}}\n{row}".encode()
    (tmp_path / "t.jsonl").write_bytes(text)
    assert copied(tmp_path / "t.jsonl", tmp_path / "u.jsonl").read_bytes() == text


# Cells in a column.


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (float(np.float32(0.1)), "0.1"),
        (0.1, "0.1"),
        (1 / 3, "0.333333333"),
        (1700000000.123456, "1.70000000e+09"),
        (3.0, "3"),
        (-1e-30, "-1e-30"),
        (float("nan"), "nan"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_without_noise(number: float, text: str) -> None:
    assert float(number_text(number)) == pytest.approx(float(text), rel=1e-9, nan_ok=True)
    assert len(number_text(number)) <= len(text)


@EXAMPLES
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float32_gives_it_back(number: float) -> None:
    assert np.float32(number_text(number)) == np.float32(number)


@pytest.mark.parametrize(
    ("cell", "kind", "fit"),
    [
        (3.6, pa.int64(), 4),
        (-3.6, pa.uint8(), 0),
        (300.0, pa.int8(), 127),
        ("7", pa.int32(), 7),
        ("7.0", pa.int32(), 7),
        ("cat", pa.int32(), None),
        (float("nan"), pa.int32(), None),
        ("1", pa.float32(), 1.0),
        ("x", pa.float64(), None),
        (1 / 3, pa.float64(), 0.333333333),
        ("yes", pa.bool_(), True),
        ("0", pa.bool_(), False),
        ("maybe", pa.bool_(), None),
        (2.5, pa.string(), "2.5"),
        (3.0, pa.large_string(), "3"),
        (["a", 1], pa.string(), '["a", 1]'),
        ("2020-01-02", pa.date32(), datetime.date(2020, 1, 2)),
        ("no date", pa.date32(), None),
        ("1.50", pa.decimal128(5, 2), Decimal("1.50")),
        ([1, 2], pa.list_(pa.uint8()), [1, 2]),
        ("a", pa.list_(pa.uint8()), None),
        (None, pa.string(), None),
    ],
)
def test_a_cell_goes_into_the_type_of_its_column(cell: Any, kind: pa.DataType, fit: Any) -> None:
    cells = fitted([cell], kind)
    assert cells.type == kind
    assert cells.to_pylist() == [fit]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([5, None, None, 6]),
        pa.array(["5", None, None, "6"]),
        pa.array(["5", None, None, "6"]).dictionary_encode(),
        pa.array(["5", None, None, "6"], pa.large_string()),
        pa.chunked_array([[5.0], [None, None, 6.0]]).combine_chunks(),
    ],
)
def test_cells_are_put_into_holes(column: pa.Array) -> None:
    before = column.to_pylist()
    filled, unfit = replaced(column, [2], ["7"])
    assert unfit == 0
    assert isinstance(filled, pa.Array)
    assert filled.type == column.type
    assert filled.to_pylist() == [before[0], None, type(before[0])("7"), before[3]]
    assert column.to_pylist() == before


def test_a_cell_that_does_not_fit_leaves_the_hole() -> None:
    filled, unfit = replaced(pa.array([5, None, None]), [1, 2], ["x", "8"])
    assert (as_list(filled), unfit) == ([5, None, 8], 1)
    filled, unfit = replaced(pa.array([Decimal("5.10"), None, None]), [1, 2], [2.345, 1e9])
    assert (as_list(filled), unfit) == ([Decimal("5.10"), Decimal("2.34"), None], 1)


def test_cells_in_columns_of_plain_values() -> None:
    assert replaced([5, None], [1], [0.5]) == ([5, 0.5], 0)
    assert replaced([True, None, "NA"], [1, 2], ["True", "maybe"], pa.bool_()) == ([True, True, "NA"], 1)
    assert replaced([5, None], [1], ["7"], pa.int64()) == ([5, 7], 0)
    assert replaced([None, None], [1], [0.5], pa.null()) == ([None, 0.5], 0)


def test_the_type_of_a_new_column() -> None:
    kinds = [type_of(cell) for cell in ("a", 1.5, 3, True, object(), [1.0])]
    assert kinds == [pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.string(), pa.list_(pa.float64())]


def test_cells_as_text() -> None:
    cells = [None, "a", True, 1.0, 2, Decimal("1.10"), datetime.date(2020, 1, 2), {"a": [1, None]}]
    assert [as_text(cell) for cell in cells] == ["", "a", "true", "1.0", "2", "1.10", "2020-01-02", '{"a": [1, null]}']


# Arrays in cells.


def test_lists_of_one_shape_are_an_array() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    nested = pa.array(pixels.tolist(), pa.list_(pa.list_(pa.uint8())))
    fixed = pa.array(pixels.tolist(), pa.list_(pa.list_(pa.uint8(), 4), 3))
    for column in (nested, fixed, pa.concat_arrays([nested, nested]).slice(2)):
        array = numbers_of_lists(column)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.uint8
        assert np.array_equal(array, pixels)
    holed = pa.array([None, *pixels.tolist()], pa.list_(pa.list_(pa.uint8())))
    cells = numbers_of_lists(holed)
    assert cells is not None
    first, *rest = cells
    assert first is None
    assert np.array_equal(np.stack([cell for cell in rest if cell is not None]), pixels)


@pytest.mark.parametrize(
    "cells", [[[[1], [1, 2]]], [[[1, None]]], [[["a"]]], [[[]]], [None], [[[1], None]], ["a"], [[1, 2]]]
)
def test_other_lists_are_no_array(cells: list[Any]) -> None:
    assert numbers_of_lists(pa.array(cells)) is None
