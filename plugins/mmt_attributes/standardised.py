"""The base class of modalities whose numbers networks read as standardised ones, in texts with marks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from numbers import Real
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmt_attributes.moments import SMALLEST, Standardisation
from mmt_attributes.spelling import Spelling, is_typed, rounded, typed_style
from mmtoolkit import (
    MLP,
    Architecture,
    Better,
    Cells,
    ColumnSummary,
    Form,
    GaussianLikelihood,
    Likelihood,
    Marks,
    NumberModality,
    Numbers,
    Part,
    Parted,
    Support,
    belongs,
)

# What networks read is cut off here; where some numbers are known to lie far out, how far says little.
_FARTHEST, _FARTHEST_OF_ROBUST = 1000.0, 10.0
LARGEST = 1e50
"""Within it and SMALLEST no standardised number and no density overflows float64."""
SPREAD, PLACE = Field(ge=SMALLEST, le=LARGEST), Field(ge=-LARGEST, le=LARGEST)
"""The bounds of a standard deviation, and of a mean."""


class Measured(NumberModality, Parted):
    """The base class of modalities of numbers that are scored by their errors."""

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The squared and the absolute error of each number, in its unit."""
        predicted, true = (self.codec.split(value)[0].double() for value in (point, x))
        return {"squared_error": (predicted - true).square(), "absolute_error": (predicted - true).abs()}

    def entry_better(self) -> dict[str, Better]:
        """Errors are better low."""
        return {"squared_error": "low", "absolute_error": "low"}


class StandardisedNumbers(Measured):
    """The base class of modalities whose networks read standardised numbers; in texts, numbers have marks."""

    gives: ClassVar[type[Form]] = Numbers

    network: Part[Architecture] = MLP()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = GaussianLikelihood()
    """The distribution of a number given z: student_t suits columns with outliers (Lange et al. 1989). It may be one of
    all numbers, of numbers above 0 or of numbers from 0 to 1; other cells are then faults."""
    mean: tuple[Annotated[float, PLACE], ...] | None = None
    """The mean of each number as the likelihood reads it, for standardisation. By default learned; for a likelihood
    that allows for outliers, such as student_t, the median."""
    std: tuple[Annotated[float, SPREAD], ...] | None = None
    """The standard deviation of each number as the likelihood reads it, for standardisation. By default learned; for a
    likelihood that allows for outliers, that of a normal distribution with the same quartiles."""
    decimal: Literal[".", ","] | tuple[Literal[".", ","], ...] = "."
    """The decimal mark of numbers in texts: one for all, or one each."""
    thousands: (
        Literal[".", ",", "'", "’", " ", "\u00a0", "\u202f"]
        | tuple[Literal[".", ",", "'", "’", " ", "\u00a0", "\u202f"] | None, ...]
        | None
    ) = None
    """The mark between thousands of numbers in texts, such as a comma or a space; by default they have none. One for
    all, or one each. The digits before the decimal mark must form groups of three, or none."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for option in ("mean", "std", "decimal", "thousands"):
            self._check_entries(option)
        for place in range(self.size):
            if (marks := self.marks(place)).decimal == marks.thousands:
                raise ValueError(f"decimal and thousands are both {marks.decimal!r}; change one")
        return self

    def _check_entries(self, option: str) -> None:
        """Check that an option with an entry for each number has as many."""
        given = getattr(self, option)
        if isinstance(given, tuple) and len(given) != self.size:
            raise ValueError(f"{option} has {len(given)} entries and there are {self.size} numbers; give one each")

    @property
    def standard(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The means and the standard deviations, known or learned.

        Raises:
            ValueError: they are neither.
        """
        if self.mean is None or self.std is None:
            raise ValueError("mean and std are not known yet; give both, or let `fit` learn them")
        return self.mean, self.std

    def marks(self, place: int) -> Marks:
        """The marks of numbers in texts, in the column at index `place`."""
        decimal = self.decimal[place] if isinstance(self.decimal, tuple) else self.decimal
        return Marks(decimal, self.thousands[place] if isinstance(self.thousands, tuple) else self.thousands)

    # Data.

    def learned(
        self, chunks: Iterable[Cells], see: Callable[[Tensor, Tensor], None] = lambda values, known: None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each number, from the cells that can be read.

        They are of what the likelihood reads. If it allows for outliers, they come from the middle half of the numbers.

        Args:
            chunks: of cells.
            see: is called with the numbers of each chunk (n, K), and which are known.

        Raises:
            ValueError: a column has no number.
        """
        standard, fault = Standardisation(self.size, self.likelihood.robust), ""
        for cells in chunks:
            parsed = self.parse_column(cells)
            fault = fault or next(iter(parsed.faults.values()), "")
            if parsed.present.any():
                values, known = self.codec.split(parsed.stored[parsed.present])
                see(values, known)
                standard.add(self.read(values, known).numpy(), known.numpy())
        if not standard.count.all():
            column = "" if self.columns is None else f" in column {self.columns[int((standard.count == 0).argmax())]}"
            first = f" (the first fault: {fault})" if fault else ""
            raise ValueError(f"there is no number{column}{first}; mend the data, or give mean and std")
        mean, std = standard.result()
        return self.mean or mean, self.std or std

    def number(self, cell: Any, place: int) -> float:
        """A number, or text that reads as one; NaN, also as text, is unknown."""
        if isinstance(cell, str):
            text = self.marks(place).plain(cell)
            word = cell.strip().lstrip("+-").lower()
            if word == "nan":
                return math.nan
            if text is None and word not in {"inf", "infinity"}:
                raise ValueError(self._no_number(cell, place))
        elif isinstance(cell, (bool, np.bool_)):
            raise ValueError(f"{cell!r} is yes or no, no number; write 1 or 0, or use kind: binary")
        elif not isinstance(cell, (Real, Decimal)):
            raise ValueError(f"{cell!r} is no number; write one such as 3.5 or 1e-3, or leave the cell empty")
        else:
            text = None
        try:
            number = float(cell if text is None else text)
        except OverflowError:
            number = math.inf
        if abs(number) > LARGEST:
            raise ValueError(
                f"{cell!r} is beyond {LARGEST:g}; give a finite number, in a larger unit if it is so large"
            )
        return number

    def _no_number(self, text: str, place: int) -> str:
        if not text.strip():  # an empty cell is no fault unless data.missing lists other signs
            return f"{text!r} is no number; list {text!r} in data.missing too, which replaces the default signs"
        marks, other = self.marks(place), Marks.of(text)
        if marks == Marks() and other is None:
            return f"{text!r} is no number; write one such as 3.5 or 1e-3, or leave the cell empty"
        remedy = "leave the cell empty" if other is None else f"set {other}"
        return f"{text!r} is no number with {marks}; write one such as {Spelling(marks).write(1234.5)}, or {remedy}"

    def decimals_of_fills(self, place: int) -> int | None:
        """How many decimals a filled cell has in the column at index `place`, if no known cell shows it; None for all.

        Default: None.
        """
        return None

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """Write numbers with the decimals of the column's known cells; in texts, also with their marks and exponents.

        A column without known numbers gets numbers with the learned decimals. In a format of texts it gets texts, if
        they have a decimal comma or a mark between thousands.
        Nothing is rounded where `decimals_of_fills` is None and texts have the usual marks, as in runs of 0.1.
        """
        place = 0 if self.columns is None else self.columns.index(column.name)
        marks, decimals = self.marks(place), self.decimals_of_fills(place)
        if marks == Marks() and decimals is None:
            return super().style(column)
        known = [cell for cell in column.cells if is_typed(cell)]
        if known:
            return typed_style(known, decimals or 0)
        spelling = None if column.texts is None else Spelling.of(column.texts, column.counts, marks)
        if spelling is not None:
            return spelling.write
        if marks != Marks() and column.text_format:
            return Spelling(marks, most=decimals).write
        return super().style(column) if decimals is None else lambda cell: rounded(cell, decimals)

    def numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """Convert a column at once if its cells are all numbers or all text; `number` converts doubtful cells.

        A number that the likelihood does not score is a fault.
        """
        numbers, faults = self._numbers(cells, place)
        outside = np.flatnonzero(~(np.isnan(numbers) | belongs(numbers, self.support)))
        numbers[outside] = math.nan
        return numbers, {**faults, **{row: self.outside(cells[row]) for row in outside.tolist()}}

    @abstractmethod
    def outside(self, cell: Any) -> str:
        """The fault of a cell that is a number, and not one of the support."""

    def _numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        numbers: NDArray[np.float64] | None = None
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
            numbers = cells.astype(np.float64)
            doubtful = np.abs(numbers) > LARGEST
        elif (types := set(map(type, cells)) - {type(None)}) <= {int, float}:
            try:
                numbers = np.array(cells, dtype=np.float64)  # None becomes NaN
            except OverflowError:  # a whole number of hundreds of digits
                return super().numbers(cells, place)
            doubtful = np.abs(numbers) > LARGEST
        elif types == {str}:
            plain = self.marks(place).plain
            texts = (None if cell is None else plain(cell) for cell in cells)
            numbers = np.array([math.nan if text is None else float(text) for text in texts])
            doubtful = ~(np.abs(numbers) <= LARGEST)
        else:
            return super().numbers(cells, place)
        faults: dict[int, str] = {}
        for row in np.flatnonzero(doubtful).tolist():
            numbers[row] = math.nan
            if cells[row] is not None:
                try:
                    numbers[row] = self.number(cells[row], place)
                except ValueError as error:
                    faults[row] = str(error)
        return numbers, faults

    # Networks.

    @property
    @abstractmethod
    def support(self) -> Support:
        """The numbers that there can be."""

    def outline(self) -> Form:
        """K numbers, some possibly unknown."""
        return Numbers(self.size, gaps=not self.single, support=self.support)

    def form(self) -> Form:
        """K numbers, some possibly unknown, with mean and standard deviation."""
        mean, std = self.standard
        return replace(self.outline(), shift=mean, scale=std)

    @classmethod
    def together(cls, columns: Mapping[str, Parted]) -> Parted | None:
        """One modality of several numbers, if the likelihoods are equal and the class reads several."""
        if "columns" not in cls.model_fields:
            return None
        numbers = [column for column in columns.values() if isinstance(column, cls)]
        likelihood = numbers[0].likelihood
        if any(column.likelihood != likelihood for column in numbers) or likelihood.misfit(numbers[0].outline()):
            return None
        mean, std = (tuple(n for column in numbers for n in column.standard[i]) for i in (0, 1))
        options = {"columns": tuple(columns), "likelihood": likelihood, "mean": mean, "std": std}
        return cls.model_validate(options, context={"own": [likelihood]})

    def reader(self) -> nn.Module:
        """What networks read: standardised numbers; with `columns`, also which are known."""
        return Standardised(self)

    def read(self, values: Tensor, known: Tensor) -> Tensor:
        """What the likelihood reads of numbers (N, K), such as their logarithms; that of 1 where they are unknown."""
        return self.likelihood.read(torch.where(known, values, torch.ones_like(values)))  # 1 is in every support

    def condition(self, x: Tensor) -> Tensor:
        """The standardised numbers, zero if unknown; with `columns`, also a flag for each, 1 if known, else 0."""
        standardised: Tensor = self.reader().to(x.device)(x)
        return standardised.float()


class Standardised(nn.Module):
    """What networks read of numbers: (read - mean) / std, zero where unknown; with columns also 1 where known.

    `read` is what the likelihood reads of a number. In float64, for a number such as a date in seconds would lose its
    digits before the mean is taken away.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, modality: StandardisedNumbers) -> None:
        super().__init__()
        for name, numbers in zip(("mean", "std"), modality.standard, strict=True):
            # Not saved with the weights: the options keep them.
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64), persistent=False)
        self.codec = modality.codec
        self.read, self.read_known = modality.read, modality.likelihood.read
        self.farthest = _FARTHEST_OF_ROBUST if modality.likelihood.robust else _FARTHEST

    def forward(self, x: Tensor) -> Tensor:
        """From (N,) or (N, 2, K) to (N, K) or (N, 2 K), float64."""
        if self.codec.single:  # a value is known; a small layer takes no longer than to look for what is not
            return self._standardised(self.read_known(x.double().unsqueeze(1)))
        values, known = self.codec.split(x.double())
        read = self._standardised(self.read(values, known))
        return self.codec.features(torch.where(known, read, torch.zeros_like(read)), known)

    def _standardised(self, read: Tensor) -> Tensor:
        """Cut off where it is far out in any case, so that no feature overflows."""
        return ((read - self.mean) / self.std).clamp(-self.farthest, self.farthest)
