"""Student's t prior."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from mmtoolkit.components import Prior
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.core.prior import PriorModule

_NODES = 20_001  # of the table of quantiles
_FARTHEST = 12.0  # noise; beyond it lies less than 1e-32


class StudentTPrior(Prior):
    """Student's t distribution around zero for each latent variable, with heavier tails than the normal.

    It learns nothing.
    """

    kind: Literal["student_t"] = "student_t"

    degrees: Annotated[float, Field(gt=2, le=1e4)] = 5.0
    """The degrees of freedom, above 2, so that it has a variance; the more, the closer to the normal."""
    scale: PositiveFloat = 1.0
    """The scale; the variance is scale² degrees / (degrees - 2)."""

    def build(self, latent_dim: int) -> PriorModule:
        """The distribution over D latent variables."""
        return StudentT(latent_dim, self.degrees, self.scale)


class StudentT(PriorModule):
    """D independent Student's t distributions around zero with the same degrees and scale."""

    def __init__(self, latent_dim: int, degrees: float, scale: float) -> None:
        super().__init__(latent_dim)
        self.degrees, self.scale = degrees, scale

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density: (...,)."""
        half = (self.degrees + 1) / 2
        constant = math.lgamma(half) - math.lgamma(self.degrees / 2)
        constant -= 0.5 * math.log(self.degrees * math.pi) + math.log(self.scale)
        squares = (at_least_float32(z) / self.scale).square() / self.degrees
        return (constant - half * torch.log1p(squares)).sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """The quantile of each number: the tail beyond z holds as much as the normal tail beyond the noise."""
        noise = at_least_float32(noise)
        steps = noise.abs().double().clamp(max=_FARTHEST) * ((_NODES - 1) / _FARTHEST)
        table = _quantiles(self.degrees).to(noise.device)
        left = steps.long().clamp(max=_NODES - 2)
        below, above = table[left], table[left + 1]
        quantile = torch.sinh(below + (steps - left) * (above - below))
        return self.scale * torch.sign(noise) * quantile.to(noise.dtype)

    @property
    def mean(self) -> Tensor:
        """Zeros: (D,)."""
        return at_least_float32(self.origin)

    @property
    def variance(self) -> Tensor:
        """The square of the scale, times degrees / (degrees - 2): (D,)."""
        return torch.full_like(self.mean, self.scale**2 * self.degrees / (self.degrees - 2))


@cache
def _quantiles(degrees: float) -> Tensor:
    """The inverse hyperbolic sine of t(x), of which as much lies above as above x of the normal, for x from 0 to 12.

    With t = sqrt(degrees) cot(φ), the tail above t is in proportion to the integral of sin(φ)^(degrees - 1) from 0 to
    φ. It is summed by the trapezium rule over log φ, from where φ^degrees / degrees is exact.
    """
    log_angle = torch.linspace(-80 / degrees - 1, math.log(math.pi / 2), 100_001, dtype=torch.float64)
    angle = log_angle.exp()
    log_density = (degrees - 1) * torch.sin(angle).log() + log_angle
    step = float(log_angle[1] - log_angle[0])
    areas = torch.logaddexp(log_density[1:], log_density[:-1]) + math.log(step / 2)
    first = degrees * log_angle[:1] - math.log(degrees)
    log_tail = torch.logcumsumexp(torch.cat([first, areas]), 0)
    log_tail = log_tail - log_tail[-1] + math.log(0.5)  # half lies above zero
    t = torch.asinh(math.sqrt(degrees) / torch.tan(angle))
    t[-1] = 0.0
    x = torch.linspace(0, _FARTHEST, _NODES, dtype=torch.float64)
    wanted = torch.special.log_ndtr(-x)
    right = torch.searchsorted(log_tail, wanted).clamp(1, len(log_tail) - 1)
    share = (wanted - log_tail[right - 1]) / (log_tail[right] - log_tail[right - 1])
    return torch.lerp(t[right - 1], t[right], share)
