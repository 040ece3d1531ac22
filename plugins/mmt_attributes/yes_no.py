"""What modalities of yes and no share: how the two are written in the data, and how they are scored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor, distributions
from torch.distributions import Distribution

from mmtoolkit import Cells, Modality

if TYPE_CHECKING:
    from torchmetrics import Metric

# (no, yes), as they are usually written, in lower case. The first pair that holds a lone spelling gives its partner.
_PAIRS = [("0", "1"), ("-1", "1"), ("0.0", "1.0"), ("-1.0", "1.0")]
_PAIRS += [("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y")]
_USUAL = {word: float(place) for pair in _PAIRS for place, word in enumerate(pair)}
_NUMERIC_NO = {pair[0] for pair in _PAIRS[:4]}
_NUMERIC_YES = {pair[1] for pair in _PAIRS[:4]}
_SHOWN = 5


class _Read(NamedTuple):
    """A distinct cell: 0 or 1, NaN where unknown or at fault, and the fault."""

    number: float
    fault: str | None = None


def spelling(cell: Any) -> str | None:
    """How a cell is written, None for NaN: 1, 1.0 and "1" are one spelling, and so are True and "True"."""
    if isinstance(cell, (float, np.floating)):
        if np.isnan(cell):
            return None
        return str(int(cell)) if float(cell).is_integer() else str(cell)
    return str(cell)


def _distinct(cells: Cells) -> tuple[list[Any], NDArray[np.intp]]:
    """The distinct cells, and for each cell its place among them, (N,); -1 where it is None."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        found, places = np.unique(cells, return_inverse=True)
        return list(found), places.reshape(-1)
    distinct: list[Any] = []
    known: dict[Any, int] = {}
    places = np.full(len(cells), -1, dtype=np.intp)
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        key = (cell.__class__, cell) if isinstance(cell, (str, int, float, np.generic)) else (row,)
        place = known.setdefault(key, len(distinct))
        if place == len(distinct):
            distinct.append(cell)
        places[row] = place
    return distinct, places


class YesNo(Modality):
    """A modality whose cells, or entries of cells, are yes or no."""

    values: tuple[str, str] | None = None
    """The words for no and yes in the data, in this order. By default learned from the training cells: 0 and 1, -1 and
    1, false and true, no and yes, n and y, f and t, in lower or upper case."""

    @field_validator("values", mode="before")
    @classmethod
    def _written(cls, values: Any) -> Any:
        """YAML reads `[false, true]` as no words."""
        return [spelling(value) for value in values] if isinstance(values, (list, tuple)) else values

    @field_validator("values")
    @classmethod
    def _differ(cls, values: tuple[str, str] | None) -> tuple[str, str] | None:
        if values is not None and values[0] == values[1]:
            raise ValueError(f"no and yes are both written {values[0]!r}; give two spellings, as values: [NO, YES]")
        return values

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
        no, yes = (_USUAL.get(value.lower()) for value in self.spellings)
        return no == 0 and yes == 1

    @abstractmethod
    def entries(self, cells: Cells) -> Sequence[Cells]:
        """The entries of a column of cells, as lists or arrays, None if unknown."""

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the words for no and yes from the two that the cells have."""
        if self.values is not None:
            return self
        found: set[str] = set()
        for cells in chunks:
            for entries in self.entries(cells):
                found.update(word for word in map(spelling, _distinct(entries)[0]) if word is not None)
        return type(self).model_validate({**self.model_dump(), "values": ordered(found)})

    def read(self, cells: Cells) -> tuple[NDArray[np.float64], dict[int, str]]:
        """Convert entries, None if unknown, to 0 and 1 (N,), NaN if unknown or faulty, and the faults by row."""
        distinct, places = _distinct(cells)
        read = [*map(self._read, distinct), _Read(np.nan)]  # the last is where place -1 leads
        numbers = np.array([entry.number for entry in read])[places]
        at_fault = np.array([entry.fault is not None for entry in read])[places]
        return numbers, {int(row): str(read[places[row]].fault) for row in np.flatnonzero(at_fault)}

    def _read(self, cell: Any) -> _Read:
        word = spelling(cell)
        if word is None:
            return _Read(np.nan)
        if word in self.spellings:
            return _Read(float(self.spellings.index(word)))
        no, yes = self.spellings
        if self.usual and word.lower() in _USUAL and not _stands_for_unknown(word, no):
            return _Read(_USUAL[word.lower()])
        fault = f"{cell!r} is neither {no!r} nor {yes!r}; write one of these, or name others by values: [NO, YES]"
        return _Read(np.nan, fault)

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


def _stands_for_unknown(word: str, no: str) -> bool:
    """Whether a word is the no of other data: 0 among -1 and 1, and -1 among 0 and 1, are codes of what is unknown."""
    return word in _NUMERIC_NO and float(word) != (float(no) if no in _NUMERIC_NO else 0.0)


def ordered(found: set[str]) -> tuple[str, str]:
    """Spellings as (no, yes).

    Raises:
        ValueError: they are none, or more than two, or not the usual ones.
    """
    words = {word.lower(): word for word in sorted(found, reverse=True)}  # of Yes, YES and yes the first
    remedy = "name them by values: [NO, YES]"
    if not words:
        raise ValueError(f"there is no value to learn from how no and yes are written; {remedy}, or mend the data")
    if len(words) == 1 and words.keys() <= _NUMERIC_YES:
        raise ValueError(
            f'the one value is {next(iter(words))!r}, whose other may be 0 or -1; name both by values: ["0", "1"] or '
            '["-1", "1"]'
        )
    for pair in _PAIRS:
        if set(words) <= set(pair):
            no, yes = (words.get(word) for word in pair)
            return no or _in_case_of(str(yes), pair[0]), yes or _in_case_of(str(no), pair[1])
    shown = ", ".join(repr(word) for word in sorted(found)[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    if len(found) == 1:
        raise ValueError(f"the one value is {shown}, which is no usual way to write no or yes; {remedy}")
    if len(found) == 2:
        raise ValueError(
            f"the values are {shown}, and which is no and which is yes is not plain; {remedy}, or use kind: label"
        )
    raise ValueError(
        f"there are {len(found)} values, {shown}, and a binary modality has two; {remedy} if the others are faults, "
        "or use kind: label"
    )


def _in_case_of(model: str, word: str) -> str:
    """`word` in the case of `model`: NO for YES."""
    return word.upper() if model.isupper() else word.capitalize() if model[:1].isupper() else word
