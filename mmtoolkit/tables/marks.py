"""The marks in a number written as text: the decimal mark, and the mark between thousands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_DECIMALS = (".", ",")
_THOUSANDS = (".", ",", "'", "’", " ", "\u00a0", "\u202f")


@dataclass(frozen=True)
class Marks:
    """How numbers are written as text.

    A number has digits, a decimal mark with digits on one side of it or on both, and perhaps a sign and an exponent.
    With a mark between thousands, the digits before the decimal mark may form groups of three; all of them do, or none.

    Attributes:
        decimal: the decimal mark: a point or a comma.
        thousands: the mark between thousands: a point, a comma, an apostrophe or a space; None if there is none.
    """

    decimal: str = "."
    thousands: str | None = None

    def plain(self, text: str) -> str | None:
        """A number as `float` reads it; None if the text is no number with these marks."""
        match = _pattern(self).fullmatch(text)
        if match is None or self == Marks():
            return match and text
        whole = match["whole"].replace(self.thousands, "") if self.thousands else match["whole"]
        fraction = match["fraction"].replace(self.decimal, ".", 1)
        return f"{match['sign']}{whole}{fraction}{match['exponent']}"

    def parts(self, text: str) -> tuple[str, str, str] | None:
        """The digits before the decimal mark with their marks, those after it, and the exponent; None if no number."""
        match = _pattern(self).fullmatch(text)
        return match and (match["whole"], match["fraction"][1:], match["exponent"])

    @staticmethod
    def of(text: str) -> Marks | None:
        """The first marks with which a text is a number; None if it is none with any."""
        return next((marks for marks in EVERY if marks.plain(text) is not None), None)

    def __str__(self) -> str:
        """As an error names them."""
        return f"decimal {self.decimal!r} and {f'thousands {self.thousands!r}' if self.thousands else 'no thousands'}"


EVERY = tuple(
    Marks(decimal, thousands) for thousands in (None, *_THOUSANDS) for decimal in _DECIMALS if decimal != thousands
)
"""All marks, the usual ones first."""


@lru_cache
def _pattern(marks: Marks) -> re.Pattern[str]:
    decimal, whole = re.escape(marks.decimal), "[0-9]+"
    if marks.thousands is not None:
        whole = f"[1-9][0-9]{{0,2}}(?:{re.escape(marks.thousands)}[0-9]{{3}})+|[0-9]+"
    number = f"(?={decimal}?[0-9])(?P<whole>(?:{whole})?)(?P<fraction>(?:{decimal}[0-9]*)?)"
    return re.compile(rf"\s*(?P<sign>[-+]?){number}(?P<exponent>(?:[eE][-+]?[0-9]+)?)\s*")
