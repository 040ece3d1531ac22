"""Delimited text that is edited: all but the new cells stays as it was, byte for byte."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.delimited_record import RecordText
from mmtoolkit.tables.writing import fields_of, new_table
from toys import EXAMPLES

NUMBERS = itertools.count()


def edited(
    path: Path, changed: Mapping[str, Mapping[int, str]], new: Mapping[str, str] = {}, size: int = 2, **reading: Any
) -> bytes:
    """The table at `path`, copied with some cells changed: column -> row -> cell; and with columns of one cell each."""
    table, out = open_table(path, Reading(missing=(), **reading)), path.with_name(f"out{next(NUMBERS)}{path.suffix}")
    fields = pa.schema([*fields_of(table), *((name, pa.string()) for name in new)])
    start = 0
    with new_table(out, fields, table) as writer:
        assert writer.edits
        for rows in table.rows_with_lines(size):
            columns: dict[str, Any] = {name: list(rows.cells(name)) for name in table.names}
            columns |= {name: [cell] * len(rows) for name, cell in new.items()}
            places = {
                name: {row - start: cell for row, cell in cells.items() if start <= row < start + len(rows)}
                for name, cells in changed.items()
            }
            for name, cells in places.items():
                for row, cell in cells.items():
                    columns[name][row] = cell
            assert len(rows.lines) == len(rows)
            writer.write(columns, rows.lines, places)
            start += len(rows)
    return out.read_bytes()


def cells_of(path: Path, **reading: Any) -> list[list[str]]:
    """The cells of a table, row by row."""
    table = open_table(path, Reading(missing=(), **reading))
    rows = [list(row) for row in zip(*map(table.column, table.names), strict=True)]
    assert len(rows) == len(table)
    return rows


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a,b\n1,\n2,x\n", "a,b\n1,NEW\n2,x\n"),
        ("a,b\n1,", "a,b\n1,NEW"),
        ('a,"b"\r\n"1",""\r\n\r\n\n2,"x"\r', 'a,"b"\r\n"1","NEW"\r\n\r\n\n2,"x"\r'),
        ('a,b\n"1,\n""2"" ",\n', 'a,b\n"1,\n""2"" ",NEW\n'),
        ('a,b\n1"2","?"\n', 'a,b\n1"2","NEW"\n'),
        ("\ufeffa,b\n\n 1 , \n\n", "\ufeffa,b\n\n 1 ,NEW\n\n"),
        ("sep=;\na;b\n1,5;\n", "sep=;\na;b\n1,5;NEW\n"),
        ("Harvest,\nof 2025,\n,\na,b\n1,\n", "Harvest,\nof 2025,\n,\na,b\n1,NEW\n"),
        ("a,b\n'1,2',''\n'3',4\n'5',6\n", "a,b\n'1,2','NEW'\n'3',4\n'5',6\n"),
    ],
)
def test_only_a_changed_cell_changes(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(old.encode())
    assert edited(path, {"b": {0: "NEW"}}).decode() == new
    assert edited(path, {}).decode() == old


def test_a_new_cell_has_quotes_if_it_needs_them(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a;b\n1;\n")
    for cell, text in (
        ("x;", '"x;"'),
        ("x,", "x,"),
        ('"x"', '"""x"""'),
        ("x\r", '"x\r"'),
        ("x\n", '"x\n"'),
        (" ", " "),
    ):
        assert edited(path, {"b": {0: cell}}) == f"a;b\n1;{text}\n".encode()
    path.write_bytes(b"a;b\n1;''\n2;'x'\n")
    assert edited(path, {"b": {0: "it's"}}) == b"a;b\n1;'it''s'\n2;'x'\n"


def test_new_columns_follow_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'T,\n,\na,"b"\r\n\r\n1,"x"\n\n2,')
    new = edited(path, {"b": {1: "y"}}, {"c": "p", "d,": 'q"'})
    assert new == b'T,\n,\na,"b",c,"d,"\r\n\r\n1,"x",p,"q"""\n\n2,y,p,"q"""'
    path.write_bytes(b"1,x\n2,y\n")
    assert edited(path, {}, {"c": "z"}, head=0) == b"1,x,z\n2,y,z\n"
    path.write_bytes(b"a\n1\n\n2\n")
    assert edited(path, {"a": {1: "n"}}, {"c": "z"}) == b"a,c\n1,z\nn,z\n2,z\n"
    path.write_bytes(b"a,b")
    assert edited(path, {}, {"c": "z"}) == b"a,b,c"


@pytest.mark.parametrize("out", ["u.csv", "u.tsv"])
def test_another_delimiter_writes_the_rows_anew(tmp_path: Path, out: str) -> None:
    (tmp_path / "t.csv").write_bytes(b'a;"b"\r\n1;"2"\n')
    table = open_table(tmp_path / "t.csv")
    with new_table(tmp_path / out, fields_of(table), table) as writer:
        assert writer.edits == (out == "u.csv")
        for rows in table.rows_with_lines(1):
            writer.write(rows.raw, rows.lines if writer.edits else ())
    assert (tmp_path / out).read_bytes() == (b'a;"b"\r\n1;"2"\n' if writer.edits else b"a\tb\r\n1\t2\r\n")


# Text of all kinds: as many writers of CSV would write it.

LETTERS = st.text(st.sampled_from("ab1.5,;\t|'\" \n\r\u2028ü"), max_size=5)
ENDS = ("\n", "\r\n", "\r")


@st.composite
def texts(draw: st.DrawFn, delimiter: str, quote: str) -> tuple[str, list[list[str]]]:
    """A text of delimited cells, and the cells."""
    width, rows, parts = draw(st.integers(1, 3)), [], []
    end = draw(st.sampled_from([*ENDS, None]))  # None mixes them
    for row in range(draw(st.integers(1, 5))):
        cells = [f"name{n}" for n in range(width)] if not row else [draw(LETTERS) for _ in range(width)]
        fields = [draw(fields_for(cell, delimiter, quote)) for cell in cells]
        rows.append(cells)
        mixed = ENDS if width > 1 else ENDS[:2]  # with an empty line, \r and \n would be one end
        parts += [delimiter.join(fields), end or draw(st.sampled_from(mixed))]
        if width > 1:
            parts += draw(st.lists(st.sampled_from(ENDS), max_size=2))
    if draw(st.booleans()) and parts[-2]:  # a last line that is empty would be none
        parts.pop()
    text = "".join(parts)
    return text, rows


def fields_for(cell: str, delimiter: str, quote: str) -> st.SearchStrategy[str]:
    """The texts of a cell."""
    quoted = f"{quote}{cell.replace(quote, 2 * quote)}{quote}"
    plain = not cell.startswith(quote) and not {delimiter, "\n", "\r"} & {*cell}
    return st.sampled_from([cell, quoted] if plain else [quoted])


@EXAMPLES
@given(
    data=st.data(),
    delimiter=st.sampled_from(",;\t|^"),
    quote=st.sampled_from("\"'-]"),
    title=st.sampled_from(["", "Harvest\n", "a 'b\"\r\n\n\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-be", "utf-32"]),
    size=st.integers(1, 4),
)
def test_text_of_all_kinds(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    delimiter: str,
    quote: str,
    title: str,
    encoding: str,
    size: int,
) -> None:
    text, (names, *rows) = data.draw(texts(delimiter, quote))
    path = tmp_path_factory.mktemp("t") / "x.csv"
    path.write_bytes((title + text).encode(encoding, "replace"))
    lines = len(io.StringIO(title, newline="").readlines())
    reading: dict[str, Any] = {"delimiter": delimiter, "quote": quote, "encoding": encoding, "head": lines + 1}
    rows = [[cell.encode(encoding, "replace").decode(encoding) for cell in row] for row in rows]
    assert cells_of(path, **reading) == rows
    assert edited(path, {}, size=size, **reading) == path.read_bytes()

    changed: dict[str, dict[int, str]] = {name: {} for name in names}
    for _ in range(data.draw(st.integers(0, 3)) if rows else 0):
        row, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, len(names) - 1))
        cell = data.draw(LETTERS).encode(encoding, "replace").decode(encoding)
        changed[names[column]][row] = rows[row][column] = cell
    new = {"new": data.draw(LETTERS).encode(encoding, "replace").decode(encoding)} if data.draw(st.booleans()) else {}
    out = path.with_name("new.csv")
    out.write_bytes(edited(path, changed, new, size, **reading))
    assert cells_of(out, **reading) == [[*row, *new.values()] for row in rows]
    assert_rest_stays(path, out, changed, bool(new), reading)


def assert_rest_stays(
    old: Path, new: Path, changed: Mapping[str, Mapping[int, str]], more: bool, reading: Mapping[str, Any]
) -> None:
    """The texts of all cells but those that changed are the same."""
    tables = [open_table(path, Reading(missing=(), **reading)) for path in (old, new)]
    assert all(isinstance(table, Delimited) for table in tables)
    before, after = ([line for rows in table.rows_with_lines(9) for line in rows.lines] for table in tables)
    record = RecordText(reading["delimiter"], reading["quote"])
    for row, (line, other) in enumerate(zip(before, after, strict=True)):
        fields, fields_after = (record._fields(text.rstrip("\r\n")) for text in (line, other))
        kept = [place for place, name in enumerate(changed) if row not in changed[name]]
        assert [fields[place] for place in kept] == [fields_after[place] for place in kept]
        assert len(fields_after) == len(fields) + more
        assert line[len(line.rstrip("\r\n")) :] == other[len(other.rstrip("\r\n")) :]


@pytest.mark.parametrize("end", ENDS)
def test_records_and_cells_stay_in_step_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    path = tmp_path / "x.csv"
    for block in range(64, 96):
        monkeypatch.setattr("mmtoolkit.tables.delimited._BLOCK", block)
        rows = [[str(row), "x" * (row % 7)] for row in range(60)]
        text = "".join(
            f'{row},"{cell}{end if len(cell) == 3 else ""}"{end * (1 + (len(cell) == 5))}' for row, cell in rows
        )
        path.write_bytes(f"a,b{end}{text}".encode())
        table = open_table(path, Reading(missing=(), delimiter=","))
        parts = list(table.rows_with_lines(7))
        assert [len(part.lines) for part in parts] == [len(part) for part in parts]
        assert "".join(line for part in parts for line in part.lines) == text


@EXAMPLES
@given(text=st.text(st.sampled_from('a,"\n\r'), max_size=12), keep_empty=st.booleans())
def test_records_are_those_of_the_csv_module(text: str, keep_empty: bool) -> None:
    lines = io.StringIO(text, newline="").readlines()
    try:
        records: Sequence[Sequence[str]] = list(csv.reader(lines, strict=True))
    except csv.Error:
        return
    if not keep_empty:
        records = [record for record in records if record]
        lines = list(itertools.dropwhile(lambda line: not line.strip("\r\n"), lines))
    parts = list(RecordText(",", '"').records(lines, keep_empty))
    assert "".join(parts) == "".join(lines)
    assert [next(csv.reader(io.StringIO(part, newline=""))) for part in parts] == records
