"""A plugin for mmtoolkit: counts that go together, and the Poisson and negative binomial likelihoods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit import (
    MLP,
    Architecture,
    Better,
    Cells,
    Component,
    Form,
    Grid,
    Likelihood,
    NumberModality,
    Numbers,
    Part,
    Parted,
    Series,
    Support,
    hookimpl,
)

_LARGEST = 2**53  # float64 holds all whole numbers up to it
_LEAST_RATE = 1e-6
_LEAST_DISPERSION = 1e-6  # below it a negative binomial is a Poisson distribution to six digits

_Typical = Annotated[float, Field(gt=0, le=_LARGEST)]


class CountLikelihood(Likelihood):
    """The base class of likelihoods of counts; an encoder reads the logarithm of 1 + count."""

    scores: ClassVar[tuple[type[Form], ...]] = (Numbers, Grid, Series)
    support: ClassVar[Support] = "whole"

    def read(self, x: Tensor) -> Tensor:
        """log(1 + x)."""
        return x.log1p()


class PoissonLikelihood(CountLikelihood):
    """A Poisson distribution at each place: its variance is its mean."""

    kind: Literal["poisson"] = "poisson"

    def head(self, form: Form) -> nn.Module:
        """The outputs are means before softplus, in the unit of the form."""
        return PoissonHead(form)


class NegativeBinomialLikelihood(CountLikelihood):
    """A negative binomial distribution at each place, with the variance μ + α μ² (Hilbe 2011).

    The dispersion α of each number or channel is learned. It is for what comes in clusters, such as animals in flocks,
    or molecules in cells.
    """

    kind: Literal["negative_binomial"] = "negative_binomial"

    def head(self, form: Form) -> nn.Module:
        """The outputs are means before softplus, in the unit of the form."""
        return NegativeBinomialHead(form)


class PoissonHead(nn.Module):
    """From outputs (N, 1, *places) to a distribution, in float64: terms of its density cancel where counts are large.

    Args:
        form: of the counts; its scale is their unit.
    """

    units: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.by_channel = (form.places[0], *[1] * (len(form.places) - 1))
        units = torch.tensor(form.scale or [1.0] * form.places[0], dtype=torch.float64)
        self.register_buffer("units", units.reshape(self.by_channel), persistent=False)  # the options keep them

    def mean(self, raw: Tensor) -> Tensor:
        """The means (N, *places), for every output finite and above 0."""
        return self.units * F.softplus(raw.squeeze(1).double()) + _LEAST_RATE

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        return distributions.Poisson(self.mean(raw), validate_args=False)


class NegativeBinomialHead(PoissonHead):
    """The same with a dispersion of each number or channel."""

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.raw_dispersion = nn.Parameter(torch.zeros(self.by_channel))

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        mean = self.mean(raw)
        dispersion = F.softplus(self.raw_dispersion.double()) + _LEAST_DISPERSION
        return distributions.NegativeBinomial(
            1 / dispersion.expand_as(mean), logits=(dispersion * mean).log(), validate_args=False
        )


class Counts(NumberModality, Parted):
    """How often something happened: 0, 1, 2, …; with `columns` several counts, some possibly unknown.

    A cell is a whole number, or text that reads as one. Given z the counts are independent.
    """

    kind: Literal["counts"] = "counts"
    gives: ClassVar[type[Form]] = Numbers
    moved: ClassVar[Mapping[str, str]] = {"hidden": "network.width"}

    network: Part[Architecture] = MLP(width=64, depth=1, decoder_depth=1)
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = NegativeBinomialLikelihood()
    """The distribution of a count given z."""
    typical: Annotated[tuple[_Typical, ...], Field(min_length=1)] | None = None
    """A typical count of each column, the unit of the networks. By default the training mean."""

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.typical is not None and len(self.typical) != self.size:
            raise ValueError(f"typical has {len(self.typical)} entries and there are {self.size} counts; give one each")
        return self

    @property
    def units(self) -> tuple[float, ...]:
        """The typical counts, known or learned.

        Raises:
            ValueError: they are neither.
        """
        if self.typical is None:
            raise ValueError("typical counts are not known yet; give typical, or let `fit` learn it")
        return self.typical

    # What a cell is.

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the typical counts from the cells that can be read."""
        if self.typical is not None:
            return self
        total, number = torch.zeros(self.size, dtype=torch.float64), torch.zeros(self.size, dtype=torch.float64)
        for cells in chunks:
            parsed = self.parse_column(cells)
            values, known = self.codec.split(parsed.stored[parsed.present])
            total, number = total + values.sum(0), number + known.sum(0)
        typical = (total / number.clamp(min=1)).clamp(min=0.01).tolist()
        return self.with_options(typical=tuple(typical))

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

    def outline(self) -> Form:
        """K whole numbers, some possibly unknown; networks read a flag of a single one too."""
        return Numbers(self.size, gaps=True, support="whole")

    def form(self) -> Form:
        """The same with the typical counts as units."""
        return Numbers(self.size, gaps=True, support="whole", scale=self.units)

    def reader(self) -> nn.Module:
        """What networks read: each count as the likelihood reads it, in its unit, and whether it is known."""
        return CountsReader(self)

    # Scores.

    def point(self, p: Distribution) -> Tensor:
        """The means as whole numbers, all of them known."""
        return p.mean.round()

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """How far off each count is."""
        predicted, true = (self.codec.split(value)[0].double() for value in (point, x))
        return {"absolute_error": (predicted - true).abs()}

    def entry_better(self) -> dict[str, Better]:
        """An error is better low."""
        return {"absolute_error": "low"}

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One count and several, of both likelihoods."""
        return (
            cls(columns=columns, likelihood=likelihood)
            for columns in (None, ("heron", "lark"))
            for likelihood in (PoissonLikelihood(), NegativeBinomialLikelihood())
        )


class CountsReader(nn.Module):
    """From counts (N,) or (N, 2, K) to what networks read of them (N, 2 K), float64."""

    units: Tensor

    def __init__(self, modality: Counts) -> None:
        super().__init__()
        self.split, self.read = modality.codec.split, modality.likelihood.read
        self.register_buffer("units", torch.tensor(modality.units, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The counts in their unit, as the likelihood reads them, 0 where unknown, and a flag for each, 1 if known."""
        values, known = self.split(x)  # (N, K) each; an unknown value is 0
        return torch.cat([self.read(values / self.units), known.to(self.units)], dim=1)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Counts, PoissonLikelihood, NegativeBinomialLikelihood]
