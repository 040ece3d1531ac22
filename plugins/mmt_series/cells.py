"""Reads cells that hold a series: lists of numbers, as such, as arrays, or as JSON in texts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mmtoolkit import Cells, Marks, Support, belongs, in_words

LARGEST = 1e50
"""The largest number. Up to it no standardised number and no density overflows float64."""
_MOST_FAULTS = 3  # of one cell, in a message
_SHOWN = 30  # characters of a cell, in a message
_PYTHON_S = re.compile(r"\b(nan|None)\b")  # what Python writes for null in a list
_NUMBERS = {int, float, type(None)}


@dataclass(frozen=True)
class Reader:
    """Reads cells of numbers that belong to a support.

    Attributes:
        channels: how many numbers there are at each time; None if a cell is a plain list of numbers.
        support: which numbers there are.
    """

    channels: int | None = None
    support: Support = "real"

    def read(self, cell: Any) -> tuple[NDArray[np.float64], list[str]]:
        """A cell as numbers (T, C), NaN where unknown, and a fault for each number that cannot be read.

        Raises:
            ValueError: the cell is no list of numbers; the message states the fault and the remedy.
        """
        listed = self._listed(cell)
        if isinstance(listed, np.ndarray):
            values = listed.reshape(-1, self.channels or 1).astype(np.float64)
        else:
            flat = listed if self.channels is None else self._flat(listed, self.channels)
            if not set(map(type, flat)) <= _NUMBERS:
                return self._one_by_one(flat)
            try:
                values = np.array(flat, dtype=np.float64).reshape(-1, self.channels or 1)  # None becomes NaN
            except OverflowError:  # a whole number of hundreds of digits
                return self._one_by_one(flat)
        doubtful = ~np.isnan(values) & ~self._belong(values)
        return self._one_by_one(values.ravel().tolist()) if doubtful.any() else (values, [])

    def column(self, cells: Cells) -> tuple[NDArray[np.float64], dict[int, str]]:
        """A column of single numbers as (N,), NaN where unknown or faulty, and row -> fault."""
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
            values = cells.astype(np.float64)
        elif set(map(type, cells)) <= _NUMBERS:
            try:
                values = np.array(cells, dtype=np.float64)
            except OverflowError:
                return self._each(cells)
        else:
            return self._each(cells)
        doubtful = ~np.isnan(values) & ~self._belong(values)
        return self._each(cells) if doubtful.any() else (values, {})

    def _each(self, cells: Iterable[Any]) -> tuple[NDArray[np.float64], dict[int, str]]:
        """Numbers, read one by one: NaN where a cell is unknown or faulty, and place -> fault."""
        values: list[float] = []
        faults: dict[int, str] = {}
        for place, cell in enumerate(cells):
            try:
                values.append(self._number(cell))
            except ValueError as error:
                values.append(math.nan)
                faults[place] = str(error)
        return np.array(values, dtype=np.float64), faults

    def _one_by_one(self, flat: Sequence[Any]) -> tuple[NDArray[np.float64], list[str]]:
        """As `read`, for the numbers of all times in a row."""
        values, faults = self._each(flat)
        channels = self.channels or 1
        texts = [f"{self._place(place)}: {fault}" for place, fault in faults.items()]
        if len(texts) > _MOST_FAULTS:
            texts = [*texts[:_MOST_FAULTS], f"{len(texts) - _MOST_FAULTS} more places like these"]
        return values.reshape(-1, channels), texts

    def _place(self, place: int) -> str:
        if self.channels is None:
            return f"place {place + 1}"
        return f"place {place // self.channels + 1}, channel {place % self.channels + 1}"

    def _belong(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        near: NDArray[np.bool_] = belongs(values, self.support) & (np.abs(values) <= LARGEST)
        return near

    def _number(self, cell: Any) -> float:
        """A number, or text that reads as one; NaN where it is unknown.

        Raises:
            ValueError: it cannot be read; the message states the fault and the remedy.
        """
        if cell is None:
            return math.nan
        if isinstance(cell, str) and cell.strip().lower() not in {"nan", "inf", "-inf"} and Marks().plain(cell) is None:
            raise ValueError(f"{_shown(cell)} is no number; write one such as 3.5, or null where it is unknown")
        if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (str, Real, Decimal)):
            raise ValueError(f"{_shown(cell)} is no number; write one such as 3.5, or null where it is unknown")
        try:
            number = float(cell)
        except OverflowError:
            number = math.inf
        if math.isnan(number):
            return number
        if abs(number) > LARGEST:
            raise ValueError(f"{_shown(cell)} is beyond {LARGEST:g}; give a finite number, in a larger unit")
        if not self._belong(np.array(number)):
            raise ValueError(
                f"{_shown(cell)} is out of range, for the likelihood scores {in_words(self.support)}; mend it, or "
                "choose another likelihood"
            )
        return number

    def _listed(self, cell: Any) -> Sequence[Any] | NDArray[Any]:
        """A cell as a list, or as an array of numbers (T,) or (T, C).

        Raises:
            ValueError: it is neither.
        """
        listed = decoded(cell)
        if isinstance(listed, np.ndarray):
            places = listed.shape[:1] if self.channels is None else (*listed.shape[:1], self.channels)
            if listed.ndim and listed.shape == places and listed.dtype.kind in "iuf":
                return listed
            listed = listed.tolist()
        if not is_list(listed):
            raise ValueError(f"{_shown(cell)} is no list of numbers; {self._remedy}")
        if self.channels is None and (inner := next((entry for entry in listed if is_list(entry)), None)) is not None:
            raise ValueError(f"it has lists at its places, such as {_shown(inner)}; set channels: {len(inner)}")
        return listed

    def _flat(self, listed: Sequence[Any], channels: int) -> list[Any]:
        """The numbers of all times in a row.

        Raises:
            ValueError: there are not `channels` numbers at some time.
        """
        for place, at_once in enumerate(listed, 1):
            if at_once is not None and not (is_list(at_once) and len(at_once) == channels):
                has = f"has {len(at_once)} numbers" if is_list(at_once) else f"is {_shown(at_once)}, no list"
                raise ValueError(f"place {place}: {has}, and channels is {channels}; {self._remedy}")
        unknown = (None,) * channels
        return list(chain.from_iterable(unknown if at_once is None else at_once for at_once in listed))

    @property
    def _remedy(self) -> str:
        if self.channels is None:
            return "write one such as [1.5, 2, null]"
        return f"write one such as [{', '.join([str([1] * self.channels)] * 2)}, null]"


def decoded(cell: Any) -> Any:
    """A cell, but what it holds if it is JSON in a text, and the array of a tensor."""
    if isinstance(cell, str):
        try:
            return json.loads(_PYTHON_S.sub("null", cell))
        except (ValueError, RecursionError):
            return cell
    return cell.detach().cpu().numpy() if isinstance(cell, Tensor) else cell


def is_list(cell: Any) -> TypeGuard[Sequence[Any]]:
    """Whether a cell is a list, or an array that is no single number."""
    return isinstance(cell, (list, tuple)) or (isinstance(cell, np.ndarray) and cell.ndim > 0)


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
