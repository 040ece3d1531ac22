"""A posterior over adjacent columns of z that are independent given x, each with a posterior of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.core.posterior import Posterior


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
