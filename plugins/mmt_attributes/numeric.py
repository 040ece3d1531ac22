"""The numeric modality: a real number, or several."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
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
from mmt_attributes.proposals import numeric_proposal, together_proposal
from mmtoolkit import Better, Cells, ColumnSummary, NumberModality, Proposal, split_entries

_DEGREES = 4.0
_LEAST_SCALE = 1e-3  # of a learned scale, in standard deviations of the column
# What networks read is cut off here; where some numbers are known to lie far out, how far says little.
_FARTHEST = {"gaussian": 1000.0, "student_t": 10.0}
_QUARTILES_APART = 1.3489795003921634  # of a normal distribution, in standard deviations
_MOST_KEPT = 1 << 20
# Within these no standardised number and no density overflows float64.
_SMALLEST, _LARGEST = 1e-50, 1e50
_SPREAD = Field(ge=_SMALLEST, le=_LARGEST)
_PLACE = Field(ge=-_LARGEST, le=_LARGEST)

_NUMBER = re.compile(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*")


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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.degrees is not None and self.likelihood != "student_t":
            raise ValueError("degrees belongs to student_t; remove it, or set likelihood: student_t")
        for option in ("scale", "mean", "std"):
            given = getattr(self, option)
            if isinstance(given, tuple) and len(given) != self.size:
                raise ValueError(f"{option} has {len(given)} entries and there are {self.size} numbers; give one each")
        return self

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of cells that read as numbers; with student_t if it has outliers."""
        return numeric_proposal(cls(), column)

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

    # Data.

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A single number, several, and one with far outliers."""
        return cls(), cls(columns=("height", "weight")), cls(likelihood="student_t", scale=2.0)

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn mean and standard deviation of each number from the cells that can be read.

        For student_t they come from the middle half of the numbers: outliers would make all others look alike.
        """
        if self.mean is not None and self.std is not None:
            return self
        moments, fault = _Moments(self.size), ""
        quartiles = _Quartiles(self.size) if self.likelihood == "student_t" else None
        for cells in chunks:
            parsed = self.parse_column(cells)
            fault = fault or next(iter(parsed.faults.values()), "")
            if parsed.present.any():
                values, known = split_entries(parsed.stored[parsed.present], self.single)
                moments.add(values.numpy(), known.numpy())
                if quartiles is not None:
                    quartiles.add(values.numpy(), known.numpy())
        if not moments.count.all():
            column = "" if self.columns is None else f" in column {self.columns[int((moments.count == 0).argmax())]}"
            first = f" (the first fault: {fault})" if fault else ""
            raise ValueError(f"there is no number{column}{first}; mend the data, or give mean and std")
        mean, std = moments.result() if quartiles is None else quartiles.result(*moments.result())
        learned = {"mean": self.mean or mean, "std": self.std or std}
        return type(self).model_validate({**self.model_dump(), **learned})

    def number(self, cell: Any, place: int) -> float:
        """A number, or text that reads as one; NaN, also as text, is unknown."""
        if isinstance(cell, str):
            word = cell.strip().lstrip("+-").lower()
            if word == "nan":
                return math.nan
            if not _NUMBER.fullmatch(cell) and word not in {"inf", "infinity"}:
                raise ValueError(f"{cell!r} is no number; write one such as 3.5 or 1e-3, or leave the cell empty")
        elif isinstance(cell, (bool, np.bool_)):
            raise ValueError(f"{cell!r} is yes or no, no number; write 1 or 0, or use kind: binary")
        elif not isinstance(cell, (Real, Decimal)):
            raise ValueError(f"{cell!r} is no number; write one such as 3.5 or 1e-3, or leave the cell empty")
        try:
            number = float(cell)
        except OverflowError:
            number = math.inf
        if abs(number) > _LARGEST:
            raise ValueError(
                f"{cell!r} is beyond {_LARGEST:g}; give a finite number, in a larger unit if it is so large"
            )
        return number

    def entry(self, number: float, place: int) -> float:
        """The number."""
        return number

    def numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """Convert a column at once if its cells are all numbers or all text; `number` converts doubtful cells."""
        found: NDArray[np.float64] | None = None
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
            found = cells.astype(np.float64)
            doubtful = np.abs(found) > _LARGEST
        elif (types := set(map(type, cells)) - {type(None)}) <= {int, float}:
            try:
                found = np.array(cells, dtype=np.float64)  # None becomes NaN
            except OverflowError:  # a whole number of hundreds of digits
                return super().numbers(cells, place)
            doubtful = np.abs(found) > _LARGEST
        elif types == {str}:
            matches = _NUMBER.fullmatch
            found = np.array([float(cell) if cell is not None and matches(cell) else math.nan for cell in cells])
            doubtful = ~(np.abs(found) <= _LARGEST)
        else:
            return super().numbers(cells, place)
        faults: dict[int, str] = {}
        for row in np.flatnonzero(doubtful).tolist():
            found[row] = math.nan
            if cells[row] is not None:
                try:
                    found[row] = self.number(cells[row], place)
                except ValueError as error:
                    faults[row] = str(error)
        return found, faults

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


class _Moments:
    """Mean and spread of K numbers, chunk by chunk, without cancellation (Chan et al. 1983)."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.squares = (np.zeros(size) for _ in range(3))
        self.low, self.high = np.full(size, np.inf), np.full(size, -np.inf)

    def add(self, values: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """Rows (N, K) and which are known."""
        count = known.sum(0)
        mean = np.where(known, values, 0).sum(0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0) ** 2).sum(0)
        total = np.maximum(self.count + count, 1)
        off = mean - self.mean
        self.squares += squares + off**2 * self.count * count / total
        self.mean += off * count / total
        self.count += count
        self.low = np.minimum(self.low, np.where(known, values, np.inf).min(0))
        self.high = np.maximum(self.high, np.where(known, values, -np.inf).max(0))

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The means, and the standard deviations: 1 where all numbers are the same."""
        mean = np.clip(self.mean, self.low, self.high)  # of equal numbers it is that number
        std = np.sqrt(self.squares / self.count)
        std = np.where((self.low == self.high) | (std < _SMALLEST), 1.0, std)
        return tuple(mean.tolist()), tuple(std.tolist())


class _Quartiles:
    """Median and quartiles of K numbers, chunk by chunk: of all, or of an even share of many."""

    def __init__(self, size: int) -> None:
        self.kept: list[list[NDArray[np.float64]]] = [[] for _ in range(size)]
        self.every = [1] * size

    def add(self, values: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """Rows (N, K) and which are known."""
        for k, kept in enumerate(self.kept):
            kept.append(values[known[:, k], k][:: self.every[k]])
            if sum(map(len, kept)) > _MOST_KEPT:
                kept[:] = [np.concatenate(kept)[::2]]
                self.every[k] *= 2

    def result(self, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The medians, and the standard deviations of normal distributions with these quartiles.

        Where half of the numbers are the same, so that the quartiles say nothing, it is `mean` and `std`.
        """
        found = [np.quantile(np.concatenate(kept), (0.25, 0.5, 0.75)).tolist() for kept in self.kept]
        robust = [(middle, (high - low) / _QUARTILES_APART) for low, middle, high in found]
        both = [
            given if spread < _SMALLEST else (middle, spread)
            for (middle, spread), given in zip(robust, zip(mean, std, strict=True), strict=True)
        ]
        return tuple(middle for middle, _ in both), tuple(spread for _, spread in both)


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
