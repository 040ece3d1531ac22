"""Tables in files: the cells of each format, and the errors of broken files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
from datetime import date
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
from mmtoolkit.tables import MISSING, Reading, TableFile, open_table
from toys import EXAMPLES


def written(path: Path, data: str | bytes) -> Path:
    """The path, after the data is written to it."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def contents(table: TableFile, size: int = 3) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in table.names}
    for chunk in table.chunks(table.names, size):
        for name, cells in chunk.items():
            assert len(cells) <= size
            columns[name] += list(cells)
    assert {len(cells) for cells in columns.values()} == {len(table)}
    return columns


def read(path: Path, **reading: Any) -> dict[str, list[Any]]:
    return contents(open_table(path, Reading(**reading)))


def fault(path: Path, **reading: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, **reading)
    return str(caught.value).replace(str(path), "FILE")


# Delimited text.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", 'a,b\n1,"x, ""y"""\nNA,\n'),
        ("x.csv", 'a;b\r\n1;"x, ""y"""\r\nNA;\r\n'),
        ("x.csv", 'a|b\n1|"x, ""y"""\nNA|'),
        ("x.tsv", 'a\tb\n1\t"x, ""y"""\n\nNA\t\n'),
        ("x.TAB", 'a\tb\n1\t"x, ""y"""\nNA\t\n'),
        ("x.csv", '\ufeffa,b\n1,"x, ""y"""\nNA,\n'),
    ],
)
def test_the_delimiter_is_that_of_the_ending_or_the_head(tmp_path: Path, name: str, text: str) -> None:
    assert read(written(tmp_path / name, text)) == {"a": ["1", None], "b": ['x, "y"', None]}


def test_line_breaks_in_quotes_are_of_the_cell(tmp_path: Path) -> None:
    assert read(written(tmp_path / "x.csv", 'a,b\n"1\r\n2",3\n4,5')) == {"a": ["1\r\n2", "4"], "b": ["3", "5"]}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig", "shift_jis"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    word = "日本" if encoding == "shift_jis" else "né"
    path = written(tmp_path / "x.csv", f'a,b\n1,{word}\n2,"x\n{word}"\n'.encode(encoding))
    assert read(path, encoding=encoding) == {"a": ["1", "2"], "b": [word, f"x\n{word}"]}


def test_a_packed_table(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n"))
    assert read(path) == {"a": ["1", "3"], "b": ["2", "4"]}
    cut = written(tmp_path / "y.tsv.gz", gzip.compress(os.urandom(1000))[:200])
    assert "FILE: cannot be read" in fault(cut)


def test_only_listed_texts_stand_for_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "a,b\n?,NA\nnone,\n")
    assert read(path, missing=["?", "none"]) == {"a": [None, None], "b": ["NA", ""]}
    assert read(path, missing=[]) == {"a": ["?", "none"], "b": ["NA", ""]}


def test_an_empty_line_is_a_row_where_there_is_one_column(tmp_path: Path) -> None:
    assert read(written(tmp_path / "x.csv", "a\n1\n\n2\n")) == {"a": ["1", None, "2"]}
    assert read(written(tmp_path / "y.csv", "a,b\n1,2\n\n3,4\n\n")) == {"a": ["1", "3"], "b": ["2", "4"]}


def test_a_head_alone_has_no_rows(tmp_path: Path) -> None:
    assert read(written(tmp_path / "x.csv", "a,b\n")) == {"a": [], "b": []}


def test_a_cell_of_some_megabytes(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    assert read(written(tmp_path / "x.csv", f'a,b\n1,"{long}"\n2,{long}\n')) == {"a": ["1", "2"], "b": [long, long]}
    longer = "y" * 5_000_000
    text = fault(written(tmp_path / "y.csv", f"a,b\n1,{longer}\n"))
    assert_facts(text, "FILE:2: ", "cell", "4 MB", "quote", "; ", "mend the line")


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"a,b\n1,2\n3\n", ("FILE:3: row 2 ", "1 cell", "head 2", "; ", "','", "quotes")),
        (b'a,b\n"1\n",2\n3,4,5\n', ("FILE:4: row 2 ", "3 cells", "head 2", "; ", "','", "quotes")),
        (b'a,b\n1,2\n1,"2\n3,4\n', ("FILE:3: ", "quote", "never closed", "; ", "cut off", "doubled")),
        (b'a,b\n1,"2"x\n', ("FILE:2: ", "text", "closing quote", "; ", "twice", '""')),
        (b"a,b\n1,2\n1,\xe9\n", ("FILE:3: ", "utf-8", "byte 3", "b'1,\\xe9\\n'", "; ", "encoding", "cp1252")),
        ("a,b\n1,2\n".encode("utf-16-le"), ("FILE: ", "zero bytes", "UTF-16", "; ", "encoding", "utf-16-le")),
        (b"PAR1\x15\x04", ("FILE: ", "Parquet", "; ", ".parquet", "format: parquet")),
        (b"PK\x03\x04\x14\0", ("FILE: ", "spreadsheet", "; ", "export", "CSV")),
        (b"", ("FILE: ", "empty", "; ", "head", "columns")),
        (b"\n\n", ("FILE: ", "empty", "first line", "; ", "head", "columns")),
        (b"a,b,a\n1,2,3\n", ("FILE:1: ", "two columns", "'a'", "; ", "rename", "head: 0")),
    ],
)
def test_an_error_in_broken_text_names_its_line(tmp_path: Path, data: bytes, facts: tuple[str, ...]) -> None:
    assert_facts(fault(written(tmp_path / "x.csv", data)), *facts)


def test_only_the_first_faults_are_reported(tmp_path: Path) -> None:
    lines = fault(written(tmp_path / "x.csv", "a,b\n" + "1\n1,2,3\n" * 50)).split("\n")
    assert len(lines) == 6
    assert_facts(lines[4], "FILE:6: row 5 ", "1 cell ")
    assert_facts(lines[5], "FILE: ", "more lines")


def test_a_wrong_delimiter_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "a;b\n1;2\n")
    assert_facts(fault(path, delimiter=","), "FILE:1: ", "','", "head 'a;b'", "; ", "';'", "delimiter")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"delimiter": '"'}, "cannot separate cells"),
        ({"delimiter": "ab"}, "at most 1 character"),
        ({"encoding": "utf-9"}, "encoding 'utf-9'"),
        ({"encoding": "rot13"}, "encoding 'rot13'"),
    ],
)
def test_options_that_make_no_sense(option: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Reading(**option)


@EXAMPLES
@given(
    rows=st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=2, max_size=2), max_size=8),
    size=st.integers(1, 4),
)
def test_tables_of_the_csv_module_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], size: int
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    table = open_table(written(tmp_path_factory.mktemp("t") / "x.csv", text.getvalue()), Reading(missing=()))
    assert contents(table, size) == {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}


# Typed columns.

TYPED = {
    "whole": pa.array([1, None, 3], pa.int64()),
    "full": pa.array([1, 2, 3], pa.int32()),
    "real": pa.array([0.5, math.nan, None]),
    "flag": pa.array([True, False, None]),
    "word": pa.array(["a", "NA", None]),
    "code": pa.array(["x", None, "x"]).dictionary_encode(),
    "day": pa.array([date(2020, 1, 2), None, None]),
    "exact": pa.array([Decimal("1.20"), None, None]),
    "bytes": pa.array([b"\x00", None, b""]),
    "list": pa.array([[1, 2], None, []]),
    "nothing": pa.nulls(3),
    "a.b": pa.array(["p", "q", "r"]),
}
AS_CELLS = {
    "whole": [1, None, 3],
    "full": [1, 2, 3],
    "real": [0.5, None, None],
    "flag": [True, False, None],
    "word": ["a", "NA", None],
    "code": ["x", None, "x"],
    "day": ["2020-01-02", None, None],
    "exact": [Decimal("1.20"), None, None],
    "bytes": [b"\x00", None, b""],
    "list": [[1, 2], None, []],
    "nothing": [None, None, None],
    "a.b": ["p", "q", "r"],
}


def write_typed(path: Path) -> Path:
    table = pa.table(TYPED)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=2)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path, chunksize=2)
    elif path.stem == "stream":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["x.parquet", "x.feather", "x.arrow", "stream.arrow"])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_typed_columns_as_cells(tmp_path: Path, name: str, size: int) -> None:
    table = open_table(write_typed(tmp_path / name))
    assert contents(table, size) == AS_CELLS
    assert list(next(iter(table.rows(2, ["a.b", "whole"]))).raw) == ["a.b", "whole"]


FORMS: dict[str, tuple[Any, list[Any]]] = {
    "views of texts": (pa.array(["a", None, "NA"], pa.string_view()), ["a", None, "NA"]),
    "views of bytes": (pa.array([b"a", None, b""], pa.binary_view()), [b"a", None, b""]),
    "runs": (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), ["a", "a", "b"]),
    "a dictionary of views": (
        pa.DictionaryArray.from_arrays([1, None, 0], pa.array(["a", "b"], pa.string_view())),
        ["b", None, "a"],
    ),
    "years beyond those of Python": (pa.array([2**62, None, 0], pa.timestamp("s")), [str(2**62), None, "0"]),
    "durations beyond those of Python": (pa.array([2**62, None, 3], pa.duration("s")), [str(2**62), None, "3"]),
    "a zone that nobody knows": (pa.array([1, None, 2], pa.timestamp("s", "Nowhere/X")), ["1", None, "2"]),
    "months and days": (
        pa.array([pa.MonthDayNano([1, 2, 3]), None, None], pa.month_day_nano_interval()),
        [pa.MonthDayNano([1, 2, 3]), None, None],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_typed_columns_of_rare_forms(tmp_path: Path, form: str) -> None:
    column, cells = FORMS[form]
    table = pa.table({"x": column})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    assert read(tmp_path / "x.arrow") == {"x": cells}


def test_a_table_without_columns(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({}), tmp_path / "x.parquet")
    assert_facts(fault(tmp_path / "x.parquet"), "FILE: ", "no column", "; ", "write the table again")


def test_whole_numbers_without_holes_stay_an_array(tmp_path: Path) -> None:
    cells = next(open_table(write_typed(tmp_path / "x.parquet")).chunks(["full"], 10))["full"]
    assert isinstance(cells, np.ndarray)
    assert cells.dtype == np.int32


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.feather"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"garbage" * 50])
def test_broken_typed_files(tmp_path: Path, name: str, data: bytes) -> None:
    assert_facts(fault(written(tmp_path / name, data)), "FILE: cannot be read: ", "; ", "permissions")


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_typed_files_that_are_cut(tmp_path: Path, name: str) -> None:
    whole = write_typed(tmp_path / name).read_bytes()
    assert fault(written(tmp_path / name, whole[: len(whole) // 2])).startswith("FILE: cannot be read: ")


def test_a_damaged_arrow_file_is_an_error_and_ends_no_process(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    table = pa.table({"a": ["some", "words", None] * 20, "b": pa.array(["x", "y"] * 30).dictionary_encode()})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    whole, read_through, faults = path.read_bytes(), 0, []
    for place in range(8, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read(path)
            read_through += 1
        except UserError as error:
            faults.append(str(error))
    assert min(read_through, len(faults)) > 10
    assert all(message.startswith(str(path)) for message in faults)


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_of_a_parquet_file_that_are_not_utf8(tmp_path: Path, kind: pa.DataType, coded: bool) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"a": [1, 2], "b": pa.array(["pear", "plum"], kind)})
    pyarrow.parquet.write_table(table, path, compression="none", use_dictionary=coded, write_statistics=False)
    whole = path.read_bytes()
    assert whole.count(b"plum") == 1
    text = fault(written(path, whole.replace(b"plum", b"pl\xffm")))
    assert_facts(text, "FILE: cannot be read: In column 1: ", "UTF8 sequence at string index 1")


def test_two_typed_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    assert_facts(fault(path), "FILE: ", "two columns", "'a'", "; ", "rename")


# JSON Lines.


def test_json_lines_hold_values_of_any_type(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "x"}, {"c": [1], "a": "NA"}, {"a": 2.5, "b": None}, {"a": float("nan"), "b": {"k": 1}}]
    path = written(tmp_path / "x.jsonl", "\ufeff" + "\n\n".join(map(json.dumps, rows)))
    assert read(path) == {
        "a": [1, "NA", 2.5, None],
        "b": ["x", None, None, {"k": 1}],
        "c": [None, [1], None, None],
    }


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-16", "utf-16-le"])
def test_json_lines_are_read_in_their_encoding(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "x.jsonl", '{"a": "ü"}\r\n\n{"a": "\u2028\\u010a"}'.encode(encoding, "ignore"))
    assert read(path, encoding=encoding)["a"] == ["ü", "Ċ" if encoding in ("latin-1", "cp1252") else "\u2028Ċ"]


def test_json_lines_of_another_encoding(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", '{"a": 1}\n{"a": "ü"}\n'.encode("latin-1"))
    assert_facts(fault(path), "FILE:2: ", "utf-8", "byte 8", "; ", "UTF-8", "encoding", "cp1252")


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        ('{"a": 1}\n\n{"a": }\n', ("FILE:3: ", "JSON", "expected value at line 1 column 7")),
        ('{"a": 1}\n[1]\n', ("FILE:2: ", "JSON object")),
        ('{"a": 1}\n"is no JSON x"\n', ("FILE:2: ", "JSON object")),
        ("", ("FILE: ", "no row")),
    ],
)
def test_broken_json_lines(tmp_path: Path, data: str, facts: tuple[str, ...]) -> None:
    assert_facts(fault(written(tmp_path / "x.jsonl", data)), *facts, "; ", "object", '{"price": 3}')


# All formats.


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet", "feather", "jsonl", "jsonl.gz"])
def test_texts_are_values_where_the_format_has_a_null(tmp_path: Path, ending: str) -> None:
    """No default may take Namibia for a missing cell if the table can say null."""
    cells, path = [*MISSING, "a", "?"], tmp_path / f"t.{ending}"
    table = pa.table({"n": range(len(cells)), "x": cells, "code": pa.array(cells).dictionary_encode()})
    if ending == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif ending == "feather":
        pyarrow.feather.write_feather(table, path)
    else:
        delimiter = "\t" if ending == "tsv" else ","
        lines = [delimiter.join(table.column_names), *(delimiter.join(map(str, r.values())) for r in table.to_pylist())]
        text = "\n".join(map(json.dumps, table.to_pylist()) if "jsonl" in ending else lines)
        written(path, gzip.compress(text.encode()) if ending.endswith(".gz") else text)
    usual = [*[None] * len(MISSING), "a", "?"]
    for name in ("x", "code"):
        assert read(path)[name] == (cells if ending in ("parquet", "feather", "jsonl", "jsonl.gz") else usual)
        assert read(path, missing=MISSING)[name] == usual
        assert read(path, missing=["?"])[name] == [*MISSING, "a", None]
        assert read(path, missing=[])[name] == cells


def test_files_that_are_no_table(tmp_path: Path) -> None:
    assert_facts(fault(tmp_path / "none.csv"), "FILE: ", "no such file", "; ", "path")
    assert_facts(fault(written(tmp_path / "x.txt", "")), "FILE: ", "ending", "; ", ".csv, .tsv", "format")
    assert_facts(fault(written(tmp_path / "x.xls", "")), "FILE: ", "old Excel", "; ", "export", ".xlsx", ".csv")
    assert_facts(fault(written(tmp_path / "x.ods", "")), "FILE: ", "OpenDocument", "; ", "export", ".xlsx", ".csv")
    assert_facts(fault(written(tmp_path / "x.parquet.gz", "")), "FILE: ", "text", "; ", "unpack")
    (tmp_path / "folder.csv").mkdir()
    assert_facts(fault(tmp_path / "folder.csv"), "FILE: ", "folder", "; ", "file")
    assert read(written(tmp_path / "x.dat", "a,b\n1,2\n"), format="csv") == {"a": ["1"], "b": ["2"]}


def test_a_table_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "a,b\n1,2\n")
    table = open_table(path)
    written(path, "a,b\n1,2\n3,4\n")
    with pytest.raises(UserError) as raised:
        contents(table)
    assert_facts(str(raised.value), str(path), "changed", "; ", "run the command again")


def test_rows_are_read_some_at_a_time(tmp_path: Path) -> None:
    table = open_table(written(tmp_path / "x.csv", "a,b\n" + "1,2\n" * 1000))
    before = pa.total_allocated_bytes()
    for rows in table.rows(10, ["b"]):
        assert list(rows.raw) == ["b"]
        assert len(rows) <= 10
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert len(table.column("a")) == 1000


def test_views_of_texts_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    views = pa.array([b"good", b"a longer text, bad at \xaa"], pa.binary_view())
    texts = pa.Array.from_buffers(pa.string_view(), 2, views.buffers())
    path = tmp_path / "t.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema({"x": texts.type})) as writer:
        writer.write_table(pa.table({"x": texts}))
    with pytest.raises(UserError) as caught:
        list(open_table(path).column("x"))
    assert_facts(str(caught.value), f"{path}: ", "UTF8", "; ")
