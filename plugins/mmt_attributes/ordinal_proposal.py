"""Which columns have classes whose order is plain."""

from __future__ import annotations

import re

from mmt_attributes.spellings import Spellings
from mmtoolkit import ColumnSummary, Proposal

# Words of one scale, from the lowest to the highest. A column has an order if one scale holds all of its words.
_SCALES: tuple[tuple[str, ...], ...] = (
    ("never", "rarely", "seldom", "occasionally", "sometimes", "often", "usually", "very often", "always"),
    ("none", "minimal", "mild", "moderate", "severe", "very severe"),
    ("very low", "low", "medium", "high", "very high"),
    ("low", "moderate", "high"),
    ("low", "middle", "high"),
    ("low", "mid", "high"),
    ("l", "m", "h"),
    ("very small", "small", "medium", "large", "very large", "extra large"),
    ("xxs", "xs", "s", "m", "l", "xl", "xxl", "xxxl"),
    ("very poor", "poor", "fair", "good", "very good", "excellent"),
    ("poor", "average", "good"),
    ("very bad", "bad", "fair", "good", "very good"),
    ("fair", "good", "very good", "premium", "ideal"),
    ("very unlikely", "unlikely", "neutral", "likely", "very likely"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("strongly disagree", "disagree", "neither agree nor disagree", "agree", "strongly agree"),
    ("sd", "d", "n", "a", "sa"),
    ("very dissatisfied", "dissatisfied", "neutral", "satisfied", "very satisfied"),
    ("not at all", "a little", "somewhat", "quite a bit", "very much"),
    ("not at all important", "not important", "somewhat important", "important", "very important"),
    ("never", "less than monthly", "monthly", "weekly", "daily"),
    ("never", "yearly", "monthly", "weekly", "daily"),
    ("1st", "2nd", "3rd", "4th", "5th"),
    ("first", "second", "third", "fourth", "fifth"),
    ("i", "ii", "iii", "iv", "v"),
)
_RATING = re.compile(
    r"(^|[\W_])(rating|rate|grade|stage|level|severity|satisfaction|quality|rank|score|likert|stars?|degree)s?($|[\W_])",
    re.I,
)
_FEWEST, _MOST = 3, 10
_FEW_REPEATS = 5
_COST = 0.4


def ordinal_proposal(column: ColumnSummary, spellings: Spellings) -> Proposal | None:
    """Three classes or more of which all are words of one scale; or numbers from 0 or 1 on under a name that rates.

    Other codes are left to a label: 1 to 4 may be regions, and an order that is not there costs accuracy.

    Args:
        column: what was seen.
        spellings: of its classes.
    """
    counts = {name: spelled.total() for name, spelled in spellings.classes.items()}
    if column.more or not _FEWEST <= len(counts) <= _MOST or column.counted / len(counts) < _FEW_REPEATS:
        return None
    names = _by_scale(list(counts)) or (_by_size(list(counts)) if _RATING.search(column.name) else None)
    if names is None:
        return None
    listed = ", ".join(f"{column.example(name)} ({counts[name]})" for name in names)
    about = "; ".join([f"{len(names)} classes, from the lowest to the highest: {listed}", *spellings.notes()])
    return Proposal(0.88, {"classes": names}, about, cost=_COST)


def _by_scale(names: list[str]) -> list[str] | None:
    """The names in the order of the first scale that has all of them; None if none has."""
    words = {" ".join(re.split(r"[\s_-]+", name.lower().strip())): name for name in names}
    if len(words) < len(names):
        return None
    scale = next((scale for scale in _SCALES if words.keys() <= set(scale)), None)
    return None if scale is None else [words[word] for word in scale if word in words]


def _by_size(names: list[str]) -> list[str] | None:
    """Names that are 0, 1, 2, … or 1, 2, 3, … with no gap, in this order; None for others."""
    if not all(name.isdecimal() for name in names):
        return None
    numbers = sorted(names, key=int)
    first = int(numbers[0])
    without_gap = [int(name) for name in numbers] == [*range(first, first + len(names))]
    return numbers if first in (0, 1) and without_gap else None
