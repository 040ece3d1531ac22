"""Remarks on cells that a modality may misread: words among numbers, words and numbers that may mean a missing cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import numpy as np

from mmtoolkit.base.yaml12 import write_entry
from mmtoolkit.first_schema.look import Markers
from mmtoolkit.tables.marks import Marks
from mmtoolkit.tables.summary import ColumnSummary

Entry = Mapping[str, Any]
Read = Callable[[ColumnSummary], Entry | None]

_NUMERIC = "numeric"
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


def remarks_on(column: ColumnSummary, entry: Entry | None, markers: Markers, read: Read) -> list[str]:
    """What a user should know of a column.

    Args:
        column: the column, without texts that mean a missing cell.
        entry: kind and options that read it in the schema; None if the schema leaves it out.
        markers: the texts that mean a missing cell, in this column and in others.
        read: the entry that would read a column; None if it would be left out.
    """
    marks = column.marks[0] if column.marks else Marks()
    numbers = [_number(cell, marks) for cell in column.cells]
    strays = _on_strays(column, entry, numbers, marks)
    if entry is None:
        return strays
    own = list(markers.own.get(column.name, ()))
    return [*strays, *_on_words(column, entry, own, markers, read), *_on_far_numbers(column, own, numbers)]


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


def _on_strays(column: ColumnSummary, entry: Entry | None, numbers: Sequence[float | None], marks: Marks) -> list[str]:
    """A remark on cells among numbers that are no numbers."""
    share = column.share([number is not None for number in numbers])
    if not _AMONG <= share < 1:
        return []
    strays = [cell for cell, number in zip(column.cells, numbers, strict=True) if number is None]
    first, count = strays[0], sum(n for n, number in zip(column.counts, numbers, strict=True) if number is None)
    example = repr(column.example(first)) if isinstance(first, str) else column.example(first)
    many = count > 1
    few = f"{count:,} cell{'s' if many else ''}, such as {example}, {'are no numbers' if many else 'is no number'}"
    if entry is None:
        return [f"{min(round(100 * share), 99)}% of its cells are numbers; {few}: mend them, if it is a quantity"]
    if entry["kind"] == _NUMERIC:
        return [f"{few} and count{'' if many else 's'} as missing"]
    unusual = {name: mark for name, mark in asdict(marks).items() if mark != getattr(Marks(), name)}
    numeric = _written(column.name, {"kind": _NUMERIC, **unusual})
    return [
        f"read as {entry['kind']}, because {few}; if it is a quantity, use {numeric}, which "
        "counts such cells as missing"
    ]


def _on_words(column: ColumnSummary, entry: Entry, own: Sequence[str], markers: Markers, read: Read) -> list[str]:
    """A remark on texts that are values here and mean a missing cell in another column.

    It gives what to write then: without them, another kind may fit.
    """
    words = markers.elsewhere(column)
    other = read(column.without(words)) if words else None
    if other is None:
        return []
    one = len(words) == 1
    listed = ", ".join(f"{word!r} ({n:,} cell{'s' if n > 1 else ''})" for word, n in words.items())
    signs = [*own, *words]
    if other["kind"] != entry["kind"]:
        remedy = f"write {_written(column.name, {**other, 'missing': signs})}"
    else:
        lists = [key for key, value in entry.items() if isinstance(value, list) and not words.keys().isdisjoint(value)]
        remedy = f"{'set' if own else 'add'} {_written('missing', signs)}"
        remedy += "".join(f", and take {'it' if one else 'them'} out of {key}" for key in lists)
    return [
        f"{listed} count{'s' if one else ''} as missing in other columns; if {'it does' if one else 'they do'} here "
        f"too, {remedy}"
    ]


def _sign(cell: Any) -> Any:
    """A cell as `missing` lists it: as a number if its text reads as one, so that it needs no quotes."""
    number = _number(cell, Marks())
    if number is None:
        return cell
    return int(number) if number.is_integer() else number


def _written(key: str, value: Any) -> str:
    """A line of YAML."""
    return " ".join(write_entry(key, value))


def _on_far_numbers(column: ColumnSummary, own: Sequence[str], numbers: Sequence[float | None]) -> list[str]:
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
        f"missing value, {'set' if own else 'add'} {_written('missing', [*own, _sign(by_number[code][0])])}"
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
