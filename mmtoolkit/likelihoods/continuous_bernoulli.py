"""The continuous Bernoulli likelihood: of shares and grey pixels, as a density on [0, 1]."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from mmtoolkit.components import Form, Grid, Likelihood, Numbers, Series
from mmtoolkit.components.support import Support
from mmtoolkit.core.posterior import at_least_float32

# Below this size of a logit, series are more accurate than the closed forms, whose terms cancel.
_SMALL = 0.5
# Coefficients of the powers 0, 1, 2, … of the squared logit, from the Bernoulli numbers.
_LOG_NORM = (0, -1 / 24, 1 / 2880, -1 / 181440, 1 / 9676800, -1 / 479001600)
_MEAN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)
_VARIANCE = (1 / 12, -1 / 240, 1 / 6048, -1 / 172800, 1 / 5322240, -7601 / 1307674368000)


class ContinuousBernoulliLikelihood(Likelihood):
    """A continuous Bernoulli distribution at each place (Loaiza-Ganem & Cunningham 2019).

    Its density on [0, 1] is proportional to exp(l x), where l is the network's output: the Bernoulli likelihood of grey
    values, made a density.
    """

    kind: Literal["continuous_bernoulli"] = "continuous_bernoulli"
    scores: ClassVar[tuple[type[Form], ...]] = (Numbers, Grid, Series)
    support: ClassVar[Support] = "unit"

    def head(self, form: Form) -> nn.Module:
        """The outputs are logits."""
        return _Head()


class _Head(nn.Module):
    """From logits (N, 1, *places)."""

    def forward(self, raw: Tensor) -> ContinuousBernoulli:
        return ContinuousBernoulli(at_least_float32(raw.squeeze(1)))


class ContinuousBernoulli(Distribution):
    """The density l exp(l x) / (exp(l) - 1) on [0, 1], accurate for every finite logit l.

    PyTorch's class of this name takes logits beyond 16 (in float32) for 16, so that its density does not integrate to
    one there, and loses most digits of mean and variance near 0.

    With a = |l| and the distance d = 1 - x if l > 0, else x, the density is a exp(-a d) / (1 - exp(-a)).

    Args:
        logits: l, of any shape.
    """

    arg_constraints: dict[str, constraints.Constraint] = {"logits": constraints.real}  # noqa: RUF012

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """From 0 to 1."""
        return constraints.unit_interval

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of values in [0, 1]: nats, in the shape of both broadcast."""
        small, a = self._small_and_large()
        near = small * (value - 0.5) + _series(_LOG_NORM, small)
        far = -a * torch.where(self.logits > 0, 1 - value, value) + a.log() - (-torch.expm1(-a)).log()
        return torch.where(self._is_small, near, far)

    @property
    def mean(self) -> Tensor:
        """In [0, 1]."""
        small, a = self._small_and_large()
        distance = 1 / a - (-a).exp() / -torch.expm1(-a)
        far = torch.where(self.logits > 0, 1 - distance, distance)
        return torch.where(self._is_small, 0.5 + small * _series(_MEAN, small), far)

    @property
    def variance(self) -> Tensor:
        """From 0 to 1 / 12."""
        small, a = self._small_and_large()
        far = a.pow(-2) - (-a).exp() / torch.expm1(-a).square()
        return torch.where(self._is_small, _series(_VARIANCE, small), far)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws by the inverse of the distribution function."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
            a = self.logits.abs().clamp(min=1e-30)  # at 0 the draw is u
            distance = (-(u * torch.expm1(-a)).log1p() / a).clamp(0, 1)
            return torch.where(self.logits > 0, 1 - distance, distance)

    @property
    def _is_small(self) -> Tensor:
        return self.logits.abs() < _SMALL

    def _small_and_large(self) -> tuple[Tensor, Tensor]:
        """The logits for the series, and their sizes for the closed forms; bounded, so that no gradient is NaN."""
        return self.logits.clamp(-_SMALL, _SMALL), self.logits.abs().clamp(min=_SMALL)


def _series(coefficients: tuple[float, ...], logits: Tensor) -> Tensor:
    """The polynomial of the squared logits with these coefficients, by Horner's rule."""
    total = torch.zeros_like(logits)
    for coefficient in reversed(coefficients):
        total = total * logits.square() + coefficient
    return total
