"""Numbers in texts: the marks that are read, and how a column spells its predicted numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mmt_attributes import Numeric
from mmt_attributes.spelling import decimals_of
from mmtoolkit import ColumnSummary, Marks
from mmtoolkit.components import Records
from mmtoolkit.tables.marks import EVERY
from mmtoolkit.testing import check_modality
from toys import EXAMPLES

NBSP, NARROW = "\u00a0", "\u202f"


def summary(cells: Sequence[Any], name: str = "x", **more: Any) -> ColumnSummary:
    distinct = list(dict.fromkeys(cells))
    return ColumnSummary(name, len(cells), 0, tuple(distinct), tuple(cells.count(cell) for cell in distinct), **more)


def numeric(**options: Any) -> Numeric:
    return Numeric(mean=(0.0,), std=(1.0,), **options)


def written(number: float, cells: Sequence[Any], **options: Any) -> Any:
    """How a column with these known cells writes a number."""
    return numeric(**{"decimals": (2,), **options}).style(summary(cells))(number)


# Reading.


@pytest.mark.parametrize(
    ("decimal", "thousands", "cell", "number"),
    [
        (",", ".", "7.360", 7360),
        (",", ".", "1.198.000,5", 1198000.5),
        (",", ".", "651", 651),
        (",", ".", "12345", 12345),
        (",", None, "-1,4", -1.4),
        (",", None, ",5", 0.5),
        (",", None, "1,5e-3", 0.0015),
        (".", ",", " 1,234.5 ", 1234.5),
        (".", "'", "1'000", 1000),
        (",", "’", "1’000,5", 1000.5),
        (",", " ", "-12 345 678", -12345678),
        (",", NBSP, f"1{NBSP}000", 1000),
        (",", NARROW, f"1{NARROW}000", 1000),
        (",", ".", 7.36, 7.36),
        (",", ".", Decimal("7.36"), 7.36),
    ],
)
def test_texts_are_read_by_their_marks(decimal: Any, thousands: Any, cell: Any, number: float) -> None:
    one = numeric(decimal=decimal, thousands=thousands)
    assert one.parse(cell).item() == number
    assert one.parse_column([cell, None, cell]).stored.tolist() == [number, 0, number]
    assert one.parse_column([cell, "nan", 1]).stored.tolist() == [number, 0, 1]


@pytest.mark.parametrize(
    ("decimal", "thousands", "cell"),
    [
        (",", ".", "7.36"),
        (",", ".", "0.123"),
        (",", ".", "1234.567"),
        (",", ".", "1.234.56"),
        (",", ".", "1,234.5"),
        (",", None, "1.5"),
        (".", None, "1,5"),
        (".", " ", "10 00"),
    ],
)
def test_what_other_marks_write_is_a_fault(decimal: Any, thousands: Any, cell: str) -> None:
    one = numeric(decimal=decimal, thousands=thousands)
    with pytest.raises(ValueError, match="is no number with decimal") as raised:
        one.parse(cell)
    assert str(Marks(decimal, thousands)) in str(raised.value)
    assert one.parse_column([cell, "1"]).faults == {0: str(raised.value)}


def test_a_fault_names_the_marks_that_read_the_cell() -> None:
    (fault,) = numeric().parse_column(["1,5"]).faults.values()
    assert "set decimal ',' and no thousands" in fault


def test_marks_of_each_column() -> None:
    both = Numeric(columns=("a", "b"), decimal=(",", "."), thousands=(".", None))
    both = both.fit([Records({"a": ["7.360", "1,5"], "b": ["7.360", "1.5"]})])
    assert both.decimals == (1, 2)
    assert both.parse({"a": "7.360", "b": "7.360"})[0].tolist() == [7360, 7.36]
    known = {"a": ["7.360", "1,5"], "b": ["7.36", "1.5"]}
    styles = [both.style(summary(cells, name)) for name, cells in known.items()]
    assert [style(2345.67) for style in styles] == ["2.345,7", "2345.67"]


def test_marks_must_differ() -> None:
    for options in (
        {"decimal": ",", "thousands": ","},
        {"columns": ("a", "b"), "decimal": (".", ","), "thousands": "."},
    ):
        with pytest.raises(ValidationError, match="are both"):
            Numeric(**options)
    with pytest.raises(ValidationError, match="decimal has 3 entries"):
        Numeric(columns=("a", "b"), decimal=(".", ",", "."))


@pytest.mark.slow
def test_the_contract_holds_with_marks() -> None:
    check_modality(Numeric(decimal=",", thousands="."), cells=["1,5", "2,25", "3", "1.234,125"])


# Writing.


@pytest.mark.parametrize(
    ("number", "cells", "text"),
    [
        (41.7138, ["77", "10"], "42"),
        (1737304390.6, ["1750464000"], "1737304391"),
        (7.6, ["7.25", "8.10"], "7.60"),
        (7.6049, ["7.2", "8.10", "9"], "7.6"),
        (7.0, ["7.2", "8.10", "9"], "7"),
        (-0.001, ["7.2", "8.1"], "0.0"),
        (-0.2, ["7", "8"], "0"),
        (-0.0, ["7.25", "8"], "0"),
        (0.30000000000000004, ["0.1234567890123", "0.2"], "0.3"),
        (0.00003, ["0.00001", "0.2"], "0.00003"),
        (2e22, ["1", "2"], "20000000000000000000000"),
        (0.00015, ["1.5e-03", "2.25e-03"], "1.5e-04"),
        (123456.0, ["1.5E5", "2.2E5"], "1.2E5"),
        (-0.0, ["1.5e-03", "2.5e-03"], "0.0e+00"),
        (3e-7, ["0.12", "0.13", "1.5e-07"], "3e-07"),
        (0.25, ["0.12", "0.13", "1.5e-07"], "0.25"),
        (4.4, ["ask Ann"], 4.4),
        (4.444, ["ask Ann"], 4.44),
        (4.4, [], 4.4),
        (4.4, [4, 5], 4),
        (42.004, [4.0, 5.0], 42.0),
        (-0.001, [4.0, 5.0], 0.0),
        (4.12345, [4.125, 5.0], 4.123),
        (4.12345, [1 / 3, 5.0], 4.12345),
        (4.12345, [np.float64(np.float32(0.1))], 4.12),
        (4.12345, [Decimal("4.1"), Decimal("2.125")], Decimal("4.123")),
        (4.9, [True], 4.9),
    ],
)
def test_a_number_is_written_like_the_known_cells(number: float, cells: list[Any], text: Any) -> None:
    text_written = written(number, cells)
    assert text_written == text
    assert type(text_written) is type(text)
    assert not str(text_written).startswith("-0")


@pytest.mark.parametrize(
    ("number", "cells", "text"),
    [
        (7345.0, ["7.360", "651"], "7.345"),
        (7345.0, ["651", "12"], "7.345"),
        (345.0, ["7.360", "651"], "345"),
        (1234567.0, ["7.360", "651"], "1.234.567"),
        (7345.0, ["7360", "651"], "7345"),
        (7345.0, ["12.360", "7360"], "7345"),
        (17345.0, ["12.360", "7360"], "17.345"),
        (-1234.5, ["1.234,50"], "-1.234,50"),
        (0.5, ["0,25", "7,5"], "0,5"),
        (-0.001, ["0,25", "7,5"], "0,0"),
    ],
)
def test_marks_are_written_too(number: float, cells: list[str], text: str) -> None:
    assert written(number, cells, decimal=",", thousands=".") == text


def test_a_column_without_known_cells_has_the_marks_in_a_format_of_texts() -> None:
    one = numeric(decimal=",", thousands=".", decimals=(1,))
    assert one.style(summary([], text_format=True))(1234.56) == "1.234,6"
    assert one.style(summary([]))(1234.56) == 1234.6


def test_nothing_is_rounded_where_no_decimals_are_known() -> None:
    assert written(41.7138, ["77", "10"], decimals=None) == 41.7138
    assert written(41.7138, [77, 10], decimals=None) == 41.7138


@pytest.mark.parametrize(
    ("cells", "decimals"),
    [
        ([1, 2, 3], 0),
        ([1.0, 2.5], 1),
        (["7.60", "7.6"], 1),
        (["1750464000", "1724889600"], 0),
        ([0.1 + 0.2], 1),
        ([float(np.float32(0.1))], 1),
        (["1e-7"], 7),
        ([1e50, 3], 0),
        ([2.0**53 + 2], 0),
        ([16777217.0, 8388609.0], 0),
        ([1e-20], 32),
    ],
)
def test_decimals_are_learned(cells: list[Any], decimals: int) -> None:
    assert Numeric().fit([cells]).decimals == (decimals,)
    assert Numeric().fit([cells, [math.nan], ["x"]]).decimals == (decimals,)


def test_many_decimals_are_counted_fast() -> None:
    numbers = np.random.default_rng(0).normal(size=300_000)
    assert decimals_of(numbers) >= 12
    assert decimals_of(np.round(numbers, 3)) == 3


DIGITS = st.text("0123456789", min_size=1, max_size=7)


@st.composite
def columns(draw: st.DrawFn) -> tuple[Marks, list[str], float, int]:
    """Marks, the cells of a column, a number to write in it, and its most decimals."""
    marks = draw(st.sampled_from(EVERY))
    most = draw(st.integers(0, 5))
    fixed = draw(st.booleans())
    cells = []
    for _ in range(draw(st.integers(1, 5))):
        value = Decimal(draw(st.integers(-(10**9), 10**9))).scaleb(-most)
        digits = most if fixed else draw(st.integers(0, most))
        text = f"{value:,.{digits}f}" if marks.thousands else f"{value:.{digits}f}"
        cells.append(text.replace(",", "T").replace(".", marks.decimal).replace("T", marks.thousands or ""))
    return marks, cells, draw(st.floats(-1e6, 1e6)), most


@pytest.mark.parametrize(
    ("cells", "number", "text"),
    [
        ([".56", "-.34"], 0.5, ".50"),
        ([".56", "-.34"], -0.127, "-.13"),
        ([".56", "1.34"], 0.0, ".00"),
        ([".56", "0.34"], 0.5, "0.50"),
        ([".5", "2"], 0.0, "0"),
        (["+1.5", "-0.5", "0.0"], 0.25, "+0.2"),
        (["+1.5", "-0.5", "0.0"], 0.01, "0.0"),
        (["+1.5", "-0.5"], -2.0, "-2.0"),
        (["+1.5", "2.5"], 2.0, "2.0"),
        (["-1.5"], 2.0, "2.0"),
        (["+1.5e-03", "-2.5e-03"], 0.001, "+1.0e-03"),
    ],
)
def test_signs_and_zeros_before_the_mark_are_those_of_the_column(cells: list[str], number: float, text: str) -> None:
    assert written(number, cells) == text


@EXAMPLES
@given(columns())
def test_what_is_written_reads_as_the_rounded_number(case: tuple[Marks, list[str], float, int]) -> None:
    marks, cells, number, _ = case
    one = numeric(decimal=marks.decimal, thousands=marks.thousands, decimals=(0,))
    lengths = [len(cell.partition(marks.decimal)[2]) for cell in cells]
    text = one.style(summary(cells))(number)
    short = Decimal(repr(float(f"{number:.9g}"))) if max(lengths) else Decimal(repr(number))
    expected = short.quantize(Decimal(1).scaleb(-max(lengths)), ROUND_HALF_EVEN)
    assert one.number(text, 0) == float(expected)
    assert min(lengths) <= len(text.partition(marks.decimal)[2]) <= max(lengths)
    assert not (text.startswith("-") and expected == 0)
    assert one.style(summary(cells))(one.number(text, 0)) == text


@EXAMPLES
@given(st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=20), st.integers(0, 6))
def test_learned_decimals_are_those_of_the_cells(wholes: list[int], decimals: int) -> None:
    values = [Decimal(whole).scaleb(-decimals) for whole in wholes]
    needed = max((-int(value.normalize().as_tuple().exponent) for value in values if value), default=0)
    assert decimals_of(np.array([float(value) for value in values])) == max(needed, 0)
