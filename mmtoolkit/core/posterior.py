"""Approximate posteriors over the latent variable, and products of Gaussian experts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

# Lower log-variances of an expert are raised to this one: exp(-logvar), its products with means and sums over any
# number of experts then stay finite in the number format.
_LEAST_LOGVAR = {torch.float32: -60.0, torch.float64: -500.0}


@runtime_checkable
class Posterior(Protocol):
    """The part of q(z | x) that evaluators and commands use, for any family.

    Shapes: leading dimensions are those of the rows, written (B,); D is the latent size.

    All randomness enters as standard normal `noise` (..., B, D). Each row of each draw depends only on its own D
    numbers. Scores are therefore the same in every batch, and you can make draws in several calls. A family that needs
    other randomness, such as a mixture that chooses a component, derives it from these numbers.
    """

    @property
    def mean(self) -> Tensor:
        """(B, D)."""

    @property
    def variance(self) -> Tensor:
        """(B, D)."""

    @property
    def point(self) -> Tensor:
        """The one z a row that predictions and pictures decode: (B, D), where the density is high."""

    def rsample(self, noise: Tensor) -> Tensor:
        """A draw from q for each of `noise` (..., B, D): (..., B, D), differentiable in the parameters of q."""

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at z (..., B, D): (..., B), nats."""

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)): (B,), nats; in closed form, or an unbiased estimate from the draws of `noise`.

        Args:
            noise: (..., B, D); by default, an estimate draws it from PyTorch's default generator.
        """

    def detached(self) -> Posterior:
        """The same q, whose parameters get no gradient."""


def point_of(q: Posterior) -> Tensor:
    """The point of q: (B, D); the mean where the class of q is from a plugin for 0.1, which had no points."""
    point: Tensor = q.point if hasattr(q, "point") else q.mean
    return point


def at_least_float32(x: Tensor) -> Tensor:
    """Raise x from half precision to float32; float64 stays float64. Densities need this precision."""
    return x if x.dtype in _LEAST_LOGVAR else x.float()


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(exp(logvar))), in float32 or float64; half precision becomes float32.

    Args:
        mean: (..., D).
        logvar: (..., D), the log of the variance.
    """

    mean: Tensor
    logvar: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", at_least_float32(self.mean))
        object.__setattr__(self, "logvar", at_least_float32(self.logvar))

    @property
    def variance(self) -> Tensor:
        """(..., D)."""
        return self.logvar.exp()

    @property
    def point(self) -> Tensor:
        """The mean: (..., D)."""
        return self.mean

    def take(self, rows: Tensor) -> Gaussian:
        """The rows of (N, D) at the given places, ascending (n,) int64, on their device; all of them as they are."""
        if len(rows) == len(self.mean):
            return self
        return Gaussian(self.mean.index_select(0, rows), self.logvar.index_select(0, rows))

    @staticmethod
    def joined(parts: Sequence[Gaussian]) -> Gaussian:
        """The rows (N, D) of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return Gaussian(torch.cat([q.mean for q in parts]), torch.cat([q.logvar for q in parts]))

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws mean + exp(logvar / 2) * noise, noise (..., D) standard normal (Kingma & Welling 2013)."""
        return torch.addcmul(self.mean, torch.exp(0.5 * self.logvar), noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density log N(z; mean, exp(logvar)), summed over D: (...,), nats."""
        squares = (z - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares.sum(-1) + (self.logvar + math.log(2 * math.pi)).sum(-1))

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)) = 1/2 sum(mean² + variance - 1 - logvar): (...,), nats. It ignores the noise."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).sum(-1)

    def detached(self) -> Gaussian:
        """The same distribution, whose mean and variance get no gradient."""
        return Gaussian(self.mean.detach(), self.logvar.detach())

    def kl_to(self, other: Gaussian) -> Tensor:
        """KL(q || other) in closed form: (...,), nats. It bounds the other's precision as a product does."""
        logvar = other.logvar.clamp(min=_LEAST_LOGVAR[other.logvar.dtype])
        ratio = self.logvar - logvar
        squares = (self.mean - other.mean).square() * torch.exp(-logvar)
        return 0.5 * (squares + ratio.exp() - 1 - ratio).sum(-1)


def product_of_experts(experts: Gaussian, present: Tensor, prior: bool = True) -> Gaussian:
    """The product of the N(0, I) prior, counted once, with the Gaussian experts that are present.

    Precisions add: precision = 1 + sum_m exp(-logvar_m), mean = sum_m mean_m exp(-logvar_m) / precision
    (Cao & Fleet 2014; Wu & Goodman 2018, section 2.3). An absent expert has zero precision: its cell may hold any
    values, even NaN or infinity, and changes neither values nor gradients. With no expert present the result is exactly
    the prior. Values and gradients are finite for every finite log-variance, because precisions are at most exp(60) in
    float32 and exp(500) in float64. A present expert that is not finite makes its own products NaN, and no others.

    Args:
        experts: M experts for B rows, (M, B, D).
        present: (S, M, B) bool, the experts of each of S products.
        prior: whether the prior is an expert too. Without it, a product has only the present experts, and is the prior
            if there is none; precisions then have a lower bound too.

    Returns:
        (S, B, D), in float32 or float64, even under autocast.
    """
    mean, logvar = experts.mean, experts.logvar
    # x - x is 0 for every finite x, else NaN: a third of the work of two calls of isfinite.
    m, v = mean.detach(), logvar.detach()
    finite = ((m - m) + (v - v)).sum(-1) == 0  # (M, B)
    broken = (present & ~finite).any(1)  # (S, B)
    enters = (present.any(0) & finite).unsqueeze(-1)  # (M, B, 1)
    # Mask before exp: a mask after it would let the NaN of an absent expert reach the gradient.
    least = _LEAST_LOGVAR[logvar.dtype]
    logvar = torch.where(enters, logvar, 0.0).clamp(min=least, max=None if prior else -least)
    precision = torch.where(enters, torch.exp(-logvar), 0.0)
    natural = torch.cat([precision, precision * torch.where(enters, mean, 0.0)], dim=-1)  # (M, B, 2D)
    if len(present) == 1:  # `enters` is already the mask of the only product
        total = natural.sum(0, keepdim=True)
    else:
        mask = present.permute(2, 0, 1).to(natural.dtype)  # (B, S, M)
        with torch.autocast(device_type=mean.device.type, enabled=False):  # it would round to half precision
            total = torch.bmm(mask, natural.transpose(0, 1)).transpose(0, 1)  # (S, B, 2D)
    precision, weighted = total.chunk(2, dim=-1)
    precision = precision + (1.0 if prior else ~(present & finite).any(1).unsqueeze(-1))
    mean = torch.where(broken.unsqueeze(-1), torch.nan, weighted / precision)
    return Gaussian(mean, -torch.log(precision))


def product_alone(expert: Gaussian) -> Gaussian:
    """The product of each single expert with nothing else, elementwise: the expert with its precision in bounds.

    It equals `product_of_experts` of one finite expert without the prior.
    """
    least = _LEAST_LOGVAR[expert.logvar.dtype]
    return Gaussian(expert.mean, expert.logvar.clamp(least, -least))


def product_with_prior(expert: Gaussian) -> Gaussian:
    """The product of each single expert with the N(0, I) prior, elementwise: (..., D) to (..., D).

    It equals `product_of_experts` of one finite expert, without the sum over experts.
    """
    logvar = expert.logvar.clamp(min=_LEAST_LOGVAR[expert.logvar.dtype])
    precision = torch.exp(-logvar)
    total = 1.0 + precision
    return Gaussian(expert.mean * precision / total, -torch.log(total))
