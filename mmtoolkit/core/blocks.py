"""Distributions over adjacent columns of z that are independent of each other: posteriors, and priors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmtoolkit.core.posterior import Posterior
from mmtoolkit.core.prior import OrPrior, PriorModule


@dataclass(frozen=True, eq=False)
class Blocks:
    """q(z | x) = prod_i q_i(z_i | x), where z_1, z_2, … are adjacent columns of z. It is a `Posterior`.

    Such is a latent of which all modalities share one block and each has one of its own. Each part draws from the
    noise of its own columns, also a mixture, whose first number chooses a component.

    Args:
        parts: posteriors of the same B rows, (B, D_1), (B, D_2), …; together (B, D).
    """

    parts: Sequence[Posterior]

    @property
    def mean(self) -> Tensor:
        """(B, D)."""
        return torch.cat([q.mean for q in self.parts], dim=-1)

    @property
    def variance(self) -> Tensor:
        """(B, D)."""
        return torch.cat([q.variance for q in self.parts], dim=-1)

    @property
    def point(self) -> Tensor:
        """The points of the parts: (B, D)."""
        return torch.cat([q.point for q in self.parts], dim=-1)

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws (..., B, D)."""
        return torch.cat([q.rsample(own) for q, own in self._with(noise)], dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at z (..., B, D), the sum of those of the parts: (..., B), nats."""
        return torch.stack([q.log_prob(own) for q, own in self._with(z)]).sum(0)

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)), the sum of those of the parts: (B,), nats. Without noise each part draws its own."""
        if noise is None:
            return torch.stack([q.kl() for q in self.parts]).sum(0)
        return torch.stack([q.kl(own) for q, own in self._with(noise)]).sum(0)

    def detached(self) -> Blocks:
        """The same q, whose parts get no gradient."""
        return Blocks([q.detached() for q in self.parts])

    def _with(self, x: Tensor) -> Iterator[tuple[Posterior, Tensor]]:
        """Each part with its columns of x (..., B, D)."""
        columns = x.split([q.mean.shape[-1] for q in self.parts], dim=-1)
        return zip(self.parts, columns, strict=True)


class BlockPrior(PriorModule):
    """p(z) = prod_i p_i(z_i), where z_1, z_2, … are adjacent columns of z.

    Args:
        parts: priors over D_1, D_2, … latent variables; together D.
    """

    def __init__(self, parts: Sequence[PriorModule]) -> None:
        super().__init__(sum(part.latent_dim for part in parts))
        self.parts = nn.ModuleList(parts)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density, the sum of those of the parts: (...,)."""
        return torch.stack([part.log_prob(own) for part, own in self._with(z)]).sum(0)

    def sample(self, noise: Tensor) -> Tensor:
        """Draws of the parts side by side: (..., D)."""
        return torch.cat([part.sample(own) for part, own in self._with(noise)], dim=-1)

    @property
    def mean(self) -> Tensor:
        """(D,)."""
        return torch.cat([part.mean for part, _ in self._with(self.origin)])

    @property
    def variance(self) -> Tensor:
        """(D,)."""
        return torch.cat([part.variance for part, _ in self._with(self.origin)])

    def kl(self, q: Posterior, noise: Tensor) -> Tensor:
        """KL(q || p): (B,), nats; the sum of those of the parts where q has the same blocks, else an estimate.

        It is 0 in the rows of an `OrPrior` that have this prior.
        """
        if isinstance(q, OrPrior) and q.prior is self:
            return torch.where(q.informed, self.kl(q.q, noise), 0.0)
        sizes = [part.latent_dim for part in self._parts]
        if not isinstance(q, Blocks) or [own.mean.shape[-1] for own in q.parts] != sizes:
            return super().kl(q, noise)
        each = zip(q.parts, self._with(noise), strict=True)
        return torch.stack([part.kl(own, own_noise) for own, (part, own_noise) in each]).sum(0)

    @property
    def first(self) -> PriorModule:
        """The prior of the first columns."""
        return self._parts[0]

    @property
    def _parts(self) -> list[PriorModule]:
        return [part for part in self.parts if isinstance(part, PriorModule)]

    def _with(self, x: Tensor) -> Iterator[tuple[PriorModule, Tensor]]:
        """Each part with its columns of x (..., D)."""
        parts = self._parts
        return zip(parts, x.split([part.latent_dim for part in parts], dim=-1), strict=True)
