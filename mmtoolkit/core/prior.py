"""The prior p(z) of the latent variable, and posteriors that are the prior in some rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmtoolkit.core.posterior import Gaussian, Posterior, at_least_float32, mean_over_draws

_DRAWS = 4096  # behind moments that have no closed form


class PriorModule(nn.Module, ABC):
    """The prior p(z) over D latent variables, with what it learns.

    All randomness enters as standard normal noise, as for a `Posterior`: a draw depends only on its own D numbers.

    Args:
        latent_dim: D.
    """

    origin: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        # It has the type and the device of the networks, also in a prior that learns nothing.
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)
        self._known: tuple[object, tuple[Tensor, Tensor]] | None = None

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at z (..., D): (...,), nats, in float32 or float64."""

    @abstractmethod
    def sample(self, noise: Tensor) -> Tensor:
        """A draw from p(z) for each of `noise` (..., D), standard normal: (..., D)."""

    @property
    def mean(self) -> Tensor:
        """(D,). Default: that of many fixed draws."""
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        """(D,). Default: that of many fixed draws."""
        return self._moments()[1]

    def kl(self, q: Posterior, noise: Tensor) -> Tensor:
        """KL(q || p) of each row: (B,), nats. Default: an unbiased estimate, the mean over the draws of q.

        Args:
            q: of B rows.
            noise: (..., B, D) standard normal.
        """
        z = q.rsample(noise)
        return mean_over_draws(q.log_prob(z) - self.log_prob(z))

    @torch.no_grad()
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of many draws; those computed last if nothing was learned since."""
        weights = (self.origin, *self.parameters(), *self.buffers())
        state = tuple((x.data_ptr(), x._version) for x in weights)
        if self._known is None or self._known[0] != state:
            like = at_least_float32(self.origin)
            generator = torch.Generator(like.device).manual_seed(0)
            shape = (_DRAWS, self.latent_dim)
            z = self.sample(torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device))
            self._known = state, (z.mean(0), z.var(0))
        return self._known[1]


class StandardNormal(PriorModule):
    """N(0, I), which learns nothing."""

    def log_prob(self, z: Tensor) -> Tensor:
        """-1/2 sum(z² + log 2π)."""
        return Gaussian(self.origin, self.origin).log_prob(at_least_float32(z))

    def sample(self, noise: Tensor) -> Tensor:
        """The noise itself."""
        return noise

    @property
    def mean(self) -> Tensor:
        """Zeros: (D,)."""
        return at_least_float32(self.origin)

    @property
    def variance(self) -> Tensor:
        """Ones: (D,)."""
        return torch.ones_like(self.mean)

    def kl(self, q: Posterior, noise: Tensor) -> Tensor:
        """What q itself says of it: `q.kl(noise)`, in closed form where q has one."""
        return q.kl(noise)


@dataclass(frozen=True, eq=False)
class OrPrior:
    """A `Posterior` that is q in the rows with something to infer z from, and the prior in the others.

    Args:
        q: of B rows; any finite distribution in the rows that are not informed.
        informed: (B,) bool, on the device of q.
        prior: of the same size D.
    """

    q: Posterior
    informed: Tensor
    prior: PriorModule

    @property
    def mean(self) -> Tensor:
        """(B, D)."""
        return self._either(self.q.mean, self.prior.mean)

    @property
    def variance(self) -> Tensor:
        """(B, D)."""
        return self._either(self.q.variance, self.prior.variance)

    @property
    def point(self) -> Tensor:
        """The point of q, or the mean of the prior: (B, D)."""
        return self._either(self.q.point, self.prior.mean)

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws (..., B, D)."""
        return self._either(self.q.rsample(noise), self.prior.sample(noise))

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at z (..., B, D): (..., B), nats."""
        return torch.where(self.informed, self.q.log_prob(z), self.prior.log_prob(z))

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)): (B,), nats; estimated where it is that of the prior. `PriorModule.kl` gives KL(q || p)."""
        noise = torch.randn_like(self.q.mean) if noise is None else noise
        z = self.prior.sample(noise)
        zeros = torch.zeros_like(z)
        ratio = self.prior.log_prob(z) - Gaussian(zeros, zeros).log_prob(z)
        return torch.where(self.informed, self.q.kl(noise), mean_over_draws(ratio))

    def detached(self) -> OrPrior:
        """The same, where q gets no gradient."""
        return OrPrior(self.q.detached(), self.informed, self.prior)

    def _either(self, of_q: Tensor, of_prior: Tensor) -> Tensor:
        return torch.where(self.informed.unsqueeze(-1), of_q, of_prior)
