"""What delimited text shows of itself: delimiter, quote, head and encoding."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.dialect import is_number
from toys import EXAMPLES


def table_of(folder: Path, text: str | bytes, name: str = "x.csv", **reading: Any) -> Delimited:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    table = open_table(path, Reading(**reading))
    assert isinstance(table, Delimited)
    return table


def rows_of(table: Delimited) -> list[list[Any]]:
    """The names and the cells, row by row."""
    columns = [table.column(name) for name in table.names]
    assert len(table) == len(columns[0])
    return [list(table.names), *map(list, zip(*columns, strict=True))]


def fault(folder: Path, text: str | bytes, name: str = "x.csv", **reading: Any) -> str:
    with pytest.raises(UserError) as caught:
        rows_of(table_of(folder, text, name, **reading))
    return str(caught.value).replace(str(folder / name), "FILE")


# Delimiters and quotes.


@pytest.mark.parametrize(
    ("text", "delimiter", "first"),
    [
        ("crop;height, cm\noats;7,5\nrye;1,3\n", ";", ["oats", "7,5"]),
        ("crop|height, cm|a;b\noats|7,5|x\nrye|1,3|y;z\n", "|", ["oats", "7,5", "x"]),
        ("crop\theight, cm\noats\t7,5\n", "\t", ["oats", "7,5"]),
        ("id;name, first\n1;Smith, John\n2;Doe, Jane\n", ";", ["1", "Smith, John"]),
        ("a,b|c\n1.5,x\n2.5,y|z\n", ",", ["1.5", "x"]),
        ("id,tags\n1,x;y\n2,z;w\n", ",", ["1", "x;y"]),
        ('a,b\n"1;2",3\n"4;5",6\n', ",", ["1;2", "3"]),
        ("a;b\n'x;y';1\n'z';2\n", ";", ["x;y", "1"]),
        ("'a','b'\n'x','y'\n'z','w'\n", ",", ["x", "y"]),
        ("a,b\n'tis,1\nnot,2\n", ",", ["'tis", "1"]),
        ("a,b\n'x,1\ny',2\n", ",", ["'x", "1"]),
        ("a,b\n\"it's\",'x'\n\"p\",'y'\n", ",", ["it's", "'x'"]),
        ("one\nx y\nz\n", ",", ["x y"]),
        ("one\nx; y\nz\n", ",", ["x; y"]),
        ("one\n7,5\n3,1\n", ";", ["7,5"]),
        ("height, cm\n7\n3\n", ";", ["7"]),
        ("tags\na;b;c\nd;e;f\n", ",", ["a;b;c"]),
        ('"a;b, c"\n7\n3\n', ",", ["7"]),
        ('"a;b, c"\n7,5\n3,1\n', ";", ["7,5"]),
        ("one\nno, never\nyes\n", ";", ["no, never"]),
        ("sep=|\na|b,c\n1|2,3\n", "|", ["1", "2,3"]),
        ('"sep=;"\r\na,b;c\r\n1,2;3\r\n', ";", ["1,2", "3"]),
    ],
)
def test_delimiter_and_quote_are_those_that_make_sense(
    tmp_path: Path, text: str, delimiter: str, first: list[str]
) -> None:
    table = table_of(tmp_path, text)
    assert table.dialect.delimiter == delimiter
    assert rows_of(table)[1] == first


def test_options_and_the_ending_come_first(tmp_path: Path) -> None:
    assert rows_of(table_of(tmp_path, "a;b,c\n1;2,3\n", delimiter=",")) == [["a;b", "c"], ["1;2", "3"]]
    assert rows_of(table_of(tmp_path, "a;b\tc\n1;2\t3\n", "x.tsv")) == [["a;b", "c"], ["1;2", "3"]]
    assert rows_of(table_of(tmp_path, "a,b\n'x',1\n'y',2\n", quote='"')) == [["a", "b"], ["'x'", "1"], ["'y'", "2"]]
    assert rows_of(table_of(tmp_path, "a,b\n`x,`,1\n", quote="`")) == [["a", "b"], ["x,", "1"]]
    for option in ({"quote": "a"}, {"quote": "\n"}, {"quote": ",", "delimiter": ","}, {"head": -1}):
        with pytest.raises(ValueError, match=r"quote|head"):
            Reading(**option)


@pytest.mark.parametrize("text", ["a,b;c\nd,e;f\ng,h;i\n", "a|b,c\nd|e,f\n"])
def test_a_tie_is_refused(tmp_path: Path, text: str) -> None:
    assert_facts(fault(tmp_path, text), "FILE: ", "','", "equally well", text.split()[-1], "; ", "give the delimiter")


def test_a_broken_line_does_not_change_the_delimiter(tmp_path: Path) -> None:
    rows = ["oats;7,5"] * 20
    rows[7] += ";"
    text = fault(tmp_path, "\n".join(["crop;height, cm", *rows]))
    assert_facts(text, "FILE:9: row 8 has 3 cells and the head 2", "; ", "';'")


def test_evidence_lies_beyond_the_first_rows(tmp_path: Path) -> None:
    text = "a;b, c\n" + "1;2,5\n" * 5000
    assert len(rows_of(table_of(tmp_path, text))) == 5001
    assert table_of(tmp_path, 'a;b\n1;"' + "x\n" * 5000 + '"\n').dialect.delimiter == ";"


@EXAMPLES
@given(
    rows=st.lists(
        st.tuples(st.text(st.sampled_from("abc ,;|."), max_size=6), st.floats(0, 1e6)), min_size=2, max_size=9
    ),
    delimiter=st.sampled_from(",;\t|"),
)
def test_what_the_csv_module_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]], delimiter: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("word", "number"), *rows])
    table = table_of(tmp_path_factory.mktemp("t"), text.getvalue(), missing=())
    assert rows_of(table) == [["word", "number"], *([word, str(number)] for word, number in rows)]


@pytest.mark.parametrize(
    "text", ["1", "-1.5", "7,5", "1e-3", "1 000", "1.000,5", "1,000,000.5", "50%", " 3 ", ".5", "5."]
)
def test_numbers(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize("text", ["", " ", "a", "1,5,2", "2020-01-02", "1;2", "12:30", "NA", "1 2"])
def test_texts_that_are_no_numbers(text: str) -> None:
    assert not is_number(text)


# The head.


@pytest.mark.parametrize(
    ("above", "line"),
    [
        ("", 1),
        ("Harvest 2025,,\nprinted today,,\n,,\n", 4),
        ("Harvest 2025\n\nprinted today\n", 4),
        ("\n\n", 3),
        ('"Harvest\n2025"\n', 3),
        ("sep=,\n", 2),
        ("sep=,\nHarvest,,\n", 3),
    ],
)
@pytest.mark.parametrize("rows", [["oats,7.3,x", "rye,1.2,y"], ["oats,a,x", "rye,b,y"]])
def test_a_title_is_no_head(tmp_path: Path, above: str, line: int, rows: list[str]) -> None:
    table = table_of(tmp_path, f"{above}crop,height,note\n{rows[0]}\n{rows[1]}\n")
    assert rows_of(table) == [["crop", "height", "note"], *(row.split(",") for row in rows)]
    assert table.dialect.head == line
    skipped = "line 1 is skipped" if line == 2 else f"lines 1 to {line - 1} are skipped"
    assert table.remarks == ([] if line == 1 else [f"the head is line {line}; {skipped}"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (",a,b\n0,1,2\n1,3,4\n", ("", "a", "b")),
        (",a\n0,1\n1,3\n", ("", "a")),
        (",a\nx,y\nz,w\n", ("", "a")),
        ("a,,\n1,2,3\n4,5,6\n", ("a", "", "")),
        ("a,b,\n1,2,\n4,5,\n", ("a", "b", "")),
        ("id,name,,\nx,oats,,\ny,rye,wet,cold\n", ("id", "name", "", "")),
        ("id,,\n" + "x,,\n" * 30 + "y,wet,cold\nz,p,q\n", ("id", "", "")),
        ("Harvest,\n,\na,b\n1,2\n", ("a", "b")),
        ("Harvest,\na,b\n1,2\n3,4\n", ("a", "b")),
        ("a,1990,1991\nx,1,2\n", ("a", "1990", "1991")),
        ("7,5\n3,1\n2,2\n", ("7", "5")),
    ],
)
def test_heads_that_lack_names(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    assert table_of(tmp_path, text).names == names


def test_the_option_head_names_the_line(tmp_path: Path) -> None:
    text = "x,1\ny,2\nz,3\n"
    assert rows_of(table_of(tmp_path, text, head=0)) == [["column_1", "column_2"], ["x", "1"], ["y", "2"], ["z", "3"]]
    assert rows_of(table_of(tmp_path, text, head=2)) == [["y", "2"], ["z", "3"]]
    assert rows_of(table_of(tmp_path, "\n\n\nT\na,b\n1,2\n", head=5)) == [["a", "b"], ["1", "2"]]
    assert table_of(tmp_path, text, head=2).remarks == []
    assert_facts(fault(tmp_path, text, head=9), "FILE: ", "no line 9", "; ", "option head")
    long = "z\n" * 3000 + "a,b\n1,2\n"
    assert rows_of(table_of(tmp_path, long, head=3001)) == [["a", "b"], ["1", "2"]]
    assert_facts(fault(tmp_path, "T\n\na,b\n1,2\n3,4,5\n", head=3), "FILE:5: row 2 has 3 cells")
    assert_facts(fault(tmp_path, 'T\n\na,b\n1,2\n3,"4\n', head=3), "FILE:5: ", "never closed")


@pytest.mark.parametrize(
    ("head", "row", "facts"),
    [
        ("a,b,c", "1,2,3,", ("3 cells", "20 rows have 4", "last of them empty", "add ','", "remove it from the rows")),
        ("a;b, c", "1;7,5;", ("2 cells", "20 rows have 3", "last of them empty", "add ';'", "remove it")),
        ('"a","b"', '"x","y","z"', ("2 cells", "20 rows have 3", "add the name that the head lacks", "first", "R")),
        ('"a","b","c"', '"x","y",2', ()),
        ("a|b", "a", ("2 cells", "20 rows have 1", "option head", "delimiter")),
        ("a", "1,5", ("1 cell ", "20 rows have 2", "R", "option head")),
        ('"a"', '"x","y"', ("1 cell ", "20 rows have 2", "R", "option head")),
        ("a,b,c,d", "1,2", ("4 cells", "20 rows have 2", "option head", "delimiter")),
    ],
)
def test_a_head_that_fits_no_row_is_one_fault(tmp_path: Path, head: str, row: str, facts: tuple[str, ...]) -> None:
    rows = [f"{n},5" for n in range(1, 21)] if head == "a" else [row] * 20
    text = "\n".join([head, *rows])
    if not facts:
        assert len(rows_of(table_of(tmp_path, text))) == 21
        return
    message = fault(tmp_path, text)
    assert "\n" not in message
    assert_facts(message, "FILE:1: the head has ", *facts)
    assert "; " in message


# Encodings.


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("option", ["utf-8", "cp1252", "utf-16-le"])
def test_a_byte_order_mark_decides(tmp_path: Path, encoding: str, option: str) -> None:
    table = table_of(tmp_path, "ä,b\nü,2\n".encode(encoding), encoding=option)
    assert rows_of(table) == [["ä", "b"], ["ü", "2"]]
    said = f"is read as {table.encoding}, as its byte order mark shows, not as {option}"
    assert table.remarks == ([] if option in ("utf-8", table.encoding) else [said])


@pytest.mark.parametrize("option", ["cp1252", "latin-1", "ascii", "cp1251", "utf-16", "cp037"])
def test_letters_of_utf8_are_read_as_such(tmp_path: Path, option: str) -> None:
    table = table_of(tmp_path, "ä,b\nü,2\n", encoding=option)
    assert rows_of(table) == [["ä", "b"], ["ü", "2"]]
    assert_facts("; ".join(table.remarks), "is read as utf-8", "letters", f"not as {option}")


@pytest.mark.parametrize("option", ["cp1252", "shift_jis", "cp1251", "utf-16-be", "cp037"])
def test_text_in_the_encoding_given_is_read_in_it(tmp_path: Path, option: str) -> None:
    word = {"shift_jis": "日本", "cp1251": "слово"}.get(option, "süß")
    for text in (f"{word},b\n{word},2\n", "a,b\nc,2\n"):
        table = table_of(tmp_path, text.encode(option), encoding=option)
        assert rows_of(table) == [line.split(",") for line in text.split()]
        assert not table.remarks


def test_json_lines_show_their_encoding_too(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        path.write_bytes('{"a": "süß"}\n'.encode(encoding))
        assert open_table(path, Reading(encoding="cp1252")).column("a") == ["süß"]
