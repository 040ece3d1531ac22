"""The words for no and yes: how data writes them, and how to read and write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mmt_attributes.classes import classes_of, counted, distinct, fault_of, word
from mmt_attributes.spellings import beside, own_style
from mmtoolkit import Cells, ColumnSummary, Faults

# (no, yes), as they are usually written, in lower case. The first pair that holds a lone spelling gives its partner.
_PAIRS = [("0", "1"), ("-1", "1"), ("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y")]
_USUAL = {text: place for pair in _PAIRS for place, text in enumerate(pair)}
_NUMERIC_NO = {"0", "-1"}
_SHOWN = 5


@dataclass(frozen=True)
class YesNoWords:
    """Reads and writes no as 0 and yes as 1.

    Attributes:
        no: the word for no.
        yes: the word for yes.
    """

    no: str
    yes: str

    @classmethod
    def learned(cls, columns: Iterable[Cells]) -> Self:
        """The two words that columns of entries have; None stands for an unknown entry.

        Raises:
            ValueError: they have none, or more than two, or not the usual ones.
        """
        words: Counter[str] = Counter()
        first = ""
        for entries in columns:
            for cell, count in counted(entries):
                if fault := fault_of(cell):
                    first = first or fault
                else:
                    words[word(cell)] += count
        if first and not words:
            raise ValueError(f"no cell can be read; first, {first}")
        return cls(*ordered(words))

    @property
    def usual(self) -> bool:
        """Whether they are usual words for no and yes, in this order."""
        return [_USUAL.get(word(text).lower()) for text in (self.no, self.yes)] == [0, 1]

    def place(self, cell: Any) -> int | None:
        """0 if a known cell is a no and 1 if it is a yes; None if it is neither."""
        place = classes_of((self.no, self.yes)).place(cell)
        if place is None and self.usual and not _stands_for_unknown(text := word(cell), word(self.no)):
            place = _USUAL.get(text.lower())
        return place

    def numbers(self, cells: Cells) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """Convert entries, None if unknown, to 0 and 1 (N,), NaN if unknown or faulty, and the faults by row."""
        known, places = distinct(cells)
        read = [np.nan if (place := self.place(cell)) is None else float(place) for cell in known]
        numbers = np.array([*read, np.nan])[places]  # the last is where place -1 leads
        faulty = np.flatnonzero(np.isnan(numbers) & (places >= 0)).tolist()
        return numbers, Faults({row: known[places[row]] for row in faulty}, self._stranger)

    def _stranger(self, cell: Any) -> str:
        no, yes = self.no, self.yes
        return f"{cell!r} is neither {no!r} nor {yes!r}; write one of these, or name others by values: [NO, YES]"

    def entry(self, number: float) -> str:
        """The word for yes if a number is above 1/2, else that for no."""
        return self.yes if number > 0.5 else self.no

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """As the column most often spells it; beside a lone 1, true or Yes, as its usual partner in the same type."""
        return own_style(column, self.place, _partners)


def _stands_for_unknown(text: str, no: str) -> bool:
    """Whether a word is the no of other data: 0 among -1 and 1, and -1 among 0 and 1, are codes of what is unknown."""
    return text in _NUMERIC_NO and text != (no if no in _NUMERIC_NO else "0")


def _partners(name: str, cell: Any) -> Iterator[Any]:
    """The other of each pair of usual spellings that has a cell, in the type and case of the cell."""
    text = word(cell)
    for pair in _PAIRS:
        if text.lower() in pair:
            other = pair[1 - pair.index(text.lower())]
            yield beside(other, cell)
            if isinstance(cell, str):
                yield _in_case_of(text, other)


def ordered(counts: Counter[str]) -> tuple[str, str]:
    """Words as (no, yes), each in its most frequent spelling.

    Raises:
        ValueError: they are none, or more than two, or not the usual ones.
    """
    rising = sorted(sorted(counts, reverse=True), key=lambda text: counts[text])  # among equals YES comes last
    words = {text.lower(): text for text in rising}
    remedy = "name them by values: [NO, YES]"
    if not words:
        raise ValueError(f"there is no value to learn from how no and yes are written; {remedy}, or mend the data")
    if words.keys() == {"1"}:
        raise ValueError(
            f'the one value is {next(iter(words))!r}, whose other may be 0 or -1; name both by values: ["0", "1"] or '
            '["-1", "1"]'
        )
    for pair in _PAIRS:
        if set(words) <= set(pair):
            no, yes = (words.get(word) for word in pair)
            return no or _in_case_of(str(yes), pair[0]), yes or _in_case_of(str(no), pair[1])
    shown = ", ".join(repr(word) for word in sorted(counts)[:_SHOWN]) + (", …" if len(counts) > _SHOWN else "")
    if len(counts) == 1:
        raise ValueError(f"the one value is {shown}, which is no usual way to write no or yes; {remedy}")
    if len(counts) == 2:
        raise ValueError(
            f"the values are {shown}, and which is no and which is yes is not plain; {remedy}, or use kind: label"
        )
    raise ValueError(
        f"there are {len(counts)} values, {shown}, and a binary modality has two; {remedy} if the others are faults, "
        "or use kind: label"
    )


def _in_case_of(model: str, word: str) -> str:
    """`word` in the case of `model`: NO for YES."""
    return word.upper() if model.isupper() else word.capitalize() if model[:1].isupper() else word
