"""What modalities of yes and no share: how the two are written in the data, and how they are scored."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor, distributions
from torch.distributions import Distribution

from mmt_attributes.classes import classes_of, counted, distinct, fault_of, word
from mmt_attributes.spellings import beside, own_style
from mmtoolkit import Cells, ColumnSummary, Faults, Modality

if TYPE_CHECKING:
    from torchmetrics import Metric

# (no, yes), as they are usually written, in lower case. The first pair that holds a lone spelling gives its partner.
_PAIRS = [("0", "1"), ("-1", "1"), ("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y")]
_USUAL = {text: place for pair in _PAIRS for place, text in enumerate(pair)}
_NUMERIC_NO = {"0", "-1"}
_SHOWN = 5


class YesNo(Modality):
    """A modality whose cells, or entries of cells, are yes or no."""

    values: tuple[str, str] | None = None
    """The words for no and yes in the data, in this order. By default learned from the training cells: 0 and 1, -1 and
    1, false and true, no and yes, n and y, f and t, in lower or upper case. Spaces at the ends, case, Unicode's form,
    and 1.0 for 1 do not count where a cell is read."""

    @field_validator("values", mode="before")
    @classmethod
    def _written(cls, values: Any) -> Any:
        """YAML reads `[false, true]` as no words."""
        if not isinstance(values, (list, tuple)):
            return values
        return [value if isinstance(value, str) else word(value) for value in values]

    @field_validator("values")
    @classmethod
    def _differ(cls, values: tuple[str, str] | None) -> tuple[str, str] | None:
        if values is not None and values[0] == values[1]:
            raise ValueError(f"no and yes are both written {values[0]!r}; give two spellings, as values: [NO, YES]")
        return values

    def fixed_cells(self) -> Sequence[str]:
        """The words for no and yes."""
        return self.values or ()

    def example_cells(self) -> Cells:
        """No and yes."""
        return list(self.values or ("no", "yes"))

    @property
    def spellings(self) -> tuple[str, str]:
        """The words for no and yes, given or learned.

        Raises:
            ValueError: they are neither.
        """
        if self.values is None:
            raise ValueError("how no and yes are written is not known yet; name values, or let `fit` learn it")
        return self.values

    @property
    def usual(self) -> bool:
        """Whether `values` are usual spellings of no and yes, in this order."""
        return [_USUAL.get(word(value).lower()) for value in self.spellings] == [0, 1]

    @abstractmethod
    def entries(self, cells: Cells) -> Sequence[Cells]:
        """The entries of a column of cells, as lists or arrays, None if unknown."""

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the words for no and yes from the two that the cells have."""
        if self.values is not None:
            return self
        words: Counter[str] = Counter()
        first = ""
        for cells in chunks:
            for entries in self.entries(cells):
                for cell, count in counted(entries):
                    if fault := fault_of(cell):
                        first = first or fault
                    else:
                        words[word(cell)] += count
        if first and not words:
            raise ValueError(f"no cell can be read; first, {first}")
        return type(self).model_validate({**self.model_dump(), "values": ordered(words)})

    def read(self, cells: Cells) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """Convert entries, None if unknown, to 0 and 1 (N,), NaN if unknown or faulty, and the faults by row."""
        known, places = distinct(cells)
        read = [np.nan if (place := self.place(cell)) is None else float(place) for cell in known]
        numbers = np.array([*read, np.nan])[places]  # the last is where place -1 leads
        faulty = np.flatnonzero(np.isnan(numbers) & (places >= 0)).tolist()
        return numbers, Faults({row: known[places[row]] for row in faulty}, self._stranger)

    def place(self, cell: Any) -> int | None:
        """0 if a known cell is a no and 1 if it is a yes; None if it is neither."""
        place = classes_of(self.spellings).place(cell)
        if place is None and self.usual and not _stands_for_unknown(text := word(cell), word(self.spellings[0])):
            place = _USUAL.get(text.lower())
        return place

    def _stranger(self, cell: Any) -> str:
        no, yes = self.spellings
        return f"{cell!r} is neither {no!r} nor {yes!r}; write one of these, or name others by values: [NO, YES]"

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """As the column most often spells it; beside a lone 1, true or Yes, as its usual partner in the same type."""
        return own_style(column, self.place, _partners)

    def number(self, cell: Any, place: int = 0) -> float:
        """0 for no and 1 for yes, in every column; NaN if unknown."""
        numbers, faults = self.read([cell])
        if faults:
            raise ValueError(faults[0])
        return float(numbers[0])

    def entry(self, number: float, place: int = 0) -> str:
        """The word for no or yes."""
        return self.spellings[int(number > 0.5)]

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Convert the stored uint8 to float32."""
        return stored.to(torch.float32)

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The more frequent value among the known ones: (*event)."""
        return (super().baseline(chunks) > 0.5).float()

    @abstractmethod
    def bernoulli(self, p: Distribution) -> distributions.Bernoulli:
        """The probabilities of yes under a distribution of `decoder`: batch (N,) or (N, K)."""

    def average(self, p: Distribution, draws: int) -> Tensor:
        """The probabilities of yes, averaged over draws: (N,) or (N, K)."""
        probabilities: Tensor = self.bernoulli(p).probs.unflatten(0, (draws, -1))
        return probabilities.mean(0)

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`p` of each column: the probability of yes."""
        probabilities = self.average(p, draws)
        probabilities = probabilities.reshape(len(probabilities), -1)
        return {column: {"p": probabilities[:, k]} for k, column in enumerate(self.source_columns(name))}

    def metrics(self) -> dict[str, Metric]:
        """The expected calibration error of the probability of yes, over 15 bins (Guo et al. 2017)."""
        from mmt_attributes.calibration import KnownCalibrationError

        return {"calibration_error": KnownCalibrationError(single=self.event_shape() == ())}


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
