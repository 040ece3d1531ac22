"""Tables in several Parquet files: a folder of them, or a pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.sources import TableSource
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.output import check_output
from mmtoolkit.tables.parts import files_of
from mmtoolkit.tables.writing import fields_of, new_table

PARTS: dict[str, dict[str, Any]] = {
    "part-0.parquet": {"a": [1, 2], "b": ["x", None]},
    "part-1.parquet": {"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())},
    "part-2.pq": {"b": pa.nulls(3), "a": [3, None, 5]},
}


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, columns in reversed(PARTS.items()):
        part(folder / name, columns)
    for name in ("_SUCCESS", "_metadata", ".part-0.parquet.crc"):
        (folder / name).write_bytes(b"")
    return folder


def part(path: Path, columns: dict[str, Any]) -> Path:
    pa.parquet.write_table(pa.table(columns), path)
    return path


def as_array(column: Any) -> pa.Array:
    assert isinstance(column, pa.Array)
    return column


def fault(path: Path, **reading: Any) -> str:
    with pytest.raises(UserError) as raised:
        open_table(path, Reading(**reading))
    return str(raised.value)


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("pattern", ["", "part-*", "*.p*q*"])
def test_the_parts_are_one_table(parts: Path, pattern: str, size: int) -> None:
    table = open_table(parts / pattern)
    assert table.names == ("a", "b")
    assert len(table) == 5
    rows = list(table.rows(size))
    assert [len(piece) <= size for piece in rows] == [True] * len(rows)
    assert [cell for piece in rows for cell in piece.cells("a")] == [1, 2, 3, None, 5]
    assert [cell for piece in rows for cell in piece.cells("b")] == ["x", None, None, None, None]
    assert {str(fields_of(table).field("b").type), *(str(as_array(piece.raw["b"]).type) for piece in rows)} == {
        "string"
    }
    assert [table.place(row) for row in (1, 2, 4)] == [
        f"{parts / 'part-0.parquet'}, row 2",
        f"{parts / 'part-2.pq'}, row 1",
        f"{parts / 'part-2.pq'}, row 3",
    ]


def test_the_files_of_a_source_are_the_parts(parts: Path) -> None:
    names = [parts / name for name in PARTS]
    assert TableSource(path=parts).files() == names
    assert TableSource(path={"train": parts / "*.pq", "test": parts / "no.csv"}).files() == [names[2], parts / "no.csv"]
    assert TableSource(path=parts).beside("train").folder == parts
    assert files_of(parts / "no") == [parts / "no"]


@pytest.mark.parametrize(
    ("name", "columns", "facts"),
    [
        ("part-1", {"a": [1]}, ("part-1.parquet: ", "lacks the column 'b'", "part-0.parquet", "; ", "equal columns")),
        ("part-3", {"a": [1], "b": ["x"], "c": [1]}, ("part-3.parquet: ", "has the column 'c'", "part-0", "; ")),
        ("part-3", {"a": [1.5], "b": ["x"]}, ("part-3.parquet: ", "column a is double, and int64", "; ", "equal")),
    ],
)
def test_parts_that_differ(parts: Path, name: str, columns: dict[str, Any], facts: tuple[str, ...]) -> None:
    part(parts / f"{name}.parquet", columns)
    assert_facts(fault(parts), *facts)


def test_folders_that_are_no_table(parts: Path, tmp_path: Path) -> None:
    assert_facts(fault(tmp_path / "*.csv"), f"{tmp_path / '*.csv'}: ", "pattern", "no Parquet file", "; ", "path")
    (empty := tmp_path / "empty").mkdir()
    assert_facts(fault(empty), f"{empty}: ", "folder without a Parquet file", "; ", "path")
    assert_facts(fault(parts, format="csv"), f"{parts}: ", "Parquet, not as csv", "; ")
    (parts / "README.md").write_text("")
    assert_facts(fault(parts), f"{parts}: ", "README.md", "no Parquet file", "; ", f"{parts / '*.parquet'}")
    assert len(open_table(parts / "*.parquet")) == 2
    (parts / "year=2020").mkdir()
    assert_facts(fault(parts), f"{parts}: ", "folder year=2020", "; ")
    (empty / "year=2020").mkdir()
    assert_facts(fault(empty), f"{empty}: ", "folder year=2020", "; ")
    assert_facts(fault(tmp_path / "p*" / "*.parquet"), "pattern for folders", "; ", "one folder")
    (parts / "part-9.parquet").write_bytes(b"PAR1")
    assert_facts(fault(parts / "*.parquet"), f"{parts / 'part-9.parquet'}: cannot be read")


def test_a_part_that_changes_while_it_is_read(parts: Path) -> None:
    table = open_table(parts)
    part(parts / "part-2.pq", {"a": [1], "b": ["longer"]})
    with pytest.raises(UserError, match=r"part-2\.pq: was changed"):
        list(table.rows(1))


# Writing.


def copied(path: Path, out: Path) -> None:
    table = open_table(path)
    with new_table(out, fields_of(table), table) as writer:
        for rows in table.rows(2):
            writer.write(rows.raw)


def test_parts_with_the_same_names_are_written(parts: Path, tmp_path: Path) -> None:
    copied(parts, tmp_path / "new" / "filled")
    assert sorted(path.name for path in (tmp_path / "new" / "filled").iterdir()) == list(PARTS)
    for name, columns in PARTS.items():
        table = pa.parquet.read_table(tmp_path / "new" / "filled" / name)
        assert table.to_pydict() == pa.table(columns).select(["a", "b"]).to_pydict()
        assert [str(kind) for kind in table.schema.types] == ["int64", "string"]
    copied(parts / "*.parquet", tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == list(PARTS)[:2]


def test_parts_are_written_to_one_file(parts: Path, tmp_path: Path) -> None:
    copied(parts, tmp_path / "t.parquet")
    assert pa.parquet.read_table(tmp_path / "t.parquet")["a"].to_pylist() == [1, 2, 3, None, 5]
    copied(parts, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,x\n2,\n3,\n,\n5,\n"


def test_no_half_written_folder_stays(parts: Path, tmp_path: Path) -> None:
    table = open_table(parts)
    columns = {**next(table.rows(2)).raw, "a": ["no number", "x"]}
    with pytest.raises(UserError), new_table(tmp_path / "out", fields_of(table), table) as writer:
        writer.write(columns)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_folders_that_may_be_written(parts: Path, tmp_path: Path) -> None:
    def refused(out: Path, overwrite: bool = False, table: Path = parts, in_parts: bool = True) -> str:
        with pytest.raises(UserError) as raised:
            check_output(out, overwrite, table, in_parts)
        return str(raised.value)

    check_output(tmp_path / "new", False, parts, True)
    assert_facts(refused(parts, True), f"{parts}: is the table", "; ", "--out")
    assert_facts(refused(parts, True, parts / "*.pq"), f"{parts}: is the table", "; ", "--out")
    assert_facts(
        refused(tmp_path / "new", table=tmp_path / "t.csv", in_parts=False), "written to .csv", "; ", "ends in"
    )
    (old := tmp_path / "old").mkdir()
    check_output(old, False, parts, True)
    part(old / "x.parquet", {"a": [1]})
    assert_facts(refused(old), f"{old}: is there already; ", "--overwrite", "--out")
    check_output(old, True, parts, True)
    (old / "mine.txt").write_text("mine")
    assert_facts(refused(old, True), f"{old}: holds mine.txt", "; ", "--out")
    assert_facts(refused(old, True, in_parts=False), f"{old}: is a folder; ", "--out")
