"""A plugin for mmtoolkit: counts that go together, with a Poisson or a negative binomial likelihood each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit import Better, Cells, Component, NumberModality, hookimpl, split_entries

_LARGEST = 2**53  # float64 holds all whole numbers up to it
_LEAST_RATE = 1e-6
_LEAST_DISPERSION = 1e-6  # below it a negative binomial is a Poisson distribution to six digits

_Typical = Annotated[float, Field(gt=0, le=_LARGEST)]


class Counts(NumberModality):
    """How often something happened: 0, 1, 2, …; with `columns` several counts, some possibly unknown.

    A cell is a whole number, or text that reads as one. Given z the counts are independent. The variance of a Poisson
    distribution is its mean μ, that of a negative binomial one μ + α μ², with a dispersion α of each column that is
    learned: for what comes in clusters, such as animals in flocks, or molecules in cells (Hilbe 2011).
    """

    kind: Literal["counts"] = "counts"

    likelihood: Literal["poisson", "negative_binomial"] = "negative_binomial"
    """The distribution of a count."""
    hidden: PositiveInt = 64
    """Units of the hidden layers."""
    typical: Annotated[tuple[_Typical, ...], Field(min_length=1)] | None = None
    """A typical count of each column, the unit of the networks. By default the training mean."""

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.typical is not None and len(self.typical) != self.size:
            raise ValueError(f"typical has {len(self.typical)} entries and there are {self.size} counts; give one each")
        return self

    @property
    def units(self) -> Tensor:
        """The typical counts, known or learned: (K,), float64.

        Raises:
            ValueError: they are neither.
        """
        if self.typical is None:
            raise ValueError("typical counts are not known yet; give typical, or let `fit` learn it")
        return torch.tensor(self.typical, dtype=torch.float64)

    # What a cell is.

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the typical counts from the cells that can be read."""
        if self.typical is not None:
            return self
        total, number = torch.zeros(self.size, dtype=torch.float64), torch.zeros(self.size, dtype=torch.float64)
        for cells in chunks:
            parsed = self.parse_column(cells)
            values, known = split_entries(parsed.stored[parsed.present], self.single)
            total, number = total + values.sum(0), number + known.sum(0)
        typical = (total / number.clamp(min=1)).clamp(min=0.01).tolist()
        return type(self).model_validate({**self.model_dump(), "typical": typical})

    def number(self, cell: Any, place: int) -> float:
        """The count that a cell stands for; NaN is unknown."""
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError):
            number = -1.0
        if math.isnan(number):
            return number
        if not number.is_integer() or not 0 <= number <= _LARGEST:
            raise ValueError(f"{cell!r} is no count; give 0 or a positive whole number")
        return number

    def entry(self, number: float, place: int) -> int:
        """Convert a count to an entry of a table."""
        return round(number)

    # Networks.

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """Two layers that read the logarithm of each count, and whether it is known."""
        return CountsEncoder(self, width, extra)

    def decoder(self, size: int) -> nn.Module:
        """Two layers to the mean of each count."""
        layers = nn.Sequential(nn.Linear(size, self.hidden), nn.SiLU(), nn.Linear(self.hidden, self.size))
        return CountsDecoder(self, layers)

    def head(self, size: int) -> nn.Module:
        """One layer to the mean of each count: Poisson or negative binomial regression."""
        return CountsDecoder(self, nn.Linear(size, self.size))

    # Scores.

    def point(self, p: Distribution) -> Tensor:
        """The means as whole numbers, all of them known."""
        return p.mean.round()

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """How far off each count is."""
        said, true = (split_entries(value, self.single)[0].double() for value in (point, x))
        return {"absolute_error": (said - true).abs()}

    def entry_better(self) -> dict[str, Better]:
        """An error is better low."""
        return {"absolute_error": "low"}

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One count and several, of both likelihoods."""
        return (
            cls(columns=columns, likelihood=likelihood)
            for columns in (None, ("heron", "lark"))
            for likelihood in ("poisson", "negative_binomial")
        )


class CountsEncoder(nn.Module):
    """From counts (N,) or (N, 2, K), and a condition (N, extra) where there is one, to features (N, width)."""

    units: Tensor

    def __init__(self, modality: Counts, width: int, extra: int) -> None:
        super().__init__()
        self.single = modality.single
        self.register_buffer("units", modality.units, persistent=False)  # the options keep them
        read = 2 * modality.size + extra
        self.layers = nn.Sequential(nn.Linear(read, modality.hidden), nn.SiLU(), nn.Linear(modality.hidden, width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        values, known = split_entries(x, self.single)  # (N, K) each; an unknown value is 0
        features = torch.cat([(values / self.units).log1p(), known.to(self.units)], dim=1)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        found: Tensor = self.layers(features.to(next(self.layers.parameters())))
        return found


class CountsDecoder(nn.Module):
    """From z (N, size) to the likelihood of the known counts, in float64: its terms cancel where counts are large.

    Args:
        modality: whose counts they are.
        layers: from z to features (N, K).
    """

    units: Tensor

    def __init__(self, modality: Counts, layers: nn.Module) -> None:
        super().__init__()
        self.distribution = modality.distribution
        self.layers = layers
        self.register_buffer("units", modality.units, persistent=False)
        overdispersed = modality.likelihood == "negative_binomial"
        self.raw_dispersion = nn.Parameter(torch.zeros(modality.size)) if overdispersed else None

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event () or (2, K)."""
        mean = self.units * F.softplus(self.layers(z).double()) + _LEAST_RATE  # (N, K), for every z finite and above 0
        base: Distribution = distributions.Poisson(mean, validate_args=False)
        if self.raw_dispersion is not None:
            dispersion = F.softplus(self.raw_dispersion.double()) + _LEAST_DISPERSION
            base = distributions.NegativeBinomial(
                1 / dispersion.expand_as(mean), logits=(dispersion * mean).log(), validate_args=False
            )
        return self.distribution(base)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Counts]
