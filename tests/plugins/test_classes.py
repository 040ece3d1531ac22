"""Which class a cell names, however it is stored or written, and how a column writes a class."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmt_attributes import Attributes, Label
from mmt_attributes.classes import ClassNames, word
from mmt_attributes.spellings import Spellings
from mmt_binary import Binary
from mmtoolkit import ColumnSummary, Modality, Reading
from mmtoolkit.tables import open_table
from mmtoolkit.tables.frames import frame_of
from toys import EXAMPLES

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Müll") for form in ("NFC", "NFD"))


def column_of(cells: Sequence[Any]) -> ColumnSummary:
    known = [cell for cell in cells if cell is not None]
    distinct = list(dict.fromkeys((type(cell), cell) for cell in known))
    counts = [sum(type(cell) is kind and cell == one for cell in known) for kind, one in distinct]
    return ColumnSummary("c", len(cells), len(cells) - len(known), tuple(one for _, one in distinct), tuple(counts))


# Identity.


@pytest.mark.parametrize("cell", [1, 1.0, "1", "1.0", "1.00", " 1 ", Decimal("1.000"), np.int8(1), np.float32(1)])
@pytest.mark.parametrize("name", ["1", "1.0"])
def test_a_whole_number_is_one_class(cell: Any, name: str) -> None:
    label = Label(classes=(name, "2"))
    assert label.parse(cell) == 0
    assert label.parse_column([cell, "2", None]).stored.tolist() == [0, 1, 0]
    assert Label().fit([[cell, 2]]).names == ("1", "2")


@pytest.mark.parametrize("pair", [("01", "1"), ("1.10", "1.1"), ("+1", "1"), ("1.", "1"), ("1e0", "1")])
def test_other_numbers_are_as_they_are_written(pair: tuple[str, str]) -> None:
    assert set(Label().fit([pair]).names) == set(pair)
    assert Label(classes=pair).parse_column(pair).stored.tolist() == [0, 1]
    assert Label(classes=(pair[0], "x")).parse_column([pair[1]]).faults


def test_an_exact_name_comes_first() -> None:
    label = Label(classes=("1", "1.0", "Aa", "aa", "a b", "a  b"))
    assert label.parse_column(["1", 1, "1.0", 1.0, "1.00", "Aa", "aa", "a  b", " a b"]).stored.tolist() == [
        0, 0, 1, 1, 0, 2, 3, 5, 4,
    ]  # fmt: skip
    assert list(label.parse_column(["AA", "Aa "]).faults) == [0]  # two names fit


def test_float32_with_holes_is_float32() -> None:
    cells = np.array([0.1, 2.5], dtype=np.float32)
    label = Label().fit([cells])
    assert label.names == ("0.1", "2.5")
    assert label.parse_column([*cells.tolist(), None]).stored.tolist() == [0, 1, 0]


@pytest.mark.parametrize("cell", [" cat", "cat ", "CAT", "Cat", "\tcat\n"])
def test_space_and_case_do_not_count_where_one_name_fits(cell: str) -> None:
    assert Label(classes=("dog", "cat")).parse(cell) == 1


def test_unicode_forms_are_one_class() -> None:
    assert COMPOSED != DECOMPOSED
    assert Label(classes=("x", COMPOSED)).parse(DECOMPOSED) == 1
    assert Label(classes=("x", DECOMPOSED)).parse(COMPOSED) == 1
    assert Label().fit([[COMPOSED, DECOMPOSED, "x"]]).names == (COMPOSED, "x")


def test_truth_is_one_class_as_a_value_and_as_text() -> None:
    label = Label(classes=("False", "True"))
    assert label.parse_column([True, "true", "TRUE", "false"]).stored.tolist() == [1, 1, 1, 0]
    assert Label(classes=("false", "true")).parse_column([True, False]).stored.tolist() == [1, 0]
    assert Label().fit([[True, "True", "true", False]]).names == ("False", "True")


def test_nan_is_no_cell() -> None:
    assert Label().fit([["a", float("nan"), "b"]]).names == ("a", "b")
    cells = Label(classes=("a", "b")).parse_column(["a", float("nan")])
    assert (cells.present.tolist(), dict(cells.faults)) == ([True, False], {})


@pytest.mark.slow
@EXAMPLES
@given(st.lists(st.text(max_size=5), min_size=1, unique=True))
def test_every_name_is_found(names: list[str]) -> None:
    classes = ClassNames(names)
    assert [classes.place(name) for name in names] == list(range(len(names)))
    for name in names:
        assert word(word(name)) == word(name)


@EXAMPLES
@given(st.lists(st.text("aAbB 1.0ä\u0308", max_size=4), min_size=1))
def test_every_cell_is_read_as_a_class_that_is_learned(cells: list[str]) -> None:
    spellings = Spellings()
    spellings.add((cell, 1) for cell in cells)
    names = list(spellings.classes)
    places = ClassNames(names).places(cells)
    assert set(places.tolist()) == set(range(len(names)))
    for name, spelled in spellings.classes.items():
        assert {names[place] for place in ClassNames(names).places(spelled)} == {name}


def in_files(folder: Path, cells: Sequence[int | None]) -> dict[str, Any]:
    """The same column of whole numbers in tables of each kind."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    texts = {"int": "{}", "float": "{}.0", "two": "{}.00"}
    tables: dict[str, Any] = {}
    for name, form in texts.items():
        lines = ["" if cell is None else form.format(cell) for cell in cells]
        (folder / f"{name}.csv").write_text("".join(f"{line},x\n" for line in ["c", *lines]))
        tables[f"csv {name}"] = open_table(folder / f"{name}.csv", Reading())
    for kind in (pa.int16(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.decimal128(9, 2)):
        values = [cell if cell is None or kind != pa.string() else str(cell) for cell in cells]
        array = pa.array(values, kind)
        path = folder / f"{str(kind).partition('(')[0]}.parquet"
        pa.parquet.write_table(pa.table({"c": array, "dictionary": array.dictionary_encode()}), path)
        tables[path.name] = open_table(path, Reading())
    for name, convert in {"int": int, "float": float}.items():
        rows = [json.dumps({"c": None if cell is None else convert(cell)}) for cell in cells]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
        tables[f"jsonl {name}"] = open_table(folder / f"{name}.jsonl", Reading())
    floats = [float("nan") if cell is None else float(cell) for cell in cells]
    tables["pandas"] = frame_of(pandas.DataFrame({"c": floats}))
    tables["pandas Int64"] = frame_of(pandas.DataFrame({"c": pandas.array(cells, "Int64")}))
    tables["pandas category"] = frame_of(pandas.DataFrame({"c": pandas.Categorical(floats)}))
    tables["pandas object"] = frame_of(pandas.DataFrame({"c": pandas.Series(cells, dtype=object)}))
    tables["polars"] = frame_of(polars.DataFrame({"c": cells}, schema={"c": polars.Int64}))
    return tables


@pytest.mark.slow
@EXAMPLES
@given(st.lists(st.none() | st.integers(-12, 12), min_size=3).filter(lambda cells: len({*cells} - {None}) > 1))
def test_a_table_has_the_same_classes_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, cells: list[int | None]
) -> None:
    expected = tuple(map(str, sorted({cell for cell in cells if cell is not None})))
    stored = [-1 if cell is None else expected.index(str(cell)) for cell in cells]
    for name, table in in_files(tmp_path_factory.mktemp("t"), cells).items():
        for column in set(table.names) & {"c", "dictionary"}:
            chunks = [rows.cells(column) for rows in table.rows(2, [column])]
            known = [[cell for cell in chunk if cell is not None] for chunk in chunks]
            label = Label().fit(known)
            assert label.names == expected, name
            parsed = [label.parse_column(chunk) for chunk in chunks]
            places = torch.cat([torch.where(one.present, one.stored, -1) for one in parsed])
            assert places.tolist() == stored, name


# Variants.


def variants(*cells: str) -> tuple[list[str], list[str]]:
    spellings = Spellings()
    spellings.add((cell, cells.count(cell)) for cell in dict.fromkeys(cells))
    return list(spellings.classes), spellings.notes()


def test_usual_spellings_of_a_word_are_one_class() -> None:
    cells = ["no", "no", "no", "no", "No", "No", "No", "yes", "yes", "YES ", "maybe"]
    names, notes = variants(*cells)
    assert names == ["maybe", "no", "yes"]
    assert notes == ["'No' (3) and 'YES ' (1) count as no and yes"]
    assert Label().fit([cells]).names == ("maybe", "no", "yes")


def test_the_most_frequent_spelling_is_the_name() -> None:
    assert variants("Oats", "oats", "Oats", "RYE", "rye ", "rye") == (
        ["Oats", "rye"],
        ["'oats' (1), 'RYE' (1) and 'rye ' (1) count as Oats and rye"],
    )


def test_what_may_be_meant_is_kept_apart() -> None:
    names, notes = variants("AA", "Aa", "aa", "Co", "CO")
    assert names == ["AA", "Aa", "CO", "Co", "aa"]
    assert notes == [
        "AA, Aa and aa are kept apart: list one of them in classes to join them",
        "CO and Co are kept apart: list one of them in classes to join them",
    ]
    assert variants("iPhone", "iphone")[0] == ["iPhone", "iphone"]
    assert Label(classes=("aa", "x")).parse_column(["AA", "Aa", "aa"]).stored.tolist() == [0, 0, 0]


def test_one_way_of_writing_needs_no_note() -> None:
    assert variants("1.0", "2.0", "1.0") == (["1", "2"], [])
    assert variants("1.0", "1", "2") == (["1", "2"], ["'1.0' (1) counts as 1"])
    assert variants("cat  ", "dog  ") == (["cat", "dog"], [])


def test_many_notes_are_counted() -> None:
    cells = [f"{chr(97 + n) * 3}{end}" for n in range(9) for end in ("", "", " ")]
    (note,) = variants(*cells)[1]
    assert note == "'aaa ' (1), 'bbb ' (1), 'ccc ' (1), 'ddd ' (1) and 5 more spellings count as aaa, bbb, ccc, ddd, …"


@pytest.mark.parametrize("cell", [" YES ", "Yes", "yes\n", "y", 1, "1.00", Decimal("1.00"), True, "TRUE "])
def test_yes_is_yes_however_it_is_written(cell: Any) -> None:
    for values in (("no", "yes"), ("0", "1"), ("0.0", "1.0"), ("False", "True")):
        assert Binary(values=values).parse(cell) == 1


# How a column writes a class.

Write = Callable[[Any], Any]


def written(modality: Modality, cells: Sequence[Any], *names: str) -> list[Any]:
    style = modality.style(column_of(cells))
    return [style(name) for name in names]


def assert_same(cells: Sequence[Any], expected: Sequence[Any]) -> None:
    assert [(type(cell), cell) for cell in cells] == [(type(cell), cell) for cell in expected]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0", "1", "1"], ["0", "1"]),
        ([0, 1, None], [0, 1]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([False, True], [False, True]),
        (["N", "Y", "Y"], ["N", "Y"]),
        ([" no", "Yes", "yes", "Yes"], [" no", "Yes"]),
        ([1], [0, 1]),  # the other of the pair
        ([1.0], [0.0, 1.0]),
        (["1.0"], ["0.0", "1.0"]),
        ([True], [False, True]),
        (["YES"], ["NO", "YES"]),
        (["No"], ["No", "Yes"]),
        (["t"], ["f", "t"]),
        ([Decimal("1.0")], [Decimal(0), Decimal("1.0")]),
        ([], ["no", "yes"]),
        (["maybe"], ["no", "yes"]),
    ],
)
def test_yes_and_no_are_written_as_the_column_does(cells: list[Any], expected: list[Any]) -> None:
    for modality in (Binary(values=("no", "yes")), Attributes(columns=("c",), values=("no", "yes"))):
        assert_same(written(modality, cells, "no", "yes"), expected)


def test_the_partner_reads_back() -> None:
    assert written(Binary(values=("-1", "1")), [1, None], "-1", "1") == [-1, 1]
    assert written(Binary(values=("dead", "alive")), ["Alive", "Alive", "alive"], "dead", "alive") == ["dead", "Alive"]
    assert written(Binary(values=("1", "0")), [0], "1", "0") == [1, 0]  # turned round


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, 2, 2], [1, 2, 3]),
        (["1", "2"], ["1", "2", "3"]),
        (["1.0", "2.0"], ["1.0", "2.0", "3.0"]),
        ([1.0, None], [1.0, 2.0, 3.0]),
        (["2.00"], ["1.00", "2.00", "3.00"]),
        (["1", "1.0", "1.0"], ["1.0", "2.0", "3.0"]),
        ([Decimal(2)], [Decimal(1), Decimal(2), Decimal(3)]),
        (["x"], ["1", "2", "3"]),
        ([], ["1", "2", "3"]),
    ],
)
def test_whole_numbers_are_written_as_the_column_does(cells: list[Any], expected: list[Any]) -> None:
    assert_same(written(Label(classes=("1", "2", "3")), cells, "1", "2", "3"), expected)
    old = ("1.0", "2.0", "3.0")  # as 0.1 learned them from numbers with holes
    assert_same(written(Label(classes=old), cells, *old), expected if cells and cells != ["x"] else old)


def test_a_class_is_never_written_as_another() -> None:
    assert written(Label(classes=("1", "3", "3.0")), ["1.0"], "1", "3", "3.0") == ["1.0", "3", "3.0"]
    assert written(Label(classes=("01", "1")), [1], "01", "1") == ["01", 1]


def test_words_are_written_as_the_column_most_often_does() -> None:
    label = Label(classes=("no", "yes", "maybe", COMPOSED))
    cells = ["No", "No", "no", "YES ", DECOMPOSED]
    assert written(label, cells, *label.names) == ["No", "YES ", "maybe", DECOMPOSED]
    assert written(Label(classes=("False", "True", "x")), [True, "x"], "False", "True") == [False, True]
