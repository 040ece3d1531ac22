"""The von Mises likelihood: of what comes round again, such as times of day and directions."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, constraints

from mmtoolkit.components import Form, Likelihood, Numbers
from mmtoolkit.components.support import Support
from mmtoolkit.likelihoods.location_scale import Standard

_TURN = 2 * math.pi
_LEAST_SQUARE = 1e-24  # of a concentration, whose root then has a gradient at 0
_LEAST_RESULTANT = 1e-6


class VonMisesLikelihood(Likelihood):
    """A von Mises distribution at each place: a normal distribution on a circle (Mardia & Jupp 2000).

    The network gives a vector: its direction is the mean, and its length says how concentrated the values are. So
    23:59 and 00:01 are near each other, and no direction is special.
    """

    kind: Literal["von_mises"] = "von_mises"
    scores: ClassVar[tuple[type[Form], ...]] = (Numbers,)
    support: ClassVar[Support] = "cyclic"

    def numbers(self, form: Form) -> int:
        """The two components of a vector."""
        return 2

    def head(self, form: Form) -> nn.Module:
        """The outputs are vectors; one of length r has the concentration r + r²."""
        return _Head(form)


class _Head(nn.Module):
    """From vectors (N, 2, *places), in float64: a value may be a time in microseconds."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.standard = Standard(form)

    def forward(self, raw: Tensor) -> CyclicVonMises:
        raw = raw.double()
        length = (raw.square().sum(1) + _LEAST_SQUARE).sqrt()
        cosine, sine = (raw * (1 + length).unsqueeze(1)).unbind(1)
        return CyclicVonMises(cosine, sine, self.standard.shift, self.standard.scale)


class CyclicVonMises(Distribution):
    """A von Mises distribution of values on [start, start + 2π radius), the ends of which are one.

    With the angle a = (x - start) / radius, the density is exp(c cos a + s sin a) / (2π I₀(κ) radius), κ² = c² + s².

    Args:
        cosine: c, κ times the cosine of the mean angle, of any shape.
        sine: s, likewise.
        start: where the cycle begins, broadcast to that shape.
        radius: the length of the cycle divided by 2π, likewise.
    """

    arg_constraints: dict[str, constraints.Constraint] = {  # noqa: RUF012
        "cosine": constraints.real,
        "sine": constraints.real,
        "start": constraints.real,
        "radius": constraints.positive,
    }

    def __init__(self, cosine: Tensor, sine: Tensor, start: Tensor, radius: Tensor) -> None:
        self.cosine, self.sine, self.start, self.radius = cosine, sine, start, radius
        super().__init__(cosine.shape, validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """From start to start + 2π radius."""
        return constraints.interval(self.start, self.start + _TURN * self.radius)

    @property
    def concentration(self) -> Tensor:
        """κ."""
        return (self.cosine.square() + self.sine.square() + _LEAST_SQUARE).sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density: nats, in the shape of both broadcast; -inf outside of the cycle."""
        angle = (value - self.start) / self.radius
        concentration = self.concentration
        log_norm = concentration + torch.special.i0e(concentration).log() + math.log(_TURN) + self.radius.log()
        log_density = self.cosine * angle.cos() + self.sine * angle.sin() - log_norm
        return torch.where((angle >= 0) & (angle < _TURN), log_density, -torch.inf)

    @property
    def mean(self) -> Tensor:
        """The mean direction, as a value of the cycle."""
        cosine, sine = self.cosine / self.concentration, self.sine / self.concentration
        # One step of Newton's method from float32 is exact to float64, of which ONNX Runtime has no arc tangent.
        angle = torch.atan2(sine.float(), cosine.float()).to(sine.dtype)
        return self._value(angle + sine * angle.cos() - cosine * angle.sin())

    @property
    def variance(self) -> Tensor:
        """-2 radius² log R for the mean resultant length R = I₁(κ) / I₀(κ): that of a normal distribution, if small."""
        resultant = torch.special.i1e(self.concentration) / torch.special.i0e(self.concentration)
        variance: Tensor = -2 * resultant.clamp(min=_LEAST_RESULTANT).log() * self.radius.square()
        return variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, by rejection (Best & Fisher 1979)."""
        with torch.no_grad():
            mean = torch.atan2(self.sine, self.cosine)
            base = distributions.VonMises(mean, self.concentration, validate_args=False)
            return self._value(base.sample(torch.Size(sample_shape)))

    def _value(self, angle: Tensor) -> Tensor:
        """Angles as values of the cycle."""
        turned = angle.remainder(_TURN)
        value: Tensor = self.start + self.radius * torch.where(turned >= _TURN, 0.0, turned)
        return value
