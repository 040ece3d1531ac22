"""Pooling functions: how Gaussian experts join into one Gaussian for each set of them."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, check_sets, sums_of_members, usable_experts

_LEAST_WEIGHT = 1e-12  # of the largest; its product with a standard deviation in bounds is no subnormal number


class Pooling(Protocol):
    """A function that joins Gaussian experts: `product_of_experts`, and those of this module.

    With no member the result is exactly N(0, I). An expert that is in no set may hold any values, even NaN or infinity,
    and changes neither values nor gradients; in a set without it, an expert changes neither. A member that is not
    finite makes its own sets NaN, and no others. Values and gradients are finite for every finite log-variance: those
    beyond ±60 in float32, and ±500 in float64, count as these. The result is float32 or float64, also under autocast.
    """

    def __call__(self, experts: Gaussian, members: Tensor, /) -> Gaussian:
        """Join.

        Args:
            experts: U experts for B rows, (U, B, D).
            members: (S, U, B) bool, the experts of each of S sets.

        Returns:
            (S, B, D).
        """


def weighted_product(experts: Gaussian, members: Tensor, weights: Tensor) -> Gaussian:
    """The generalised product of experts: precision = sum_m a_m exp(-logvar_m), without the prior as an expert.

    The mean is sum_m a_m mean_m exp(-logvar_m) / precision; the weights a_m are those of the members over their sum,
    for each dimension. The result is never more certain than the most certain member. Memory grows as S U B D.

    Source: Cao & Fleet 2014; Lawry Aguila et al. 2023, whose weights are learned, one for each expert and dimension.

    Args:
        experts: (U, B, D).
        members: (S, U, B) bool.
        weights: positive, (U,) or (U, D). Only their ratios count; one below 1e-12 of the largest counts as that.

    Returns:
        (S, B, D).

    Raises:
        ValueError: the experts or `members` have other shapes, or `members` is not bool.
    """
    check_sets(experts, members)
    experts, entering, broken = usable_experts(experts, members)
    log_weights = torch.log(_columns(weights, experts))
    counts = (entering | ~entering.any(1, keepdim=True)).unsqueeze(-1)  # a softmax over nothing would be NaN
    # In logarithms, since the square of a small precision, which gradients would have, underflows.
    totals = torch.where(counts, log_weights, -torch.inf).logsumexp(1)
    scores = torch.where(counts, log_weights - experts.logvar, -torch.inf)  # (S, U, B, D)
    mean = (scores.softmax(1) * experts.mean).sum(1)
    nothing = ~entering.any(1).unsqueeze(-1)
    logvar = totals - scores.logsumexp(1)
    return _gaussian(torch.where(nothing, 0.0, mean), torch.where(nothing, 0.0, logvar), broken)


def barycentre(experts: Gaussian, members: Tensor, weights: Tensor | None = None) -> Gaussian:
    """The 2-Wasserstein barycentre of Gaussians: mean = sum_m a_m mean_m, standard deviation = sum_m a_m std_m.

    The weights a_m are those of the members over their sum.

    Source: Qiu et al. 2025; Agueh & Carlier 2011 for diagonal, hence commuting, covariances.

    Args:
        experts: (U, B, D).
        members: (S, U, B) bool.
        weights: positive, (U,) or (U, D), by default equal. Only their ratios count; one below 1e-12 of the largest
            counts as that.

    Returns:
        (S, B, D).

    Raises:
        ValueError: the experts or `members` have other shapes, or `members` is not bool.
    """
    check_sets(experts, members)
    experts, entering, broken = usable_experts(experts, members)
    weights = _columns(weights, experts)
    std = torch.exp(0.5 * experts.logvar)
    total, mean, std = _member_sums([weights, weights * experts.mean, weights * std], entering)
    nothing = ~entering.any(1).unsqueeze(-1)
    logvar = 2 * (torch.log(std + nothing) - torch.log(total + nothing))
    return _gaussian(mean / (total + nothing), logvar, broken)


def hoelder(experts: Gaussian, members: Tensor, weights: Tensor | None = None) -> Gaussian:
    """Hölder pooling with α = 1/2, q ∝ (sum_m w_m √q_m)², as the one Gaussian with its mean and variances.

    q is the mixture of `hoelder_mixture`, whose moments this has. Memory grows as S U² B D / 2.

    Source: Vo & Valera 2026 (the pooling and the matching of moments). The mixture follows by algebra.

    Args:
        experts: (U, B, D).
        members: (S, U, B) bool.
        weights: positive, (U,), by default equal. Only their ratios count; one below 1e-12 of the largest counts as
            that.

    Returns:
        (S, B, D).

    Raises:
        ValueError: the experts or `members` have other shapes, or `members` is not bool.
    """
    check_sets(experts, members)
    experts, entering, broken = usable_experts(experts, members)
    parts, shares = _hoelder_parts(experts, entering, weights)
    shares = shares.unsqueeze(-1)  # (S, P, B, 1)
    mean = (shares * parts.mean).sum(1)
    variance = (shares * (parts.variance + (parts.mean - mean.unsqueeze(1)).square())).sum(1)
    nothing = ~entering.any(1).unsqueeze(-1)
    return _gaussian(torch.where(nothing, 0.0, mean), torch.log(torch.where(nothing, 1.0, variance)), broken)


def hoelder_mixture(experts: Gaussian, members: Tensor, weights: Tensor | None = None) -> Mixture:
    """Hölder pooling with α = 1/2 exactly: q ∝ (sum_m w_m √q_m)² is a mixture of U + U (U - 1) / 2 Gaussians.

    The square of the sum, written out, has each expert with weight w_i², and each pair with weight 2 w_i w_j S_ij: the
    product √(q_i q_j) is S_ij N(mean_ij, variance_ij), where, for each dimension,

        mean_ij = (mean_i var_j + mean_j var_i) / (var_i + var_j), variance_ij = 2 var_i var_j / (var_i + var_j),

    and the Bhattacharyya coefficient S_ij is a product over dimensions. In a row without members q is N(0, I), and one
    with a member that is not finite is NaN.

    Source: Vo et al. 2026. The formulas are derived here.

    Args:
        experts: (U, B, D).
        members: (U, B) bool.
        weights: positive, (U,), by default equal.

    Returns:
        (P, B, D), first the experts, then the pairs (0, 1), (0, 2), … The shares depend on the experts, so draw from
        its `strata` where they need gradients.
    """
    experts, entering, broken = usable_experts(experts, members.unsqueeze(0))
    parts, shares = _hoelder_parts(experts, entering, weights)
    mean = torch.where(broken.unsqueeze(-1), torch.nan, parts.mean)
    # A row without members has the first part, and that is N(0, I) as every expert that enters nothing.
    first = torch.arange(len(mean), device=mean.device).unsqueeze(1) == 0
    nothing = ~entering.any(1)
    return Mixture(Gaussian(mean, parts.logvar), torch.where(nothing, first, shares[0]))


def _hoelder_parts(experts: Gaussian, entering: Tensor, weights: Tensor | None) -> tuple[Gaussian, Tensor]:
    """The experts and all pairs of them, (P, B, D), and their shares in each set, (S, P, B), even without members."""
    units = len(experts.mean)
    i, j = torch.triu_indices(units, units, 1, device=experts.mean.device)
    one, other = (
        Gaussian(experts.mean.index_select(0, k), experts.logvar.index_select(0, k)) for k in (i, j)
    )  # (pairs, B, D)
    sums = torch.logaddexp(one.logvar, other.logvar)  # log(var_i + var_j)
    apart = one.mean - other.mean
    logvar = math.log(2) + one.logvar + other.logvar - sums
    parts = Gaussian.joined([experts, Gaussian(other.mean + apart * torch.exp(other.logvar - sums), logvar)])
    log_overlap = 0.5 * (math.log(2) + 0.5 * (one.logvar + other.logvar) - sums) - 0.25 * apart.square() * torch.exp(
        -sums
    )
    log_weights = torch.log(_columns(weights, experts)[:, 0, :1])  # (U, 1)
    pairs = math.log(2) + log_weights.index_select(0, i) + log_weights.index_select(0, j) + log_overlap.sum(-1)
    scores = torch.cat([(2 * log_weights).expand(-1, pairs.shape[1]), pairs])  # (P, B)
    counts = torch.cat([entering, entering.index_select(1, i) & entering.index_select(1, j)], dim=1)
    counts = counts | ~entering.any(1, keepdim=True)  # a softmax over nothing would be NaN
    return parts, torch.where(counts, scores, -torch.inf).softmax(1)


def _columns(weights: Tensor | None, experts: Gaussian) -> Tensor:
    """Weights, (U,) or (U, D) or equal, relative to the largest: (U, B, D)."""
    like = experts.mean
    if weights is None:
        return torch.ones_like(like)
    weights = weights.to(like.dtype)
    weights = (weights / weights.detach().max()).clamp(min=_LEAST_WEIGHT)
    return weights.view(len(like), 1, -1).expand(like.shape)


def _member_sums(columns: list[Tensor], entering: Tensor) -> tuple[Tensor, ...]:
    """The sums of each of the columns (U, B, D) over the members of each set: (S, B, D) each."""
    enters = entering.any(0).unsqueeze(-1)
    columns = [torch.where(enters, x, 0.0) for x in columns]
    return sums_of_members(torch.cat(columns, dim=-1), entering).chunk(len(columns), dim=-1)


def _gaussian(mean: Tensor, logvar: Tensor, broken: Tensor) -> Gaussian:
    return Gaussian(torch.where(broken.unsqueeze(-1), torch.nan, mean), logvar)
