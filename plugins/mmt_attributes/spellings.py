"""The ways in which a column spells its classes: which of them count as one, and how the column writes a class."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from mmt_attributes.classes import fault_of, shown, whole_number, word
from mmtoolkit import ColumnSummary

_PLAIN_WORD = re.compile(r"[^\W\d_]{3,}|\b[Nn][Oo]\b")
_MOST_SHOWN = 4
_MANY_CELLS = 10  # beyond, a class that occurs once is a rare one
_NEAR = 0.82  # of difflib: Muinch is near Munich, and Zurich is not


class Spellings:
    """The classes that cells have, each with the ways in which they spell it.

    Texts that `word` makes equal are one class. Texts that differ in case too are one where all are usual spellings
    (lower case, Title Case or UPPER CASE) and have a word of three letters or more, or no; otherwise they are kept
    apart: Aa and aa may be genotypes. The most frequent word is the name.

    Attributes:
        fault: why the first cell that names no class cannot; None if there is none.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, cells: Iterable[tuple[Any, int]]) -> None:
        """Add cells and how often each occurs."""
        for cell, count in cells:
            if fault := fault_of(cell):
                self.fault = self.fault or fault
            else:
                self._counts[word(cell)][str(cell)] += count

    def _groups(self) -> Iterable[list[str]]:
        """Words that differ in case alone, the most frequent first."""
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for text in sorted(self._counts, key=lambda text: (-self._counts[text].total(), text)):
            groups[text.lower()].append(text)
        return groups.values()

    @property
    def classes(self) -> dict[str, Counter[str]]:
        """Name -> its spellings and how often each occurs; numbers in order of size, then words by the alphabet."""
        classes: dict[str, Counter[str]] = {}
        for texts in self._groups():
            for text in texts:
                name = texts[0] if _plain(texts) else text
                classes[name] = classes.get(name, Counter()) + self._counts[text]
        return {name: classes[name] for name in sorted(classes, key=_order)}

    def notes(self) -> list[str]:
        """What the user should know: the spellings that count as one class, and those that are kept apart."""
        return [*joined_notes(self.classes), *self._apart()]

    def _apart(self) -> list[str]:
        apart = [sorted(texts) for texts in self._groups() if len(texts) > 1 and not _plain(texts)]
        lines = [
            f"{', '.join(texts[:-1])} and {texts[-1]} are kept apart: list one of them in classes to join them"
            for texts in islice(apart, _MOST_SHOWN)
        ]
        more = len(apart) - len(lines)
        return [*lines, *([f"{more} more names differ in case alone and are kept apart"] if more else [])]


def joined_notes(classes: Mapping[str, Counter[str]]) -> list[str]:
    """A note on the spellings that count as another one, for name -> spellings and their counts; none without such."""
    joined = [
        (f"{shown(spelling)} ({count})", name)
        for name, spellings in classes.items()
        for spelling, count in sorted(spellings.items())
        if spelling != name and len(spellings) > 1
    ]
    if not joined:
        return []
    spelled = [spelling for spelling, _ in joined[:_MOST_SHOWN]]
    names = list(dict.fromkeys(name for _, name in joined[:_MOST_SHOWN]))
    if more := len(joined) - len(spelled):
        return [f"{', '.join(spelled)} and {more} more spellings count as {', '.join(names)}, …"]
    return [f"{_listed(spelled)} count{'s' if len(joined) == 1 else ''} as {_listed(names)}"]


def misspelt(counts: Mapping[str, int]) -> list[str]:
    """A remark on each class that occurs once and is spelt nearly as a frequent one; codes with digits are not words.

    Args:
        counts: how often each class occurs.
    """
    if sum(counts.values()) <= _MANY_CELLS:
        return []
    often = {name.casefold(): name for name, count in counts.items() if count > 1}
    rare = [name for name, count in counts.items() if count == 1 and not any(map(str.isdigit, name))]
    near = {name: get_close_matches(name.casefold(), often, n=1, cutoff=_NEAR) for name in rare}
    remarks = [f"{name!r} occurs once; a misspelt {often[close[0]]!r}?" for name, close in near.items() if close]
    return remarks[:_MOST_SHOWN]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _plain(texts: Sequence[str]) -> bool:
    """Whether texts that differ in case alone are plainly one word."""
    return all(
        text in (text.lower(), text.upper(), text.title(), text.capitalize()) and _PLAIN_WORD.search(text)
        for text in texts
    )


def _order(name: str) -> tuple[int, float, str]:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)  # nan has no order


Place = Callable[[Any], int | None]
"""The place of the class that a cell names; None if it names none."""


def own_style(column: ColumnSummary, place: Place, like: Callable[[str, Any], Iterable[Any]]) -> Callable[[Any], Any]:
    """A function that writes the name of a class as a column writes the class.

    It returns the most frequent cell that names the class, the first one in a tie. If there is none, it tries what
    `like` returns for the most frequent cell of each class, and else leaves the name as it is.

    Args:
        column: the column.
        place: of the classes.
        like: converts a name, beside a cell of another class, to cells to try; None where there is nothing to try.
    """
    known = sorted(zip(column.counts, column.cells, strict=True), key=lambda pair: -pair[0])
    cells: dict[int, Any] = {}
    for _, cell in known:
        if (at := place(cell)) is not None:
            cells.setdefault(at, cell)

    @cache
    def written(name: str) -> Any:
        own = place(name)
        if own in cells:
            return cells[own]
        tried = (new for cell in cells.values() for new in like(name, cell) if new is not None)
        return next((new for new in tried if place(new) == own), name)

    return written


def beside(name: str, cell: Any) -> Any:
    """The name of a class in the type and way of writing of a cell of another class, as far as that shows them.

    "3" beside "1.0" is "3.0", and beside the number 1.0 the number 3.0; "False" beside the value True is the value
    False. None for other names.
    """
    if isinstance(cell, (bool, np.bool_)):
        return {"false": False, "true": True}.get(name.lower())
    digits = whole_number(name)
    if digits is None or whole_number(word(cell)) is None:
        return None
    if isinstance(cell, str):
        _, point, zeros = cell.strip().partition(".")
        return digits + point + zeros
    if isinstance(cell, Decimal):
        return Decimal(digits)
    return float(digits) if isinstance(cell, (float, np.floating)) else int(digits)
