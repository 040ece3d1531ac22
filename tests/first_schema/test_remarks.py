"""`mmt init` remarks on words among numbers and on numbers that may stand for missing ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit.components import ColumnSummary
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.first_schema import first_schema
from mmtoolkit.first_schema.remarks import far_numbers, remarks_on
from mmtoolkit.tables import Reading
from own_tables import holed

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


def test_the_remark_names_the_number_the_others_and_the_option() -> None:
    cells = ("0.7", "-99", "7.7", "3.5")
    column = ColumnSummary("height", 40, 0, cells, (10, 10, 10, 10))
    (remark,) = remarks_on(column, used=True)
    assert_facts(remark, "-99 occurs 10 times", "0.7 to 7.7", "missing: [-99]")
    assert remarks_on(column, used=False) == []


@pytest.mark.parametrize(("numbers", "kind"), [(14, "text"), (18, "numeric")])
def test_words_among_numbers_are_told_whatever_the_kind(tmp_path: Path, numbers: int, kind: str) -> None:
    cells = [*(f"{3 + n / 7:.1f}" for n in range(3 * numbers)), *["ask Ann", "see note", "ill"] * (20 - numbers)]
    path = holed(tmp_path / "t.csv", {"height": cells, "word": ["a", "b", "c"] * 20}, 0.0).path
    choice = first_schema(path, tmp_path / "t.yaml", Reading(), load_plugins()).choices[0]
    assert choice.kind == kind
    assert_facts(choice.proposal.about, f"{numbers * 5}% of its cells are numbers", "'ask Ann'", "kind numeric", "mend")


def test_a_column_of_numbers_or_of_words_has_no_remark() -> None:
    for cells in (("1", "2"), ("a", "b"), ("1", "a", "b"), (True, False), ()):
        column = ColumnSummary("x", 10, 0, cells, (5,) * len(cells))
        assert remarks_on(column, used=True) == []
