"""The doubly reparametrised gradient of bounds of several draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mmtoolkit.core.blocks import Blocks
from mmtoolkit.core.mixtures import Stratum
from mmtoolkit.core.posterior import Posterior

_LARGEST = 80.0  # logarithm of a factor, at which the weight that it multiplies is nothing in float32


def without_score(q: Posterior) -> Posterior:
    """Q for `dreg_bound`: without gradient, but for a stratum among blocks."""
    if not isinstance(q, Blocks):
        return q.detached()
    return Blocks([part if isinstance(part, Stratum) else part.detached() for part in q.parts])


def dreg_bound(log_weights: Tensor, drawn: Tensor, z: Tensor, q: Posterior, times: Tensor | float) -> Tensor:
    """The logarithm of the mean of the weights w (K, N), with the doubly reparametrised gradient: (N,).

    The gradient of the bound has two parts: through w at fixed q, along each draw; and the score of q, which appears in
    w. The second has a large variance. Since E_q[g ∂log q] = E[∂g/∂z ∂z], it becomes another path through the draws,
    with g the share of w in the sum of all weights, whose derivative is g (1 - g) ∂log w. Both parts together are
    g - c g (1 - g) times ∂log w, which is g² for c = 1 (Tucker et al. 2019).

    Draws from the parts of a mixture, each with a bound of its own, have the density of the mixture in w. There g is
    the mean, over the parts by their responsibility for z, of the share of w among the draws of each; its derivative
    also has that of the responsibilities. With the own share alone, as in the code of Shi et al. 2019, the gradient is
    biased. The formula is derived here; the tests compare it with long averages.

    A stratum among blocks keeps its score, and its columns have the path through w alone: what the weight of another
    part would be also depends on the other blocks, and cannot be known without decoding again.

    Args:
        log_weights: (K, N); the parameters of q get no gradient through them but along z.
        drawn: (K, N, D), the draws.
        z: what the weights are computed from, equal to `drawn` and a function of nothing else.
        q: what the draws are from, as `without_score` gives it.
        times: c, how often log w has -log q(z): a number, or one for each pair (N,).
    """
    bound = log_weights.logsumexp(0) - math.log(len(log_weights))
    if not z.requires_grad:
        return bound
    w = log_weights.detach()
    rest = _sum_of_others(w)  # (K, N)
    log_share = w - w.logsumexp(0)  # of the own draws
    if isinstance(q, Stratum):
        origins, pairs = q.origins(drawn)  # (K, S, N), (S, N)
        rest = rest.index_select(1, pairs.flatten()).view(origins.shape)
    else:
        origins, rest = w.new_zeros(len(w), 1, w.shape[1]), rest.unsqueeze(1)
    above = w.unsqueeze(1) - rest
    others = origins.detach() + logsigmoid(above) + logsigmoid(-above) - log_share.unsqueeze(1)
    factor = 1 - times * others.clamp(max=_LARGEST).exp().sum(1)
    factor = factor.to(z.dtype).unsqueeze(-1)
    if isinstance(q, Blocks):
        scored = [torch.full_like(part.mean[0], isinstance(part, Stratum), dtype=torch.bool) for part in q.parts]
        factor = torch.where(torch.cat(scored), 1.0, factor)
    z.register_hook(lambda gradient: gradient * factor)
    path = (log_share.exp() * log_weights).sum(0)
    if isinstance(q, Stratum):
        path = path - times * (above.sigmoid() * origins.exp()).sum((0, 1))
    return bound.detach() + path - path.detach()


def _sum_of_others(logs: Tensor) -> Tensor:
    """The logarithm of the sum over all k but each: (K, N) to (K, N)."""
    nothing = logs.new_full((1, logs.shape[1]), -torch.inf)
    before = torch.cat([nothing, logs[:-1].logcumsumexp(0)])
    after = torch.cat([logs[1:].flip(0).logcumsumexp(0).flip(0), nothing])
    return torch.logaddexp(before, after)
