"""`mmt init` judges how the numbers of a table are written, by column and by table."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit import Marks
from mmtoolkit.components import ColumnSummary
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.data.dataset import prepare
from mmtoolkit.first_schema import first_schema
from mmtoolkit.first_schema.marks import with_marks
from mmtoolkit.tables import Reading

PLUGINS = load_plugins()
POINT, COMMA = Marks(), Marks(",")
DOTS, COMMAS = Marks(",", "."), Marks(".", ",")


def summary(name: str, cells: Sequence[str]) -> ColumnSummary:
    return ColumnSummary(name, len(cells), 0, tuple(cells), (1,) * len(cells))


@pytest.mark.parametrize(
    ("columns", "marks"),
    [
        ([["7.4", "651"]], [[POINT]]),
        ([["651", "12"]], [[POINT]]),
        ([["1.198.000", "651"]], [[DOTS]]),
        ([["0,123", "1,5"]], [[COMMA]]),
        ([["12345", "1.198"]], [[POINT]]),
        ([["1.198", "651"]], [[POINT, DOTS]]),
        ([["1,198", "651"]], [[COMMA, COMMAS]]),
        # The other columns decide.
        ([["1.198", "651"], ["1,4", "7,3"]], [[DOTS], [COMMA]]),
        ([["1.198", "651"], ["1.4", "7.3"]], [[POINT], [POINT]]),
        ([["1,198", "651"], ["1.4", "7.3"]], [[COMMAS], [POINT]]),
        ([["1,198", "651"], ["1,234,567", "7"]], [[COMMAS], [COMMAS]]),
        ([["1.198", "651"], ["1'000", "7"]], [[POINT], [Marks(".", "'")]]),
        ([["12", "651"], ["1,4", "7,3"]], [[COMMA], [COMMA]]),
        ([["1.198", "651"], ["1.4", "7.3"], ["1,4", "7,3"]], [[POINT, DOTS], [POINT], [COMMA]]),
        ([["1.198", "651"], ["12", "13"], ["x", "y"]], [[POINT, DOTS], [POINT], []]),
        # Three decimals everywhere are decimals.
        ([["1.234", "0.056"]], [[POINT]]),
        ([["1.234", "2.056"]], [[POINT]]),
        ([["1,234", "2,056"]], [[COMMA, COMMAS]]),
        ([["1.234", "2.056"], ["1,4", "7,3"]], [[DOTS], [COMMA]]),
        # Spaces, apostrophes.
        ([["12 345", "7"]], [[Marks(".", " ")]]),
        ([["12 345", "7"], ["1,4", "7,3"]], [[Marks(",", " ")], [COMMA]]),
        ([["12\u202f345,5", "7"]], [[Marks(",", "\u202f")]]),
        ([["12’345.5", "7"]], [[Marks(".", "’")]]),
        # No numbers.
        ([["1,2", "2,3", "1,2,3", "4"]], [[]]),
        ([["2024-01-02", "2024-01-03"]], [[]]),
        ([["ask Ann", "see note", "7.5"]], [[]]),
        ([["ask Ann", "7.4", "7.5"]], [[POINT]]),
    ],
)
def test_marks_are_judged_by_column_and_table(columns: list[list[str]], marks: list[list[Marks]]) -> None:
    columns_read = with_marks([summary(f"c{place}", cells) for place, cells in enumerate(columns)])
    assert [list(column.marks) for column in columns_read] == marks


def test_typed_cells_have_no_marks() -> None:
    assert with_marks([ColumnSummary("x", 2, 0, (1.5, 2), (1, 1))])[0].marks == ()


def table(path: Path, columns: Mapping[str, Sequence[str]], delimiter: str = ";") -> Path:
    rows = [delimiter.join(row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([delimiter.join(columns), *rows]) + "\n", encoding="utf-8")
    return path


DRAW = random.Random(0)
PEOPLE = [f"{DRAW.randrange(100, 99_999):,}".replace(",", ".") for _ in range(60)]
HEIGHTS = [f"{DRAW.uniform(1, 8):.1f}".replace(".", ",") for _ in range(60)]


def test_a_table_with_dots_between_thousands(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", {"people": PEOPLE, "height": HEIGHTS})
    first = first_schema(path, tmp_path / "t.yaml", Reading(), PLUGINS)
    options = [dict(choice.proposal.options) for choice in first.choices]
    assert options == [{"decimal": ",", "thousands": "."}, {"decimal": ","}]
    data = prepare(first.schema.data, first.schema.units)
    numbers = [float(people.replace(".", "")) for people in PEOPLE]
    read = [number for split in data.splits.values() for number in split.stored["people"].tolist()]
    assert sorted(read) == sorted(numbers)
    assert not data.notes
    assert data.modalities["people"].decimals == (0,)  # type: ignore[attr-defined]


def test_an_open_column_is_left_out_with_both_options(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", {"people": PEOPLE, "word": ["a", "b", "c"] * 20})
    first = first_schema(path, tmp_path / "t.yaml", Reading(), PLUGINS)
    choice = first.choices[0]
    assert not choice.used
    assert_facts(choice.proposal.about, "two meanings", "decimal: '.', thousands: null", "decimal: ',', thousands: '.'")


def test_many_columns_keep_their_marks(tmp_path: Path) -> None:
    columns = {f"h{n}": DRAW.sample(HEIGHTS, 60) for n in range(16)}
    path = table(tmp_path / "t.csv", {"people": PEOPLE, **columns})
    modalities = first_schema(path, tmp_path / "t.yaml", Reading(), PLUGINS).schema.modalities
    marks = {name: (m.decimal, m.thousands) for name, m in modalities.items()}  # type: ignore[attr-defined]
    assert marks == {"people": (",", "."), **dict.fromkeys(columns, (",", None))}


def test_a_word_among_numbers_with_a_comma_means_a_missing_cell(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", {"height": [*HEIGHTS[:50], *["unknown"] * 10], "word": ["a", "b", "c"] * 20})
    first = first_schema(path, tmp_path / "t.yaml", Reading(), PLUGINS)
    assert first.choices[0].column.missing == 10
