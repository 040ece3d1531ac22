"""Remarks on cells that a modality may misread: words among numbers, and numbers that stand for missing cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from mmtoolkit.tables.marks import Marks
from mmtoolkit.tables.summary import ColumnSummary

_AMONG = 0.5  # the share of numbers, from which words stand among numbers
_OFTEN = 3  # cells with one value, from which it is no single outlier
_ALIKE = 5  # distinct other values, from which it is plain where they lie
_FAR = 3.0  # how far such a value is from the others, in units of their range
_TWICE = 2.0  # how much more frequent a typical code near the others is than the next of them
_MOST_CODES = 3  # on each side of the others
_MOST_SHOWN = 4
# What surveys, loggers and registers write for a missing value, and beside it for "refused" or "does not apply".
_CODES = {-1, *(sign * (10**n - 1) for n in range(1, 7) for sign in (1, -1))}
_BESIDE = {-2, -3, *(sign * int(digit * n) for digit in "78" for n in range(1, 7) for sign in (1, -1))}
_BESIDE |= {sign * (10**n - k) for n in (2, 3, 4) for k in (2, 3, 4) for sign in (1, -1)}


def remarks_on(column: ColumnSummary, used: bool) -> list[str]:
    """What a user should know of a column.

    Args:
        column: the column.
        used: whether the schema uses it.
    """
    marks = column.marks[0] if column.marks else Marks()
    numbers = [_number(cell, marks) for cell in column.cells]
    return [*_on_words(column, numbers), *(_on_far_numbers(column, numbers) if used else [])]


def _number(cell: Any, marks: Marks) -> float | None:
    """A cell as a finite number; None if it is none."""
    if isinstance(cell, str):
        cell = marks.plain(cell)
    if not isinstance(cell, (str, int, float, Decimal)) or isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _on_words(column: ColumnSummary, numbers: Sequence[float | None]) -> list[str]:
    share = column.share([number is not None for number in numbers])
    if not _AMONG <= share < 1:
        return []
    word = next(cell for cell, number in zip(column.cells, numbers, strict=True) if number is None)
    example = repr(column.example(word)) if isinstance(word, str) else column.example(word)
    return [
        f"{min(round(100 * share), 99)}% of its cells are numbers; the others, such as {example}, are not: kind "
        "numeric reads the numbers and counts the others as missing; or mend the cells"
    ]


def _on_far_numbers(column: ColumnSummary, numbers: Sequence[float | None]) -> list[str]:
    """A remark on each repeated number that lies far from all others and may stand for a missing value."""
    by_number: dict[float, tuple[Any, int]] = {}
    for cell, count, number in zip(column.cells, column.counts, numbers, strict=True):
        if number is not None:
            first, before = by_number.get(number, (cell, 0))
            by_number[number] = (first, before + count)
    values = sorted(by_number)
    codes = far_numbers(values, [by_number[value][1] for value in values])
    others = [value for value in values if value not in codes]
    return [
        f"{column.example(by_number[code][0])} occurs {by_number[code][1]:,} times, far from the others, "
        f"{column.example(by_number[others[0]][0])} to {column.example(by_number[others[-1]][0])}; if it stands for a "
        f"missing value, add missing: [{column.example(by_number[code][0])}] to this modality"
        for code in codes[:_MOST_SHOWN]
    ]


def far_numbers(values: Sequence[float], counts: Sequence[int]) -> list[float]:
    """The values that may stand for missing ones: repeated, and below or above all others.

    - A typical code, such as -99 or 9, is farther from the others than these are apart; or it lies outside of them and
      is twice as frequent as the next one. Of negative ones, all others are then at least 0.
    - Any other value is three times as far from the others as their range, and there are five of them or more. If all
      are positive, this holds for their logarithms too: long tails and doses such as 1, 10, 100 are no codes.

    Args:
        values: distinct, in order.
        counts: how often each occurs.
    """
    codes: list[float] = []
    left = list(zip(values, counts, strict=True))
    for _ in range(2):  # a code on one side widens the range of the others until it is taken away
        for low in (True, False):
            for size in range(1, _MOST_CODES + 1):
                group, rest = (left[:size], left[size:]) if low else (left[-size:], left[:-size])
                if len(rest) >= 2 and _is_far(group, rest, low):
                    codes += [value for value, _ in group]
                    left = rest
                    break
    return sorted(codes)


def _is_far(group: Sequence[tuple[float, int]], rest: Sequence[tuple[float, int]], low: bool) -> bool:
    near, count = rest[0] if low else rest[-1]
    gap = near - group[-1][0] if low else group[0][0] - near
    reach = rest[-1][0] - rest[0][0]
    if min(often for _, often in group) < _OFTEN:
        return False
    codes = {value for value, _ in group}
    if not (codes & _CODES and codes <= _CODES | _BESIDE):
        grows = rest[0][0] > 0 and not low and math.log(group[0][0] / near) < _FAR * math.log(near / rest[0][0])
        return len(rest) >= _ALIKE and gap > _FAR * reach and not grows
    steps = np.diff([value for value, _ in rest])
    if gap >= reach and gap > steps.max():
        return True
    rarest = min(often for _, often in group)
    outside = rest[0][0] >= 0 if low else gap > 2 * np.median(steps)
    return bool(
        outside and len(rest) >= _ALIKE and gap >= np.median(steps) and rarest >= max(_TWICE * count, _OFTEN + 2)
    )
