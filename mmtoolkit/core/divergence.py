"""KL divergences between two posteriors of any family."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmtoolkit.core.posterior import Gaussian, Posterior, mean_over_draws
from mmtoolkit.core.prior import OrPrior


def kl_between(q: Posterior, p: Posterior, noise: Callable[[], Tensor]) -> Tensor:
    """KL(q || p) of each row: (B,), nats; in closed form between Gaussians, else an unbiased estimate.

    The estimate is the mean of log q(z) - log p(z) over draws z of q. It may be negative where the divergence is small.

    Args:
        q: of B rows.
        p: of the same rows.
        noise: gives (K, B, D) standard normal, which make K draws a row. It is called only if they are needed.
    """
    if isinstance(p, OrPrior):
        return torch.where(p.informed, kl_between(q, p.q, noise), p.prior.kl(q, noise()))
    if isinstance(q, Gaussian) and isinstance(p, Gaussian):
        return q.kl_to(p)
    z = q.rsample(noise())
    return mean_over_draws(q.log_prob(z) - p.log_prob(z))
