"""Judge how the columns of a table write their numbers: which decimal mark, and which mark between thousands.

In 1.198 the dot is a decimal mark, or stands between thousands. A column tells by other cells:

- 7.4 and 0.123 have decimals, 1.198.000 has thousands, and in 12345 thousands would have a mark too. So each candidate
  is judged by the cells that it reads; the best one is taken.
- Where several remain that read different numbers, the columns of the table that are clear decide: beside 1,4 the dot
  stands between thousands.
- Where these do not decide, a dot with three digits behind it in every cell is a decimal mark: of numbers with
  thousands some would be below 1000, or above a million.
- Otherwise it stays open, and the user must choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from mmtoolkit.tables.marks import EVERY, Marks
from mmtoolkit.tables.summary import ColumnSummary

_LEAST = 0.5  # the share of texts that are numbers, from which a column has numbers
_MOST_ODD = 0.05  # of the texts of digits and marks, those that a candidate with rarer marks may fail to read
_LONGEST = 40  # characters of a number
_DIGITS = set("0123456789")
_OF_NUMBERS = _DIGITS | set("+-eE \t") | {mark for marks in EVERY for mark in (marks.decimal, marks.thousands) if mark}


@dataclass(frozen=True, eq=False)
class _Reading:
    """What the marks read in a column.

    Attributes:
        marks: the marks; several if they read the same numbers.
        count: how many cells they read.
        numbers: text -> its number as `float` reads it.
    """

    marks: tuple[Marks, ...]
    count: int
    numbers: dict[str, float]


def with_marks(columns: Sequence[ColumnSummary]) -> list[ColumnSummary]:
    """The columns with the marks of their numbers, as each column and the others tell."""
    readings = [_best(column) for column in columns]
    clear = [reading.marks for (reading, *others) in filter(None, readings) if not others]
    decimals = set(chain.from_iterable(_agreed({m.decimal for m in marks}) for marks in clear))
    thousands = set(chain.from_iterable(_agreed({m.thousands for m in marks}) for marks in clear)) - {None}
    return [
        replace(column, marks=tuple(reading.marks[0] for reading in _decided(candidates, decimals, thousands)))
        for column, candidates in zip(columns, readings, strict=True)
    ]


def _agreed(values: set[str | None]) -> set[str | None]:
    """The one value that all have; nothing if they differ."""
    return values if len(values) == 1 else set()


def _best(column: ColumnSummary) -> list[_Reading]:
    """The readings of a column that read most cells; they differ in the numbers that they read."""
    texts = [(cell, count) for cell, count in zip(column.cells, column.counts, strict=True) if isinstance(cell, str)]
    short = [(text, count) for text, count in texts if len(text) <= _LONGEST and not _DIGITS.isdisjoint(text)]
    of_numbers = sum(count for text, count in short if _OF_NUMBERS.issuperset(text))
    if not short or of_numbers < _LEAST * sum(count for _, count in texts):
        return []
    characters = set().union(*(text for text, _ in short))
    readings: list[_Reading] = []
    for marks in EVERY:
        if marks.thousands is None or marks.thousands in characters:
            reading = _read(marks, short)
            usual = marks == Marks()
            if reading is not None and (usual or reading.count >= (1 - _MOST_ODD) * of_numbers):
                readings.append(reading)
    most = max((reading.count for reading in readings), default=0)
    best: list[_Reading] = []
    for reading in (reading for reading in readings if reading.count == most):
        same = next((place for place, other in enumerate(best) if other.numbers == reading.numbers), None)
        if same is None:
            best.append(reading)
        else:
            best[same] = replace(best[same], marks=(*best[same].marks, *reading.marks))
    return best if most >= _LEAST * sum(count for _, count in texts) else []


def _read(marks: Marks, texts: Sequence[tuple[str, int]]) -> _Reading | None:
    """What some marks read; None if there is a mark between thousands and no number has it.

    A number with so many digits that others of the column are grouped must be grouped too.
    """
    parts = {text: part for text, _ in texts if (part := marks.parts(text))}
    if marks.thousands is not None:
        grouped = [
            len(whole) - whole.count(marks.thousands) for whole, *_ in parts.values() if marks.thousands in whole
        ]
        if not grouped:
            return None
        least = max(min(grouped), 4)
        parts = {t: part for t, part in parts.items() if marks.thousands in part[0] or len(part[0]) < least}
    numbers = {text: float(marks.plain(text) or 0) for text in parts}
    return _Reading((marks,), sum(count for text, count in texts if text in parts), numbers)


def _decided(
    candidates: Sequence[_Reading], decimals: set[str | None], thousands: set[str | None]
) -> Sequence[_Reading]:
    """The readings that agree with the clear columns of the table, or all if none does."""
    agreeing = []
    for reading in candidates:
        marks = tuple(
            m
            for m in reading.marks
            if (not decimals or m.decimal in decimals)
            and (m.thousands is None or not thousands or m.thousands in thousands)
        )
        if marks:
            agreeing.append(replace(reading, marks=marks))
    left = agreeing or candidates
    if len(left) > 1 and left[0].marks[0] == Marks() and all(_three_decimals(text) for text in left[0].numbers):
        return left[:1]
    return left


def _three_decimals(text: str) -> bool:
    whole, fraction, exponent = Marks().parts(text) or ("", "", "")
    return bool(whole) and len(fraction) == 3 and not exponent
