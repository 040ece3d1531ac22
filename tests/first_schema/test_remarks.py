"""`mmt init` remarks on words among numbers, on cells that may mean missing ones, and on rare spellings."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit.components import ColumnSummary
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.first_schema import Choice, first_schema
from mmtoolkit.first_schema.look import Markers
from mmtoolkit.first_schema.remarks import far_numbers, remarks_on
from mmtoolkit.runs.checking import check
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.tables import Reading
from own_tables import holed
from runs import mmt

DRAW = random.Random(0)


def far(numbers: Sequence[float]) -> list[float]:
    counts = Counter(numbers)
    return far_numbers(sorted(counts), [counts[number] for number in sorted(counts)])


def whole(low: int, high: int, times: int = 90) -> list[float]:
    return [DRAW.randint(low, high) for _ in range(times)]


def repeated(*numbers: float) -> list[float]:
    return [number for number in numbers for _ in range(5)]


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ([round(DRAW.uniform(0.7, 7.7), 1) for _ in range(80)], [-99]),
        (whole(1, 5), [9]),
        (whole(18, 90), [999]),
        (whole(18, 80), [99]),
        (whole(18, 80), [-1]),
        (whole(0, 30), [97, 98, 99]),
        (whole(0, 30), [-99, 999]),
        (whole(1, 4), [7, 9]),
        (whole(1990, 2020), [9999]),
        (whole(1990, 2020), [0]),
        (whole(-5, 5), [1e30]),
        ([DRAW.gauss(3, 1) for _ in range(80)], [-9, -8]),
    ],
)
def test_numbers_that_may_stand_for_missing_ones(numbers: list[float], codes: list[float]) -> None:
    assert far([*numbers, *repeated(*codes)]) == codes
    assert far(numbers) == []
    assert far([*numbers, codes[0]]) == []  # it may be an outlier


@pytest.mark.parametrize(
    "numbers",
    [
        [-1, 0, 1] * 30,
        [-1, 1] * 30,
        list(range(10)) * 6,
        [0, 1, 10, 100] * 20,
        [1, 10, 100, 1000, 10_000, 100_000] * 20,
        [round(DRAW.lognormvariate(3, 1.5)) for _ in range(2000)],
        [round(DRAW.lognormvariate(0, 2), 1) for _ in range(2000)],
        [int(DRAW.paretovariate(0.7)) for _ in range(5000)],
        [*[0] * 300, *[1] * 50, *[2] * 20, *[3] * 5, *[7] * 3],
        [*[0] * 30, *whole(20_000, 60_000)],
        whole(1990, 2020),
        [round(DRAW.gauss(5, 4)) for _ in range(400)],
        [2, 4, 6, 8] * 20,
        [1, 3, 5, 7, 9] * 20,
        [9.99, 19.99, 99.99] * 30,
        [min(500, round(DRAW.expovariate(0.01))) for _ in range(2000)],
        [5.0] * 60,
        [],
    ],
)
def test_tails_doses_years_and_zeros_are_no_such_numbers(numbers: list[float]) -> None:
    assert far(numbers) == []


NUMERIC = {"kind": "numeric"}
LABEL = {"kind": "label"}
NO_SIGNS = Markers([], {})


def nothing(column: ColumnSummary) -> None:
    """What reads a column, where it does not matter."""


def test_the_remark_names_the_number_the_others_and_the_option() -> None:
    cells = ("0.7", "-99", "7.7", "3.5")
    column = ColumnSummary("height", 40, 0, cells, (10, 10, 10, 10))
    (remark,) = remarks_on(column, NUMERIC, NO_SIGNS, nothing)
    assert_facts(remark, "-99 occurs 10 times", "0.7 to 7.7", "add missing: [-99]")
    (remark,) = remarks_on(column, NUMERIC, Markers([], {"height": ["none"]}), nothing)
    assert_facts(remark, "set missing: [none, -99]")  # the option is there already
    assert remarks_on(column, None, NO_SIGNS, nothing) == []


def chosen(folder: Path, columns: Mapping[str, Sequence[str]]) -> dict[str, Choice]:
    path = holed(folder / "t.csv", {name: list(cells) for name, cells in columns.items()}, 0.0).path
    first = first_schema(path, folder / "t.yaml", Reading(), load_plugins())
    (folder / "t.yaml").write_text(first.text, encoding="utf-8")
    return {choice.name: choice for choice in first.choices}


@pytest.mark.parametrize(("numbers", "kind"), [(14, "text"), (18, "numeric")])
def test_words_among_numbers_are_told_as_the_kind_reads_them(tmp_path: Path, numbers: int, kind: str) -> None:
    cells = [*(f"{3 + n / 7:.1f}" for n in range(3 * numbers)), *["ask Ann", "see note", "ill"] * (20 - numbers)]
    choice = chosen(tmp_path, {"height": cells, "word": ["a", "b", "c"] * 20})["height"]
    assert choice.kind == kind
    (remark,) = choice.proposal.remarks
    if kind == "numeric":
        assert remark == "6 cells, such as 'ask Ann', are no numbers and count as missing"
    else:
        assert_facts(remark, "read as text, because 18 cells, such as 'ask Ann', are", "height: {kind: numeric}")
    assert remark in choice.about
    assert remark in (tmp_path / "t.yaml").read_text(encoding="utf-8")


def test_the_remark_on_a_label_gives_the_marks_of_its_numbers(tmp_path: Path) -> None:
    (choice,) = chosen(tmp_path, {"height": [*(f"{n % 3},5" for n in range(59)), "3b"]}).values()
    assert choice.kind == "label"
    (remark,) = choice.proposal.remarks
    assert_facts(remark, "read as label, because 1 cell, such as '3b', is no number", "missing")
    assert 'use height: {kind: numeric, decimal: ","}, which' in remark


def test_a_column_of_numbers_or_of_words_has_no_remark() -> None:
    for cells in (("1", "2"), ("a", "b"), ("1", "a", "b"), (True, False), ()):
        column = ColumnSummary("x", 10, 0, cells, (5,) * len(cells))
        assert remarks_on(column, LABEL, NO_SIGNS, nothing) == []


def test_a_word_that_means_missing_elsewhere_is_told_with_the_line_to_write(tmp_path: Path) -> None:
    numbers = [f"{DRAW.gauss(3, 1):.2f}" for _ in range(57)]
    columns = {
        "size": [*numbers, *["unknown"] * 3],
        "owner": ["Y", "N", "unknown"] * 20,
        "town": ["Rome", "Bern", "Oslo", "Unknown"] * 15,
        "strand": ["unknown", "known"] * 30,
    }
    choices = chosen(tmp_path, columns)
    (owner,), (town,) = choices["owner"].proposal.remarks, choices["town"].proposal.remarks
    line = "owner: {kind: binary, values: [N, Y], missing: [unknown]}"
    assert_facts(owner, "'unknown' (20 cells) counts as missing in other columns; ", "here too, write " + line)
    assert_facts(town, "'Unknown' (15 cells)", "add missing: [Unknown], and take it out of classes")
    assert choices["size"].proposal.remarks == choices["strand"].proposal.remarks == ()  # it has one other value
    text = (tmp_path / "t.yaml").read_text(encoding="utf-8")
    pasted = text.replace("owner: {kind: label, classes: [N, Y, unknown]}", line)
    assert pasted != text
    (tmp_path / "t.yaml").write_text(pasted, encoding="utf-8")
    findings, fault = check(read_schema(tmp_path / "t.yaml"), lambda line: None)
    assert fault is None
    assert findings["signs"]["owner"] == {"unknown": 20}


def test_a_class_that_occurs_once_and_is_spelt_as_another_is_told(tmp_path: Path) -> None:
    towns = ["Munich", "Zurich", "Berlin"] * 19
    choices = chosen(
        tmp_path, {"town": [*towns, "Muinch", "Zug", "berln"], "code": [*["A10", "A11", "B20"] * 19, "A12", "A1", "X1"]}
    )
    assert set(choices["town"].proposal.remarks) == {
        "'Muinch' occurs once; a misspelt 'Munich'?",
        "'berln' occurs once; a misspelt 'Berlin'?",
    }
    assert choices["code"].proposal.remarks == ()


def test_init_ends_with_what_to_look_at(tmp_path: Path) -> None:
    towns = ["Munich", "Zurich", "Berlin"] * 20
    path = holed(tmp_path / "t.csv", {"town": [*towns[:59], "Muinch"], "other": towns}, 0.0).path
    done = mmt("init", path)
    assert done.status == 0
    assert done.out.endswith("Look at these before you train:\n  town: 'Muinch' occurs once; a misspelt 'Munich'?\n")
    path = holed(tmp_path / "u.csv", {"other": towns}, 0.0).path
    assert "Look at" not in mmt("init", path).out


def test_a_decimal_comma_is_told_of_columns_that_have_one(tmp_path: Path) -> None:
    choices = chosen(tmp_path, {"size": [f"{n},5" for n in range(60)], "year": [str(1900 + n % 50) for n in range(60)]})
    assert "',' is the decimal mark" in choices["size"].about
    assert "mark" not in choices["year"].about
    assert choices["year"].proposal.options == {"decimal": ","}
