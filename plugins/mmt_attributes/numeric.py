"""The numeric modality: a real number, or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes.mlp import WIDTH, Encoder, mlp
from mmt_attributes.moments import SMALLEST, Moments, Quartiles
from mmt_attributes.proposals import marks_of, numeric_proposal, together_proposal
from mmt_attributes.spelling import Spelling, decimals_of, is_typed, rounded, typed_style
from mmtoolkit import Better, Cells, ColumnSummary, Marks, NumberModality, Proposal, split_entries

_DEGREES = 4.0
_LEAST_SCALE = 1e-3  # of a learned scale, in standard deviations of the column
# What networks read is cut off here; where some numbers are known to lie far out, how far says little.
_FARTHEST = {"gaussian": 1000.0, "student_t": 10.0}
_LARGEST = 1e50  # within it and SMALLEST no standardised number and no density overflows float64
_SPREAD = Field(ge=SMALLEST, le=_LARGEST)
_PLACE = Field(ge=-_LARGEST, le=_LARGEST)


class Numeric(NumberModality):
    """A real number, or with `columns` several, some possibly unknown, in your own units.

    A cell is a number, or text that reads as one; NaN is unknown. The networks read standardised numbers. The
    likelihood is that of the original numbers, so its log-density refers to your unit.
    """

    kind: Literal["numeric"] = "numeric"

    likelihood: Literal["gaussian", "student_t"] = "gaussian"
    """The distribution of a number: student_t suits columns with outliers (Lange et al. 1989)."""
    scale: Annotated[float, _SPREAD] | tuple[Annotated[float, _SPREAD], ...] | None = None
    """The standard deviation (gaussian) or scale (student_t), in the unit of the numbers: one for all, or one each.
    By default learned, one each."""
    degrees: Annotated[float, Field(gt=2)] | None = None
    """The degrees of freedom of student_t, more than 2 so that its variance is finite; by default 4."""
    mean: tuple[Annotated[float, _PLACE], ...] | None = None
    """The mean of each number, for standardisation. By default learned; for student_t, the median."""
    std: tuple[Annotated[float, _SPREAD], ...] | None = None
    """The standard deviation of each number, for standardisation. By default learned; for student_t, that of a normal
    distribution with the same quartiles."""
    decimal: Literal[".", ","] | tuple[Literal[".", ","], ...] = "."
    """The decimal mark of numbers in texts: one for all, or one each."""
    thousands: (
        Literal[".", ",", "'", "’", " ", "\u00a0", "\u202f"]
        | tuple[Literal[".", ",", "'", "’", " ", "\u00a0", "\u202f"] | None, ...]
        | None
    ) = None
    """The mark between thousands of numbers in texts, such as a comma or a space; by default they have none. One for
    all, or one each. The digits before the decimal mark must form groups of three, or none."""
    decimals: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """How many decimals a predicted cell has, one each: whole numbers have 0. A table with known cells in the column
    overrides it. By default learned with `mean` and `std`; if you give both of these, cells are not rounded."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.degrees is not None and self.likelihood != "student_t":
            raise ValueError("degrees belongs to student_t; remove it, or set likelihood: student_t")
        for option in ("scale", "mean", "std", "decimal", "thousands", "decimals"):
            given = getattr(self, option)
            if isinstance(given, tuple) and len(given) != self.size:
                raise ValueError(f"{option} has {len(given)} entries and there are {self.size} numbers; give one each")
        for place in range(self.size):
            if (marks := self.marks(place)).decimal == marks.thousands:
                raise ValueError(f"decimal and thousands are both {marks.decimal!r}; change one")
        return self

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of cells that read as numbers; with student_t if it has outliers.

        It is left out if its numbers are dates or only name rows, or if their marks stay open.
        """
        marks = marks_of(column)
        return numeric_proposal(cls(decimal=marks.decimal, thousands=marks.thousands), column, marks)

    @classmethod
    def propose_together(cls, columns: Sequence[ColumnSummary]) -> Proposal | None:
        """Propose one modality for many columns of numbers."""
        proposals = [proposal for column in columns if (proposal := cls.propose(column)) is not None]
        return together_proposal(columns, proposals)

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

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A single number, several, and one with far outliers."""
        return cls(), cls(columns=("height", "weight")), cls(likelihood="student_t", scale=2.0)

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn mean, standard deviation and decimals of each number from the cells that can be read.

        For student_t they come from the middle half of the numbers: outliers would make all others look alike.
        """
        if self.mean is not None and self.std is not None:
            return self
        moments, decimals, fault = Moments(self.size), [0] * self.size, ""
        quartiles = Quartiles(self.size) if self.likelihood == "student_t" else None
        for cells in chunks:
            parsed = self.parse_column(cells)
            fault = fault or next(iter(parsed.faults.values()), "")
            if parsed.present.any():
                values, known = split_entries(parsed.stored[parsed.present], self.single)
                moments.add(values.numpy(), known.numpy())
                columns = zip(values.T.numpy(), known.T.numpy(), decimals, strict=True)
                decimals = [decimals_of(column[there], least) for column, there, least in columns]
                if quartiles is not None:
                    quartiles.add(values.numpy(), known.numpy())
        if not moments.count.all():
            column = "" if self.columns is None else f" in column {self.columns[int((moments.count == 0).argmax())]}"
            first = f" (the first fault: {fault})" if fault else ""
            raise ValueError(f"there is no number{column}{first}; mend the data, or give mean and std")
        mean, std = moments.result() if quartiles is None else quartiles.result(*moments.result())
        learned = {"mean": self.mean or mean, "std": self.std or std, "decimals": self.decimals or tuple(decimals)}
        return type(self).model_validate({**self.model_dump(), **learned})

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
        if abs(number) > _LARGEST:
            raise ValueError(
                f"{cell!r} is beyond {_LARGEST:g}; give a finite number, in a larger unit if it is so large"
            )
        return number

    def _no_number(self, text: str, place: int) -> str:
        marks, other = self.marks(place), Marks.of(text)
        if marks == Marks() and other is None:
            return f"{text!r} is no number; write one such as 3.5 or 1e-3, or leave the cell empty"
        remedy = "leave the cell empty" if other is None else f"set {other}"
        return f"{text!r} is no number with {marks}; write one such as {Spelling(marks).write(1234.5)}, or {remedy}"

    def entry(self, number: float, place: int) -> float:
        """The number."""
        return number

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """Write numbers with the decimals of the column's known cells; in texts, also with their marks and exponents.

        A column without known numbers gets numbers with the learned decimals. In a format of texts it gets texts, if
        they have a decimal comma or a mark between thousands.
        Nothing is rounded where `decimals` is None and texts have the usual marks, as in runs of 0.1.
        """
        place = 0 if self.columns is None else self.columns.index(column.name)
        marks, decimals = self.marks(place), None if self.decimals is None else self.decimals[place]
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
        """Convert a column at once if its cells are all numbers or all text; `number` converts doubtful cells."""
        numbers: NDArray[np.float64] | None = None
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
            numbers = cells.astype(np.float64)
            doubtful = np.abs(numbers) > _LARGEST
        elif (types := set(map(type, cells)) - {type(None)}) <= {int, float}:
            try:
                numbers = np.array(cells, dtype=np.float64)  # None becomes NaN
            except OverflowError:  # a whole number of hundreds of digits
                return super().numbers(cells, place)
            doubtful = np.abs(numbers) > _LARGEST
        elif types == {str}:
            plain = self.marks(place).plain
            texts = (None if cell is None else plain(cell) for cell in cells)
            numbers = np.array([math.nan if text is None else float(text) for text in texts])
            doubtful = ~(np.abs(numbers) <= _LARGEST)
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

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """An MLP that reads the standardised numbers; with `columns`, also which are known."""
        return Encoder(self.branch(WIDTH), width, extra)

    def branch(self, width: int) -> nn.Module:
        """The first layer alone."""
        return NumericBranch(self, width)

    def condition(self, x: Tensor) -> Tensor:
        """The standardised numbers, zero if unknown; with `columns`, also a flag for each, 1 if known, else 0."""
        standardised: Tensor = Standardised(self).to(x.device)(x)
        return standardised.float()

    def decoder(self, size: int) -> nn.Module:
        """An MLP to the locations, and the likelihood in the unit of the numbers."""
        return NumericDecoder(self, mlp(size, WIDTH, WIDTH, WIDTH, self.size))

    def head(self, size: int) -> nn.Module:
        """One layer to the locations, and the same likelihood: linear regression."""
        return NumericDecoder(self, mlp(size, self.size))

    # Scores.

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The squared and the absolute error of each number, in its unit."""
        said, true = (split_entries(value, self.single)[0].double() for value in (point, x))
        return {"squared_error": (said - true).square(), "absolute_error": (said - true).abs()}

    def entry_better(self) -> dict[str, Better]:
        """Errors are better low."""
        return {"squared_error": "low", "absolute_error": "low"}


class Standardised(nn.Module):
    """What networks read of numbers: (x - mean) / std, zero where unknown; with columns also 1 where known.

    In float64, for a number such as a date in seconds would lose its digits before the mean is taken away.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, modality: Numeric) -> None:
        super().__init__()
        for name, numbers in zip(("mean", "std"), modality.standard, strict=True):
            # Not saved with the weights: the options keep them.
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64), persistent=False)
        self.single = modality.single
        self.farthest = _FARTHEST[modality.likelihood]

    @property
    def size(self) -> int:
        """How many numbers come out."""
        return len(self.mean) if self.single else 2 * len(self.mean)

    def forward(self, x: Tensor) -> Tensor:
        """From (N,) or (N, 2, K) to (N, size), float64."""
        values, known = split_entries(x.double(), self.single)
        # Cut off where it is far out in any case, so that no feature overflows.
        read = ((values - self.mean) / self.std).clamp(-self.farthest, self.farthest)
        read = torch.where(known, read, torch.zeros_like(read))
        return read if self.single else torch.cat([read, known.to(read)], dim=1)


class NumericBranch(nn.Module):
    """From numbers (N,) or (N, 2, K) to the first features (N, width)."""

    def __init__(self, modality: Numeric, width: int) -> None:
        super().__init__()
        self.standardised = Standardised(modality)
        self.linear = nn.Linear(self.standardised.size, width)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, width)."""
        return F.silu(self.linear(self.standardised(x).to(self.linear.weight)))


class NumericDecoder(nn.Module):
    """From z (N, size) to the distribution of the numbers, in their unit and in float64.

    Args:
        modality: whose numbers they are.
        layers: from z to the standardised locations (N, K).
    """

    mean: Tensor
    std: Tensor
    scale: Tensor

    def __init__(self, modality: Numeric, layers: nn.Module) -> None:
        super().__init__()
        self.distribution = modality.distribution
        self.degrees = None if modality.likelihood == "gaussian" else modality.degrees or _DEGREES
        for name, numbers in zip(("mean", "std"), modality.standard, strict=True):
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64), persistent=False)
        self.raw_scale: nn.Parameter | None = None
        if modality.scale is None:
            self.raw_scale = nn.Parameter(torch.zeros(modality.size))
        else:
            scale = torch.tensor(modality.scale, dtype=torch.float64).expand(modality.size).clone()
            self.register_buffer("scale", scale, persistent=False)
        self.layers = layers

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event () or (2, K)."""
        location = self.mean + self.std * self.layers(z).double()
        scale = self.scale if self.raw_scale is None else self._learned_scale(self.raw_scale)
        scale = scale.expand_as(location)
        base: Distribution
        if self.degrees is None:
            base = distributions.Normal(location, scale, validate_args=False)
        else:
            base = distributions.StudentT(self.degrees, location, scale, validate_args=False)
        return self.distribution(base)

    def _learned_scale(self, raw: Tensor) -> Tensor:
        return self.std * (F.softplus(raw.double()) + _LEAST_SCALE)
