"""What modalities of yes and no share: their words, their networks' input, and how they are scored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor
from torch.distributions import Distribution

from mmt_attributes.classes import word
from mmt_attributes.yes_no_words import YesNoWords
from mmtoolkit import (
    MLP,
    Architecture,
    BernoulliLikelihood,
    Better,
    Cells,
    ColumnSummary,
    Likelihood,
    NumberModality,
    Parsed,
    Part,
    Parted,
)

if TYPE_CHECKING:
    from torchmetrics import Metric


class YesNo(NumberModality, Parted):
    """The base class of modalities whose entries are yes or no: the numbers 1 and 0."""

    network: Part[Architecture] = MLP()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = BernoulliLikelihood()
    """The distribution of 0 or 1 given z; its mean is the probability of yes."""
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

    # Cells.

    @property
    def _words(self) -> YesNoWords:
        """The words for no and yes, given or learned.

        Raises:
            ValueError: they are neither.
        """
        if self.values is None:
            raise ValueError("how no and yes are written is not known yet; name values, or let `fit` learn it")
        return YesNoWords(*self.values)

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the words for no and yes from the two that the cells have."""
        if self.values is not None:
            return self
        learned = YesNoWords.learned(entries for cells in chunks for entries in self.codec.columns(cells)[0])
        return self.with_options(values=(learned.no, learned.yes))

    def fixed_cells(self) -> Sequence[str]:
        """The words for no and yes."""
        return self.values or ()

    def number(self, cell: Any, place: int = 0) -> float:
        """0 for no and 1 for yes, in every column; NaN if unknown."""
        numbers, faults = self._words.numbers([cell])
        if faults:
            raise ValueError(faults[0])
        return float(numbers[0])

    def numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """A column as 0 and 1, each distinct cell read once."""
        return self._words.numbers(cells)

    def entry(self, number: float, place: int = 0) -> str:
        """The word for no or yes."""
        return self._words.entry(number)

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """As the column most often spells it; beside a lone 1, true or Yes, as its usual partner in the same type."""
        return self._words.style(column)

    def parse_column(self, cells: Cells) -> Parsed:
        """Parse cells as uint8, an eighth of the size of float64."""
        parsed = super().parse_column(cells)
        return Parsed(parsed.stored.to(torch.uint8), parsed.present, parsed.faults)

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Convert the stored uint8 to float32."""
        return stored.to(torch.float32)

    def layout(self) -> dict[str, Any]:
        """With which number is yes."""
        return {**super().layout(), "numbers": "0 for the first of the classes, no, and 1 for the second, yes"}

    # Networks.

    def signs(self, x: Tensor) -> Tensor:
        """1 for yes and -1 for no: (N, K).

        0 where unknown: it differs from both, and the networks keep the size that they have where all is known.
        """
        values, known = self.codec.split(x)
        return (2 * values - 1) * known

    @property
    def condition_size(self) -> int:
        """K."""
        return self.size

    def condition(self, x: Tensor) -> Tensor:
        """1 for yes, -1 for no, 0 if unknown: (N, K)."""
        return self.signs(x).float()

    # Scores.

    @abstractmethod
    def probabilities(self, p: Distribution) -> Tensor:
        """The probabilities of yes under a distribution of `decoder`: (N, K)."""

    def average(self, p: Distribution, draws: int) -> Tensor:
        """The probabilities of yes, averaged over draws: (N, K)."""
        probabilities: Tensor = self.probabilities(p).unflatten(0, (draws, -1))
        return probabilities.mean(0)

    def point(self, p: Distribution) -> Tensor:
        """The more probable value of each number, all known: (N, *event)."""
        return self.codec.packed((self.probabilities(p) > 0.5).float())

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The more probable value of each number over all draws, all known: (N, *event)."""
        return self.codec.packed((self.average(p, draws) > 0.5).float())

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The more frequent value among the known ones: (*event)."""
        return (super().baseline(chunks) > 0.5).float()

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`p` of each column: the probability of yes."""
        columns = self.average(p, draws).unbind(1)
        return {column: {"p": yes} for column, yes in zip(self.source_columns(name), columns, strict=True)}

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The accuracy: 1 if a number is right, else 0."""
        predicted, true = (self.codec.split(value)[0] > 0.5 for value in (point, x))
        return {"accuracy": (predicted == true).float()}

    def entry_better(self) -> Mapping[str, Better]:
        """An accuracy is better high."""
        return {"accuracy": "high"}

    def metrics(self) -> dict[str, Metric]:
        """The expected calibration error of the probability of yes, over 15 bins (Guo et al. 2017)."""
        from mmt_attributes.calibration import KnownCalibrationError

        return {"calibration_error": KnownCalibrationError(self.single)}
