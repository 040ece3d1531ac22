"""Which class a cell names, however it is stored or written."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmtoolkit import Cells

_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(\.0+)?")
_LONGEST_DECIMAL = 400  # digits; a float has no more
_HASHABLE = (str, bool, int, float, Decimal, np.generic)
_SEVERAL = (Mapping, list, tuple, set, np.ndarray, bytes, bytearray)
_LONGEST_SHOWN = 40


def distinct(cells: Cells) -> tuple[list[Any], NDArray[np.intp]]:
    """The distinct cells, and for each cell its place among them, (N,); -1 where it is None or NaN."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        numbers, places = np.unique(cells, return_inverse=True)
        known = ~np.isnan(numbers)  # NaN is the last
        places = np.where(known[places], places, -1) if len(numbers) else places
        return list(numbers[known]), places.reshape(-1)
    values: list[Any] = []
    place_of: dict[Any, int] = {}
    places = np.full(len(cells), -1, dtype=np.intp)
    for row, cell in enumerate(cells):
        if cell is None or (isinstance(cell, (float, np.floating)) and math.isnan(cell)):
            continue
        key = (cell.__class__, cell) if isinstance(cell, _HASHABLE) else (row,)
        place = place_of.setdefault(key, len(values))
        if place == len(values):
            values.append(cell)
        places[row] = place
    return values, places


def counted(cells: Cells) -> Iterable[tuple[Any, int]]:
    """The distinct cells, and how often each occurs."""
    values, places = distinct(cells)
    return zip(values, np.bincount(places[places >= 0], minlength=len(values)).tolist(), strict=True)


def whole_number(text: str) -> str | None:
    """The digits of a whole number, such as 3 for 3.00; None for any other text, such as 03, +3 and 3.5."""
    match = _WHOLE.fullmatch(text)
    return None if match is None else match[2] if match[2] == "0" else f"{match[1]}{match[2]}"


def word(cell: Any) -> str:
    """A cell as a word, in which nothing is left that does not tell two classes apart but case.

    These are spaces at the ends, doubled spaces and Unicode's normal form. A whole number has its digits alone: 1, 1.0,
    "1" and " 1.00" are one word. True and "True" are one, too.
    """
    if isinstance(cell, str):
        text = " ".join(cell.split())
        text = text if text.isascii() else unicodedata.normalize("NFC", text)
    elif isinstance(cell, (float, np.floating)):
        text = _digits(float(cell))
    elif isinstance(cell, Decimal) and cell.is_finite() and abs(cell.adjusted()) < _LONGEST_DECIMAL:
        text = f"{cell:f}"
    else:
        text = str(cell)
    return whole_number(text) or text


def _digits(number: float) -> str:
    """The digits of a number: those of a float32 if it is one, since a column with holes holds float32 as float64."""
    if number.is_integer():
        return str(int(number))
    with np.errstate(over="ignore"):
        short = np.float32(number)
    return str(short) if float(short) == number else repr(number)


class ClassNames:
    """Finds the class that a cell names.

    An exact name comes first. Then a name that differs in nothing but what `word` leaves out: of several, the one that
    is a word itself. Then a name that differs in case too, if it is the only one.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        words = list(map(word, names))
        self._exact = {name: place for place, name in enumerate(names)}
        self._by_word = _single(words) | {name: place for place, name in enumerate(names) if words[place] == name}
        self._by_letters = _single([text.lower() for text in words])

    def place(self, cell: Any) -> int | None:
        """The place of a cell's class among the names; None if it names none of them."""
        place = self._exact.get(str(cell))
        if place is None and not isinstance(cell, _SEVERAL):
            text = word(cell)
            place = self._by_word.get(text)
            if place is None:
                place = self._by_letters.get(text.lower())
        return place

    def places(self, cells: Iterable[Any]) -> NDArray[np.int64]:
        """The place of each cell's class, (N,); -1 if it names none."""
        return np.array([-1 if (place := self.place(cell)) is None else place for cell in cells], dtype=np.int64)


def _single(keys: Sequence[str]) -> dict[str, int]:
    """Key -> its place, for keys that occur once."""
    counts = Counter(keys)
    return {key: place for place, key in enumerate(keys) if counts[key] == 1}


@lru_cache(maxsize=64)
def classes_of(names: tuple[str, ...]) -> ClassNames:
    """The classes of these names, which many columns may share."""
    return ClassNames(names)


def fault_of(cell: Any) -> str | None:
    """Why a cell cannot be the name of a class; None if it can."""
    if isinstance(cell, _SEVERAL):
        return f"{shown(cell)} is no name of a class but {type(cell).__name__}; give a text or a number"
    return None


def shown(cell: Any) -> str:
    """A cell in a message, cut where it is long."""
    text = repr(cell)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
