"""The Laplace distribution as a posterior, and the scale that a softmax gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.core.posterior import at_least_float32, rows_at

_LEAST_SCALE = 1e-6  # of the authors' code


@dataclass(frozen=True, eq=False)
class Laplace:
    """Independent Laplace dimensions of density exp(-|z - mean| / b) / 2b, b = exp(logscale); float32 or float64.

    It is a `Posterior`. Half precision becomes float32.

    Args:
        mean: (..., D).
        logscale: (..., D), the log of the scale b.
    """

    mean: Tensor
    logscale: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", at_least_float32(self.mean))
        object.__setattr__(self, "logscale", at_least_float32(self.logscale))

    @property
    def variance(self) -> Tensor:
        """2 b²: (..., D)."""
        return 2 * torch.exp(2 * self.logscale)

    @property
    def point(self) -> Tensor:
        """The mean: (..., D)."""
        return self.mean

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws (..., D): quantiles, beyond which the tail holds as much as the normal tail beyond the noise (..., D).

        They are precise in both tails, because the logarithm of the normal tail is taken at once.
        """
        noise = at_least_float32(noise)
        depth = -(torch.special.log_ndtr(-noise.abs()) + math.log(2))  # -log P(|x| > |noise|), x standard normal
        return torch.addcmul(self.mean, torch.exp(self.logscale), torch.sign(noise) * depth)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density, -sum(|z - mean| / b + log 2b): (...,), nats."""
        depth = (z - self.mean).abs() * torch.exp(-self.logscale)
        return -(depth.sum(-1) + (self.logscale + math.log(2)).sum(-1))

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)): (...,), nats. It ignores the noise.

        The entropy is sum(1 + log 2b), and E z² = mean² + 2 b².
        """
        squares = 0.5 * self.mean.square() + torch.exp(2 * self.logscale)
        return (squares - self.logscale + (0.5 * math.log(math.pi / 2) - 1)).sum(-1)

    def detached(self) -> Laplace:
        """The same distribution, whose mean and scale get no gradient."""
        return Laplace(self.mean.detach(), self.logscale.detach())

    def take(self, places: Tensor) -> Laplace:
        """The distributions at `places`: (*places.shape, D), counted over the flattened leading dimensions."""
        return Laplace(rows_at(self.mean, places), rows_at(self.logscale, places))

    def __getitem__(self, index: int | slice) -> Laplace:
        """Those at an index, or a slice, of the first dimension; they share memory with these."""
        return Laplace(self.mean[index], self.logscale[index])

    def where(self, members: Tensor) -> Laplace:
        """The same where `members` (...,) bool, and of mean 0 and scale 1 elsewhere, whatever stands there."""
        members = members.unsqueeze(-1)
        return Laplace(torch.where(members, self.mean, 0.0), torch.where(members, self.logscale, 0.0))

    @staticmethod
    def joined(parts: Sequence[Laplace]) -> Laplace:
        """Those of all parts, one after the other along the first dimension."""
        return Laplace(torch.cat([q.mean for q in parts]), torch.cat([q.logscale for q in parts]))


def softmax_scale(raw: Tensor) -> Tensor:
    """Positive scales (..., D) of mean 1 over D: softmax(raw) · D + 1e-6, in float32 or float64.

    Networks give raw scales (..., D). Source: the code of Shi et al. 2019, for experts and prior alike. A scale that
    one dimension gains, others lose.
    """
    raw = at_least_float32(raw)
    return raw.softmax(-1) * raw.shape[-1] + _LEAST_SCALE
