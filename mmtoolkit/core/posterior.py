"""Approximate posteriors over the latent variable, and the product of Gaussian experts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

# Below this log-variance an expert is taken to be this certain: exp(-logvar), its products with means and
# sums over any number of experts then stay finite in the number format.
_LEAST_LOGVAR = {torch.float32: -60.0, torch.float64: -500.0}


@runtime_checkable
class Posterior(Protocol):
    """What evaluators and commands use of q(z | x), whatever its family.

    Shapes: leading dimensions are those of the rows, written (B,); D is the latent size.

    All randomness comes in as standard normal `noise` (..., B, D), of which each row of each draw is a function of its
    own D numbers alone: scores are then the same each time, whatever the batch, and draws may be made in several calls.
    A family that needs other randomness, such as a mixture to choose a component, takes it out of these numbers.
    """

    @property
    def mean(self) -> Tensor:
        """(B, D)."""

    @property
    def variance(self) -> Tensor:
        """(B, D)."""

    def rsample(self, noise: Tensor) -> Tensor:
        """A draw from q for each of `noise` (..., B, D): (..., B, D), differentiable in the parameters of q."""

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at z (..., B, D): (..., B), nats."""

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)): (B,), nats; in closed form, or estimated without bias from the draws that `noise` makes.

        Args:
            noise: (..., B, D); drawn from PyTorch's default generator where an estimate needs it and it is left out.
        """


def at_least_float32(x: Tensor) -> Tensor:
    """x, raised to float32 from half precision; float64 stays float64. Densities are taken in no less."""
    return x if x.dtype in _LEAST_LOGVAR else x.float()


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(exp(logvar))), in float32 or better (half precision is raised).

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

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws mean + exp(logvar / 2) * noise, noise (..., D) standard normal (Kingma & Welling 2013)."""
        return torch.addcmul(self.mean, torch.exp(0.5 * self.logvar), noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density log N(z; mean, exp(logvar)), summed over D: (...,), nats."""
        squares = (z - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares.sum(-1) + (self.logvar + math.log(2 * math.pi)).sum(-1))

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)) = 1/2 sum(mean² + variance - 1 - logvar): (...,), nats. It needs no noise."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).sum(-1)

    def kl_to(self, other: Gaussian) -> Tensor:
        """KL(q || other) in closed form: (...,), nats. The other's precision is bounded as in a product."""
        logvar = other.logvar.clamp(min=_LEAST_LOGVAR[other.logvar.dtype])
        ratio = self.logvar - logvar
        squares = (self.mean - other.mean).square() * torch.exp(-logvar)
        return 0.5 * (squares + ratio.exp() - 1 - ratio).sum(-1)


def product_of_experts(experts: Gaussian, present: Tensor, prior: bool = True) -> Gaussian:
    """The product of the N(0, I) prior, counted once, with the Gaussian experts that are present.

    Precisions add: precision = 1 + sum_m exp(-logvar_m), mean = sum_m mean_m exp(-logvar_m) / precision
    (Cao & Fleet 2014; Wu & Goodman 2018, section 2.3). An absent expert has zero precision, and whatever
    stands in its cell, NaN and infinity too, leaves values and gradients as they are; with no expert present
    the result is the prior exactly. Values and gradients are finite for every finite log-variance: precisions
    are bounded by exp(60) in float32 and exp(500) in float64. An expert that is present and not finite makes
    the products it enters NaN, and only those.

    Args:
        experts: M experts for B rows, (M, B, D).
        present: (S, M, B) bool, the experts that enter each of S products.
        prior: whether the prior is an expert too. Without it a product is of the present experts alone, and the prior
            where none is present; precisions are then bounded from below as well.

    Returns:
        (S, B, D), in float32 or float64, under autocast too.
    """
    mean, logvar = experts.mean, experts.logvar
    # x - x is 0 for every finite x, else NaN: a third of the work of two calls of isfinite.
    m, v = mean.detach(), logvar.detach()
    finite = ((m - m) + (v - v)).sum(-1) == 0  # (M, B)
    broken = (present & ~finite).any(1)  # (S, B)
    enters = (present.any(0) & finite).unsqueeze(-1)  # (M, B, 1)
    # Masked before exp: exp of an absent expert's NaN would reach the gradient through a mask put after it.
    least = _LEAST_LOGVAR[logvar.dtype]
    logvar = torch.where(enters, logvar, 0.0).clamp(min=least, max=None if prior else -least)
    precision = torch.where(enters, torch.exp(-logvar), 0.0)
    natural = torch.cat([precision, precision * torch.where(enters, mean, 0.0)], dim=-1)  # (M, B, 2D)
    if len(present) == 1:  # what enters the only product is all that is left
        total = natural.sum(0, keepdim=True)
    else:
        mask = present.permute(2, 0, 1).to(natural.dtype)  # (B, S, M)
        with torch.autocast(device_type=mean.device.type, enabled=False):  # it would round to half precision
            total = torch.bmm(mask, natural.transpose(0, 1)).transpose(0, 1)  # (S, B, 2D)
    precision, weighted = total.chunk(2, dim=-1)
    precision = precision + (1.0 if prior else ~(present & finite).any(1).unsqueeze(-1))
    mean = torch.where(broken.unsqueeze(-1), torch.nan, weighted / precision)
    return Gaussian(mean, -torch.log(precision))


def product_with_prior(expert: Gaussian) -> Gaussian:
    """The product of each expert alone with the N(0, I) prior, elementwise: (..., D) to (..., D).

    The same numbers as `product_of_experts` of one finite expert, without the sum over experts.
    """
    logvar = expert.logvar.clamp(min=_LEAST_LOGVAR[expert.logvar.dtype])
    precision = torch.exp(-logvar)
    total = 1.0 + precision
    return Gaussian(expert.mean * precision / total, -torch.log(total))
