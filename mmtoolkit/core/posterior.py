"""Approximate posteriors over the latent variable, and products of Gaussian experts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

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


class Independent(Posterior, Protocol):
    """A `Posterior` with independent dimensions, a KL divergence in closed form, and rows that you can select.

    Shapes: (..., D), with any leading dimensions. `Gaussian` and `Laplace` are the two families.
    """

    def take(self, places: Tensor) -> Self:
        """The distributions at `places`: (*places.shape, D), counted over the flattened leading dimensions."""

    def __getitem__(self, index: int | slice) -> Self:
        """Those at an index, or a slice, of the first dimension; they share memory with these."""

    def where(self, members: Tensor) -> Self:
        """The same where `members` (...,) bool, and of location 0 and scale 1 elsewhere, whatever stands there."""

    def detached(self) -> Self:
        """The same distributions, whose parameters get no gradient."""


def point_of(q: Posterior) -> Tensor:
    """The point of q: (B, D); the mean where the class of q is from a plugin for 0.1, which had no points."""
    point: Tensor = q.point if hasattr(q, "point") else q.mean
    return point


def mean_over_draws(x: Tensor) -> Tensor:
    """The mean over all but the last dimension: (..., B) to (B,)."""
    return x if x.ndim == 1 else x.flatten(0, -2).mean(0)


def at_least_float32(x: Tensor) -> Tensor:
    """Raise x from half precision to float32; float64 stays float64. Densities need this precision."""
    return x if x.dtype in _LEAST_LOGVAR else x.float()


def rows_at(x: Tensor, places: Tensor) -> Tensor:
    """The rows of x (..., D) at `places`, counted over the flattened leading dimensions: (*places.shape, D)."""
    # Its gradient is one sum, quick on a GPU too; that of an index would sort.
    return x.flatten(0, -2).index_select(0, places.flatten()).view(*places.shape, x.shape[-1])


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(exp(logvar))), in float32 or float64; half precision becomes float32.

    Args:
        mean: (..., D).
        logvar: (..., D), the log of the variance.

    Raises:
        ValueError: their shapes differ.
    """

    mean: Tensor
    logvar: Tensor

    def __post_init__(self) -> None:
        if self.mean.shape != self.logvar.shape:
            raise ValueError(
                f"mean and logvar must have the same shape; mean has {tuple(self.mean.shape)}, logvar "
                f"{tuple(self.logvar.shape)}; give each a number for each dimension"
            )
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

    def take(self, places: Tensor) -> Gaussian:
        """The distributions at `places`: (*places.shape, D), counted over the flattened leading dimensions."""
        return Gaussian(rows_at(self.mean, places), rows_at(self.logvar, places))

    def __getitem__(self, index: int | slice) -> Gaussian:
        """Those at an index, or a slice, of the first dimension; they share memory with these."""
        return Gaussian(self.mean[index], self.logvar[index])

    def where(self, members: Tensor) -> Gaussian:
        """The same where `members` (...,) bool, and N(0, I) elsewhere, whatever stands there."""
        members = members.unsqueeze(-1)
        return Gaussian(torch.where(members, self.mean, 0.0), torch.where(members, self.logvar, 0.0))

    @staticmethod
    def joined(parts: Sequence[Gaussian]) -> Gaussian:
        """Those of all parts, one after the other along the first dimension."""
        return Gaussian(torch.cat([q.mean for q in parts]), torch.cat([q.logvar for q in parts]))

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

    Raises:
        ValueError: the experts or `present` have other shapes, or `present` is not bool.
    """
    check_sets(experts, present, "present")
    experts, entering, broken = usable_experts(experts, present, above=prior)
    enters = entering.any(0).unsqueeze(-1)
    precision = torch.where(enters, torch.exp(-experts.logvar), 0.0)
    total = sums_of_members(torch.cat([precision, precision * experts.mean], dim=-1), entering)  # (S, B, 2D)
    precision, weighted = total.chunk(2, dim=-1)
    precision = precision + (1.0 if prior else ~entering.any(1).unsqueeze(-1))
    mean = torch.where(broken.unsqueeze(-1), torch.nan, weighted / precision)
    return Gaussian(mean, -torch.log(precision))


def check_sets(experts: Gaussian, members: Tensor, name: str = "members") -> None:
    """Check the arguments of a pooling function, by shapes and types alone.

    Args:
        experts: should be (M, B, D).
        members: should be (S, M, B) bool.
        name: of the argument `members`.

    Raises:
        ValueError: they are not.
    """
    shape = experts.mean.shape
    if len(shape) != 3:
        hint = "; write experts[None] for a single one" if len(shape) == 2 else ""
        raise ValueError(f"experts must be (M, B, D), M experts for B rows; they are {tuple(shape)}{hint}")
    if members.dtype == torch.bool and members.ndim == 3 and members.shape[1:] == shape[:2]:
        return
    hint = ""
    if members.dtype != torch.bool:
        hint = f"; compare it, such as {name} > 0"
    elif members.shape == shape[:2]:
        hint = f"; write {name}[None] for one product"
    raise ValueError(
        f"{name} must be (S, M, B) bool, with M = {shape[0]} experts and B = {shape[1]} rows; it is "
        f"{tuple(members.shape)} {str(members.dtype).removeprefix('torch.')}{hint}"
    )


def usable_experts(experts: Gaussian, members: Tensor, above: bool = False) -> tuple[Gaussian, Tensor, Tensor]:
    """What a pooling function reads of Gaussian experts.

    Args:
        experts: (M, B, D).
        members: (S, M, B) bool, the experts of each of S sets.
        above: whether the log-variances may be arbitrarily large.

    Returns:
        The experts, N(0, I) where none of the sets reads them or they are not finite, with log-variances in bounds;
        which finite experts enter each set, (S, M, B); and which sets have a member that is not finite, (S, B).
    """
    # x - x is 0 for every finite x, else NaN: a third of the work of two calls of isfinite.
    m, v = experts.mean.detach(), experts.logvar.detach()
    finite = ((m - m) + (v - v)).sum(-1) == 0  # (M, B)
    # Mask before exp: a mask after it would let the NaN of an absent expert reach the gradient.
    masked = experts.where(members.any(0) & finite)
    least = _LEAST_LOGVAR[masked.logvar.dtype]
    bounded = Gaussian(masked.mean, masked.logvar.clamp(min=least, max=None if above else -least))
    return bounded, members & finite, (members & ~finite).any(1)


def sums_of_members(x: Tensor, members: Tensor) -> Tensor:
    """The sums over the members of each set: (S, B, K), of x (M, B, K) that is 0 where an expert is in no set."""
    if len(members) == 1:
        return x.sum(0, keepdim=True)
    mask = members.permute(2, 0, 1).to(x.dtype)  # (B, S, M)
    with torch.autocast(device_type=x.device.type, enabled=False):  # it would round to half precision
        return torch.bmm(mask, x.transpose(0, 1)).transpose(0, 1)


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
