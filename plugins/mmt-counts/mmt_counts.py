"""A plugin for mmtoolkit: counts that go together, and a likelihood of counts with further zeros."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, constraints

from mmtoolkit import (
    MLP,
    Architecture,
    Better,
    Cells,
    Component,
    CountLikelihood,
    Form,
    Likelihood,
    NegativeBinomialLikelihood,
    NumberModality,
    Numbers,
    Part,
    Parted,
    hookimpl,
)

_LARGEST = 2**53  # float64 holds all whole numbers up to it
_LEAST_RATE = 1e-6
_FARTHEST = 30.0  # from the typical count, as logarithms: means stay finite

_Typical = Annotated[float, Field(gt=0, le=_LARGEST)]


class ZeroInflatedPoissonLikelihood(CountLikelihood):
    """A Poisson distribution mixed with zeros, at each place (Lambert 1992).

    Some counts are 0 because nothing could be counted, such as at a place where a bird never lives; the others are
    Poisson. The network gives the mean of these, and how likely the first is.
    """

    kind: Literal["zero_inflated_poisson"] = "zero_inflated_poisson"

    def numbers(self, form: Form) -> int:
        """The logarithm of a mean, and a logit."""
        return 2

    def head(self, form: Form) -> nn.Module:
        """The first outputs are logarithms of means, in the unit of the form; the second the logits of the zeros."""
        return ZeroInflatedPoissonHead(form)


class ZeroInflatedPoissonHead(nn.Module):
    """From outputs (N, 2, *places) to a distribution, in float64: terms of its density cancel where counts are large.

    Args:
        form: of the counts; its shift is log(1 + a typical count).
    """

    typical: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        typical = torch.tensor(form.shift or [math.log(2)] * form.places[0], dtype=torch.float64).expm1()
        by_channel = (form.places[0], *[1] * (len(form.places) - 1))
        # Not saved with the weights: the options keep it.
        self.register_buffer("typical", typical.clamp(min=_LEAST_RATE).reshape(by_channel), persistent=False)

    def forward(self, raw: Tensor) -> ZeroInflatedPoisson:
        """Batch (N, *places)."""
        log_mean, logit = raw.double().unbind(1)
        mean = self.typical * log_mean.clamp(-_FARTHEST, _FARTHEST).exp() + _LEAST_RATE
        return ZeroInflatedPoisson(mean, logit)


class ZeroInflatedPoisson(Distribution):
    """0 with the probability logistic(l), and otherwise a Poisson distribution.

    Args:
        rate: of the Poisson distribution, of any shape.
        logit: l, of the same shape.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, rate: Tensor, logit: Tensor) -> None:
        self.rate, self.logit = rate, logit
        super().__init__(rate.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-probability of counts: nats, in the shape of both broadcast."""
        counted = distributions.Poisson(self.rate, validate_args=False).log_prob(value) + F.logsigmoid(-self.logit)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.logit), counted), counted)

    @property
    def mean(self) -> Tensor:
        """The rate, times the probability that it is no further zero."""
        return self.rate * torch.sigmoid(-self.logit)

    @property
    def variance(self) -> Tensor:
        """Above the mean."""
        return self.mean * (1 + self.rate * torch.sigmoid(self.logit))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of both parts."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            counted = torch.poisson(self.rate.expand(shape))
            return counted * torch.bernoulli(torch.sigmoid(-self.logit).expand(shape))


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
    """A typical count of each column, which networks write for output 0. By default the training mean."""

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.typical is not None and len(self.typical) != self.size:
            raise ValueError(f"typical has {len(self.typical)} entries and there are {self.size} counts; give one each")
        return self

    @property
    def shift(self) -> tuple[float, ...]:
        """The logarithms of 1 + typical count, known or learned.

        Raises:
            ValueError: they are neither.
        """
        if self.typical is None:
            raise ValueError("typical counts are not known yet; give typical, or let `fit` learn it")
        return tuple(map(math.log1p, self.typical))

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
        """The same with what log(1 + count) typically is."""
        return replace(self.outline(), shift=self.shift, scale=(1.0,) * self.size)

    def reader(self) -> nn.Module:
        """What networks read: each count as the likelihood reads it, and whether it is known."""
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
            for likelihood in (NegativeBinomialLikelihood(), ZeroInflatedPoissonLikelihood())
        )


class CountsReader(nn.Module):
    """From counts (N,) or (N, 2, K) to what networks read of them (N, 2 K), float64."""

    shift: Tensor

    def __init__(self, modality: Counts) -> None:
        super().__init__()
        self.split, self.read = modality.codec.split, modality.likelihood.read
        self.register_buffer("shift", torch.tensor(modality.shift, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The counts as the likelihood reads them less what is typical, 0 where unknown; and a flag, 1 if known."""
        values, known = self.split(x)  # (N, K) each; an unknown value is 0
        read = (self.read(values.double()) - self.shift) * known
        return torch.cat([read, known.to(read)], dim=1)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Counts, ZeroInflatedPoissonLikelihood]
