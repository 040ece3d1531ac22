"""How a column writes its numbers: with how many decimals, and in texts with which marks and exponents."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import floor, isfinite, log10
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mmtoolkit import Marks

_ALIKE = 1e-12  # numbers that differ by so little, relative to their size, differ by noise of float64
_ALIKE_SINGLE = 2.0**-24  # and those that fit into a float32, by that of float32
_DIGITS = 9
_COUNTED = 12  # decimals that are counted one by one
_SMALL, _LARGE = -4, 16  # powers of ten beyond which a number has an exponent, where some of its column have one
_LONG = 1 << 53  # a float64 holds no larger whole numbers with all their digits


def decimals_of(numbers: NDArray[np.float64], least: int = 0) -> int:
    """How many decimals some numbers have, `least` or more; noise in the last digits of a float is none."""
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32) == numbers
    noise = np.where(single, _ALIKE_SINGLE, _ALIKE) * np.abs(numbers)
    for decimals in range(least, _COUNTED + 1):
        more = np.abs(numbers - np.round(numbers, decimals)) > noise
        if not more.any():
            return decimals
        numbers, noise = numbers[more], noise[more]
    smallest = np.abs(numbers[numbers != 0]).min(initial=1.0)
    return max(least, _COUNTED - floor(log10(smallest)))


def rounded(number: float, decimals: int) -> float | int:
    """A computed number with some decimals; whole if it has none. It is never -0.0."""
    if not isfinite(number):
        return number
    near = round(number if decimals == 0 else _significant(number), decimals) + 0.0
    return int(near) if decimals == 0 and abs(near) < _LONG else near


def _significant(number: float) -> float:
    """A computed number without noise: networks compute in float32, which has no more digits."""
    return float(f"{number:.{_DIGITS}g}")


def is_typed(cell: Any) -> bool:
    """Whether a cell is a finite number, rather than a text or yes and no."""
    return isinstance(cell, (int, float, Decimal, np.number)) and not isinstance(cell, bool) and isfinite(cell)


def typed_style(cells: Sequence[Any], decimals: int) -> Callable[[Any], Any]:
    """A function that writes a number as a column of typed numbers does.

    Whole numbers stay whole; others get as many decimals as the column has, or `decimals` if these are more.
    """
    if all(isinstance(cell, (int, np.integer)) for cell in cells):
        return lambda cell: rounded(cell, 0)
    if all(isinstance(cell, Decimal) for cell in cells):
        digits = max(-int(cell.as_tuple().exponent) for cell in cells)
        return lambda cell: Decimal(f"{Decimal(repr(_significant(cell))):.{max(digits, 0)}f}")
    own = decimals_of(np.array([float(cell) for cell in cells if abs(cell) < _LONG]), decimals)
    return lambda cell: float(rounded(cell, own))


@dataclass(frozen=True)
class Exponent:
    """How an exponent is written, such as e+05.

    Attributes:
        letter: e or E.
        plus: whether a plus stands before a positive one.
        width: the least number of digits.
    """

    letter: str
    plus: bool
    width: int

    @classmethod
    def of(cls, exponents: Sequence[str]) -> Self:
        """The style of some exponents."""
        letters, powers = [exponent[0] for exponent in exponents], [exponent[1:] for exponent in exponents]
        plus = all(power[0] in "+-" for power in powers)
        return cls(max(letters, key=letters.count), plus, min(len(power.lstrip("+-")) for power in powers))

    def write(self, power: int) -> str:
        """An exponent."""
        sign = "-" if power < 0 else "+" if self.plus else ""
        return f"{self.letter}{sign}{abs(power):0{self.width}}"


@dataclass(frozen=True)
class Spelling:
    """How a column of texts writes its numbers.

    Attributes:
        marks: the decimal mark and the mark between thousands.
        fewest: how many digits follow the decimal mark at least.
        most: how many do at most; None if a number keeps its own.
        grouped: from how many digits before the decimal mark on they form groups; None if they never do.
        exponent: how exponents are written; None if numbers have none.
        bare: whether nothing stands before the decimal mark of a number below 1, such as .5.
        plus: whether a plus stands before a positive number.
    """

    marks: Marks
    fewest: int = 0
    most: int | None = None
    grouped: int | None = 4
    exponent: Exponent | None = None
    bare: bool = False
    plus: bool = False

    @classmethod
    def of(cls, texts: Sequence[str], counts: Sequence[int], marks: Marks) -> Self | None:
        """The spelling of some texts, which occur so often; None if none of them is a number.

        If half of the numbers or more have an exponent, numbers are written with one. If a few have one, numbers keep
        their digits, since decimals say nothing of their precision.
        """
        parts = [(part, count) for text, count in zip(texts, counts, strict=True) if (part := marks.parts(text))]
        if not parts:
            return None
        exponents = [exponent for (_, _, exponent), _ in parts if exponent]
        scientific = 2 * sum(count for (_, _, exponent), count in parts if exponent) >= sum(c for _, c in parts)
        numbers = [(whole, fraction) for (whole, fraction, exponent), _ in parts if bool(exponent) == scientific]
        digits = [len(fraction) for _, fraction in numbers]
        wholes = {whole for whole, _ in numbers}
        most = None if exponents and not scientific else max(digits)
        exponent = Exponent.of(exponents) if scientific else None
        bare = "" in wholes and "0" not in wholes
        return cls(marks, min(digits), most, _grouped(list(wholes), marks), exponent, bare, _has_plus(texts, marks))

    def write(self, number: float) -> str:
        """A computed number as a text of this spelling."""
        if not isfinite(number):
            return str(number)
        exact = Decimal(repr(number if self.most == 0 and self.exponent is None else _significant(number)))
        if self.exponent is not None:
            digits, _, power = f"{exact:.{self.most}e}".partition("e")
            return self._marked(digits) + self.exponent.write(int(power))
        if self.most is not None:
            return self._marked(f"{exact:.{self.most}f}")
        if exact and not _SMALL <= exact.adjusted() < _LARGE:
            return repr(float(exact)).replace(".", self.marks.decimal)
        return self._marked(f"{exact:f}")

    def _marked(self, text: str) -> str:
        """A number such as -1234.50 with the marks and decimals of the column."""
        sign = ("-" if text.startswith("-") else "+" if self.plus else "") if text.strip("-0.") else ""
        whole, _, fraction = text.lstrip("-").partition(".")
        fraction = fraction.rstrip("0").ljust(self.fewest, "0")
        if self.marks.thousands and self.grouped and len(whole) >= self.grouped:
            whole = f"{int(whole):,}".replace(",", self.marks.thousands)
        if self.bare and whole == "0" and fraction:
            whole = ""
        return f"{sign}{whole}{self.marks.decimal if fraction else ''}{fraction}"


def _has_plus(texts: Sequence[str], marks: Marks) -> bool:
    """Whether each positive number has a plus, and one or more has it."""
    numbers = [text.strip() for text in texts if marks.parts(text)]
    positive = [text for text in numbers if not text.startswith("-") and re.search("[1-9]", text)]
    return bool(positive) and all(text.startswith("+") for text in positive)


def _grouped(wholes: Sequence[str], marks: Marks) -> int | None:
    """From how many digits on numbers are grouped: 5 if numbers of 4 are not, though longer ones are."""
    if marks.thousands is None:
        return None
    grouped = any(marks.thousands in whole for whole in wholes)
    longest = max((len(whole) for whole in wholes if marks.thousands not in whole), default=0)
    if longest < 4:
        return 4
    return 5 if grouped and longest == 4 else 4 if grouped else None
