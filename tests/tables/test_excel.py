"""Tables in sheets of Excel: their cells, and a copy in which only filled cells change."""

from __future__ import annotations

import builtins
import random
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import openpyxl.styles
import pyarrow as pa
import pyarrow.parquet
import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.excel import Excel
from mmtoolkit.tables.sheet_xml import NewCell, column_letters, column_number, with_cells
from mmtoolkit.tables.writing import fields_of, new_table

HEAD = ["crop", "plants", "height", "ripe", "sown", "seen", "mixed", "twice"]
ROWS: list[list[Any]] = [
    ["rye", 3, 1.5, True, datetime(2024, 3, 1), datetime(2024, 3, 1, 12, 30), 1, "=B2*2"],
    [None, None, None, None, None, None, None, "=B3*2"],
    ["NA", 4, 2, False, datetime(2024, 4, 30), datetime(2024, 5, 1), "few", "#N/A"],
    [None] * 8,
    ["oats", 5, -0.25, None, None, None, date(2024, 1, 2), 8],
]


def written(path: Path, rows: list[list[Any]] | None = None, cached: str = "") -> Path:
    """A workbook with the sheets `field` and `notes`; `cached`: the value that its formulas had last."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "field"
    for row in [HEAD, *ROWS] if rows is None else rows:
        sheet.append(row)
    sheet.column_dimensions["A"].width = 33
    sheet["C2"].number_format = "0.000"
    sheet["D6"].fill = openpyxl.styles.PatternFill("solid", "FFEE00")
    sheet["A1"].font = openpyxl.styles.Font(bold=True)
    notes = book.create_sheet("notes")
    notes["B2"] = "=SUM(field!B2:B9)"
    book.save(path)
    if cached:
        change(path, lambda name, text: re.sub(rb"</f><v ?/?>(</v>)?", b"</f><v>%s</v>" % cached.encode(), text))
    return path


def change(path: Path, edit: Callable[[str, bytes], bytes]) -> None:
    """Edit the parts of a workbook."""
    with zipfile.ZipFile(path) as old:
        parts = {part.filename: edit(part.filename, old.read(part)) for part in old.infolist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, text in parts.items():
            new.writestr(name, text)


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {part.filename: file.read(part) for part in file.infolist()}


def fault(path: Path, **reading: Any) -> str:
    with pytest.raises(UserError) as raised:
        open_table(path, Reading(**reading)).column("a")
    return str(raised.value).replace(str(path), "FILE")


# Reading.


def test_cells_have_types(tmp_path: Path) -> None:
    table = open_table(written(tmp_path / "t.xlsx", cached="6"))
    assert isinstance(table, Excel)
    cells = {name: list(table.column(name)) for name in table.names}
    assert cells == {
        "crop": ["rye", None, "NA", "oats"],
        "plants": [3, None, 4, 5],
        "height": [1.5, None, 2.0, -0.25],
        "ripe": [True, None, False, None],
        "sown": ["2024-03-01", None, "2024-04-30", None],
        "seen": ["2024-03-01T12:30:00", None, "2024-05-01T00:00:00", None],
        "mixed": [1, None, "few", "2024-01-02"],
        "twice": [6, 6, None, 8],
    }
    assert [str(kind) for kind in table.schema.types] == [
        "string", "int64", "double", "bool", "date32[day]", "timestamp[us]", "string", "int64",
    ]  # fmt: skip
    (rows,) = table.rows(10)
    assert rows.formulas["twice"] == {0, 1}
    assert not rows.formulas["crop"]
    assert [sorted(rows.formulas["twice"]) for rows in table.rows(1)] == [[0], [0], [], []]
    assert table.place(3) == f"{tmp_path / 't.xlsx'}, row 4 (row 6 of the sheet)"


def test_a_formula_without_a_value_is_missing(tmp_path: Path) -> None:
    assert open_table(written(tmp_path / "t.xlsx")).column("twice") == [None, None, None, 8]


def test_whole_numbers_are_whole_however_they_are_stored(tmp_path: Path) -> None:
    path = written(tmp_path / "t.xlsx", [["a", "b", "c"], [1, 1, 1234567890123456789], [2, 2.5, 1.5]])
    whole = re.compile(rb"<v>1\.2345\d+e\+18</v>")
    change(path, lambda name, text: whole.sub(b"<v>1234567890123456789</v>", text.replace(b"<v>2</v>", b"<v>2.0</v>")))
    table = open_table(path)
    assert isinstance(table, Excel)
    assert table.schema.field("a").type == pa.int64()
    assert list(table.column("b")) == [1.0, 2.5]
    assert table.column("c") == [1234567890123456789, 1.5]


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "t.xlsx")
    table = open_table(path)
    assert_facts("".join(table.notes()), f"{path}: ", "first sheet, 'field'", "notes", "sheet")
    assert open_table(path, Reading(sheet="field")).notes() == ()
    assert_facts(fault(path, sheet="fields"), "FILE: ", "'fields'", "did you mean 'field'?", "field, notes")
    assert_facts(fault(path, sheet="notes"), "FILE: ", "first row", "'notes'", "empty", "; ", "names")
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.save(path)
    assert open_table(path).notes() == ()


@pytest.mark.parametrize(
    ("rows", "contents"),
    [
        ([["a", None, "b"], [1, None, 2], [None, None, None]], {"a": [1], "b": [2]}),
        ([["a"], [1], [None], [2]], {"a": [1, None, 2]}),
        ([["a", None], [1, 2]], {"a": [1], "": [2]}),
        ([["a", 2020, True], [1, 2, 3]], {"a": [1], "2020": [2], "true": [3]}),
        ([["a", "b"]], {"a": [], "b": []}),
    ],
)
def test_empty_rows_and_columns_are_no_cells(
    tmp_path: Path, rows: list[list[Any]], contents: dict[str, list[Any]]
) -> None:
    table = open_table(written(tmp_path / "t.xlsx", rows))
    assert {name: list(table.column(name)) for name in table.names} == contents


@pytest.mark.parametrize(
    ("rows", "facts"),
    [
        ([[None, None], ["a", "b"]], ("FILE: ", "first row", "'field'", "empty", "; ", "names of the columns")),
        ([["a", "b", "a"], [1, 2, 3]], ("FILE: ", "two columns", "'field'", "'a'", "; ", "first row")),
        ([], ("FILE: ", "first row", "empty")),
    ],
)
def test_sheets_that_are_no_table(tmp_path: Path, rows: list[list[Any]], facts: tuple[str, ...]) -> None:
    path = written(tmp_path / "t.xlsx", rows)
    if not rows:
        change(path, lambda name, text: re.sub(rb"<sheetData>.*</sheetData>", b"<sheetData/>", text))
    assert_facts(fault(path), *facts)


def test_files_that_are_no_workbook(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    assert_facts(fault(path), "FILE: ", "password", "; ", "save it as .xlsx", "CSV")
    path.write_bytes(b"a,b\n1,2\n")
    assert_facts(fault(path), "FILE: ", "no Excel file", "; ", "CSV")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.txt", "x")
    assert_facts(fault(path), "FILE: ", "no Excel file", "; ", "CSV")
    path.write_bytes(b"")
    assert_facts(fault(path), "FILE: ", "no Excel file", "; ", "CSV")


def test_openpyxl_is_named_where_it_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = written(tmp_path / "t.xlsx"), builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "openpyxl":
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert_facts(fault(path), "FILE: ", "openpyxl; ", "pip install 'mmtoolkit[excel]'")
    with pytest.raises(UserError, match=r"mmtoolkit\[excel\]"), new_table(tmp_path / "u.xlsx", pa.schema([])):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["t.xlsx"]


# Writing a new file.


def test_a_new_file_of_typed_columns(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1, None]),
        "x": pa.array([0.5, float("nan")]),
        "t": pa.array(["=1+1", "#N/A"]),
        "b": pa.array([True, None]),
        "d": pa.array([date(2020, 1, 2), date(1850, 1, 2)]),
        "id": pa.array([1234567890123456789, 5]),
        "l": pa.array([[1, 2], None]),
        "z": pa.array([datetime(2020, 1, 2, 3), None]),
        "clock": pa.array([time(3, 4), None]),
        "wait": pa.array([timedelta(hours=30), None], pa.duration("s")),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet")
    with new_table(tmp_path / "t.xlsx", fields_of(table)) as writer:
        for rows in table.rows(1):
            writer.write(rows.raw)
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        list(columns),
        [1, 0.5, "=1+1", True, datetime(2020, 1, 2), "1234567890123456789", "[1, 2]", datetime(2020, 1, 2, 3),
         time(3, 4), timedelta(hours=30)],
        [None, None, "#N/A", None, "1850-01-02", 5, None, None, None, None],
    ]  # fmt: skip
    assert {sheet["C2"].data_type, sheet["C3"].data_type} == {"s"}
    again = open_table(tmp_path / "t.xlsx")
    assert again.column("t") == ["=1+1", "#N/A"]
    assert not next(again.rows(9)).formulas["t"]


@pytest.mark.parametrize(("cell", "fact"), [("x" * 32_768, "32,767"), ("\x01", r"'\x01'"), (b"x", "bytes")])
def test_cells_that_excel_cannot_hold(tmp_path: Path, cell: Any, fact: str) -> None:
    out = tmp_path / "t.xlsx"
    with pytest.raises(UserError) as raised, new_table(out, pa.schema([("a", pa.string())])) as writer:
        writer.write({"a": [cell]})
    assert_facts(str(raised.value), f"{out}: cannot be written: ", fact, "; ", ".parquet")
    assert not [*tmp_path.iterdir()]


# A copy with changes.


def copied(path: Path, out: Path, columns: dict[str, list[Any]], changes: dict[str, list[int]]) -> None:
    table = open_table(path)
    fields = fields_of(table)
    for name in columns.keys() - {*table.names}:
        fields = fields.append(pa.field(name, pa.string()))
    with new_table(out, fields, table) as writer:
        for rows in table.rows(100):
            writer.write({**rows.raw, **columns}, rows.lines, changes)


def test_nothing_changes_without_changed_cells(tmp_path: Path) -> None:
    path = written(tmp_path / "t.xlsx", cached="6")
    copied(path, tmp_path / "u.xlsx", {}, {})
    assert parts_of(tmp_path / "u.xlsx") == parts_of(path)


def test_only_changed_cells_change(tmp_path: Path) -> None:
    path, out = written(tmp_path / "t.xlsx", cached="6"), tmp_path / "u.xlsx"
    columns: dict[str, list[Any]] = {
        "crop": ["rye", "=so & <so>", "NA", "oats"],
        "plants": [3, 7, 4, 5],
        "height": [1.5, 0.1, 2, -0.25],
        "ripe": [True, None, False, True],
        "sown": [None, date(2024, 12, 31), None, None],
        "seen": [None, None, None, datetime(2024, 12, 31, 6)],
        "note": ["a", " b\r\n", None, "d"],
    }
    changes = {"crop": [1], "plants": [1], "height": [1], "ripe": [3], "sown": [1], "seen": [3], "note": [0, 1, 3]}
    copied(path, out, columns, changes)
    before, after = parts_of(path), parts_of(out)
    assert before.keys() == after.keys()
    different = {name for name in before if before[name] != after[name]}
    assert different == {"xl/worksheets/sheet1.xml", "xl/workbook.xml"}
    assert b'fullCalcOnLoad="1"' in after["xl/workbook.xml"]
    old, new = openpyxl.load_workbook(path)["field"], openpyxl.load_workbook(out)["field"]
    expected = {"A3": "=so & <so>", "B3": 7, "C3": 0.1, "D6": True, "E3": datetime(2024, 12, 31)}
    expected |= {"F6": datetime(2024, 12, 31, 6), "I1": "note", "I2": "a", "I3": " b\r\n", "I6": "d"}
    for row in new.iter_rows():
        for cell in row:
            assert cell.value == expected.get(cell.coordinate, old[cell.coordinate].value), cell.coordinate
            if cell.coordinate not in expected:
                assert cell.style_id == old[cell.coordinate].style_id
    assert new["A3"].data_type == "s"
    assert new["H2"].value == "=B2*2"
    assert openpyxl.load_workbook(out, data_only=True)["field"]["H3"].value == 6
    assert new["C3"].number_format == "0.000"
    assert new["E3"].number_format == old["E2"].number_format
    assert new["D6"].fill.fgColor.rgb == "00FFEE00"
    assert new.column_dimensions["A"].width == 33
    assert list(open_table(out).column("plants")) == [3, 7, 4, 5]


def test_another_sheet_and_program(tmp_path: Path) -> None:
    """A prefix before each name, and rows and cells without their numbers, as some programs write."""
    path, out = written(tmp_path / "t.xlsx", [["a", "b"], [1, None], [None, 4]]), tmp_path / "u.xlsx"

    def rewritten(name: str, text: bytes) -> bytes:
        if name != "xl/worksheets/sheet1.xml":
            return text
        text = re.sub(rb' r="[A-Z]*\d+"', b"", text.replace(b"<row ", b'<row spans="1:2" '))
        text = re.sub(rb"<(/?)(\w+)", rb"<\1x:\2", text)
        return text.replace(b'xmlns="', b'xmlns:x="')

    change(path, rewritten)
    assert list(open_table(path).column("a")) == [1, 4]
    copied(path, out, {"c": ["p", "q"]}, {"c": [0, 1]})
    assert open_table(out).column("c") == ["p", "q"]


# Cells in XML.

SHEET = (
    b'<?xml version="1.0"?><worksheet><sheetData><row r="1" spans="1:2"><c r="A1" s="4" t="s"><v>0</v></c></row>'
    b'<row r="3" ht=\'2\'/><row r="5"><c r="B5" note="a>b"/><c r="D5"><f>A1</f></c></row></sheetData>'
    b"<x><row/></x></worksheet>"
)


def test_cells_stand_in_order_and_every_other_byte_stays() -> None:
    new = {row: {column: NewCell("n", f"{row}{column}", (1, 1)) for column in (2, 3)} for row in (1, 2, 3, 5, 7)}
    text = with_cells(SHEET, new)

    def cells(row: int) -> bytes:
        return b"".join(
            b'<c r="%s%d" s="4" t="n"><v>%d%d</v></c>' % (b"BC"[k : k + 1], row, row, k + 2) for k in (0, 1)
        )

    expected = SHEET.replace(b' spans="1:2"', b"").replace(
        b"</c></row>", b"</c>" + cells(1) + b'</row><row r="2">' + cells(2) + b"</row>", 1
    )
    expected = expected.replace(b"'2'/>", b"'2'>" + cells(3) + b"</row>").replace(b'<c r="B5" note="a>b"/>', cells(5))
    assert text == expected.replace(b"</sheetData>", b'<row r="7">' + cells(7) + b"</row></sheetData>")
    assert with_cells(SHEET, {}) == SHEET
    for damaged in (SHEET[:-20], b"", SHEET.decode().encode("utf-16")):
        with pytest.raises(ValueError, match="sheet is"):
            with_cells(damaged, new)


def test_an_empty_cell_with_a_style_at_the_end_of_a_row_is_filled() -> None:
    """Excel writes such a cell for each empty one that has a format or a border, the last of a row too."""
    rows = b'<row r="2"><c r="A2"><v>1</v></c><c r="B2" s="3"%s</row><row r="3"><c r="B3" s="3"%s</row>'
    sheet = b"<worksheet><sheetData>" + rows + b"</sheetData></worksheet>"
    new = {row: {2: NewCell("n", "7", (1, 2))} for row in (2, 3)}
    for empty in (b"/>", b" />", b"></c>"):
        assert with_cells(sheet % (empty, empty), new) == sheet % ((b' t="n"><v>7</v></c>',) * 2)


@pytest.mark.parametrize(("name", "number"), [("A1", 1), ("Z9", 26), ("AA10", 27), ("XFD1", 16_384)])
def test_the_letters_of_a_column(name: str, number: int) -> None:
    assert column_number(name) == number
    assert column_letters(number) == name.rstrip("0123456789")


# Damage.


def test_a_damaged_workbook_is_read_or_refused_in_a_line(tmp_path: Path) -> None:
    draw, path = random.Random(0), written(tmp_path / "t.xlsx", cached="6")
    whole, parts, faults = path.read_bytes(), parts_of(path), []
    for case in range(120):
        if case % 2:
            at = draw.randrange(len(whole))
            path.write_bytes(draw.choice([whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]]))
        else:
            broken = draw.choice(sorted(parts))
            at = draw.randrange(len(parts[broken]))
            new = draw.choice([b"", b"<", b'"', b"/>", b"\xff", b"<f>1</f>", b"9"])
            with zipfile.ZipFile(path, "w") as file:
                for name, text in parts.items():
                    file.writestr(
                        name, text[:at] + new + text[at + draw.choice([0, 1, 9]) :] if name == broken else text
                    )
        faults.append(fault_of(path, tmp_path / "u.xlsx"))
    assert sum(map(bool, faults)) > 10
    assert not all(faults)
    for line in filter(None, faults):
        assert line.startswith(str(tmp_path)), line
        assert "; " in line, line
        assert line.isprintable(), line


def fault_of(path: Path, out: Path) -> str:
    try:
        copied(path, out, {}, {"crop": [0]})
    except UserError as error:
        return str(error)
    return ""
