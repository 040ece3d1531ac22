"""Which numbers a value can be: all real ones, positive ones, those from 0 to 1, whole ones, those of a cycle."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Support = Literal["real", "positive", "unit", "whole", "cyclic", "classes"]
"""`real`: any finite number; `positive`: above 0; `unit`: from 0 to 1; `whole`: 0, 1, 2, …; `cyclic`: from the shift
of the form to it and 2π times its scale, which are one value, such as 0 and 24 o'clock; `classes`: the index of a
class, which is no number."""

_WITHIN: dict[Support, tuple[Support, ...]] = {
    "real": ("real", "positive", "unit", "whole"),
    "positive": ("positive",),
    "unit": ("unit",),
    "whole": ("whole",),
    "cyclic": ("cyclic",),
    "classes": ("classes",),
}

IN_WORDS: dict[Support, str] = {
    "real": "numbers",
    "positive": "numbers above 0",
    "unit": "numbers from 0 to 1",
    "whole": "whole numbers from 0 on",
    "cyclic": "numbers of a cycle",
    "classes": "classes",
}
"""Each support in the words of a message."""


def in_words(support: Support) -> str:
    """A support in the words of a message, such as `numbers above 0`."""
    return IN_WORDS[support]


def is_within(inner: Support, outer: Support) -> bool:
    """Whether every value of one support belongs to another."""
    return inner in _WITHIN[outer]


def belongs(numbers: NDArray[np.float64], support: Support) -> NDArray[np.bool_]:
    """Which numbers belong to a support, in the shape of `numbers`; NaN belongs to none."""
    finite: NDArray[np.bool_] = np.isfinite(numbers)
    match support:
        case "positive":
            return finite & (numbers > 0)
        case "unit":
            return finite & (numbers >= 0) & (numbers <= 1)
        case "whole":
            return finite & (numbers >= 0) & np.equal(numbers, np.floor(numbers))
        case _:
            return finite
