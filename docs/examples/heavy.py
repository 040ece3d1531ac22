"""A prior with heavy tails: Student's t with four degrees of freedom, whose quantiles have a closed form."""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit import Component, Prior, PriorModule, at_least_float32, hookimpl


class Heavy(Prior):
    """Student's t with four degrees of freedom for each latent variable."""

    kind: Literal["heavy"] = "heavy"

    def build(self, latent_dim: int) -> PriorModule:
        """The distribution over D latent variables. Its moments are those of draws, by default."""
        return HeavyModule(latent_dim)


class HeavyModule(PriorModule):
    """The density 3/8 (1 + z²/4)^(-5/2), D times."""

    def log_prob(self, z: Tensor) -> Tensor:
        """(...,), nats."""
        squares = at_least_float32(z).square()
        return -(2.5 * torch.log1p(squares / 4) - math.log(0.375)).sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """The quantile at p = Φ(noise) (Shaw 2006): (..., D)."""
        root = 2 * (torch.special.ndtr(noise) * torch.special.ndtr(-noise)).sqrt()
        quantile = torch.cos(torch.acos(root.clamp(max=1)) / 3) / root
        size: Tensor = 2 * (quantile - 1).clamp(min=0).sqrt()
        return torch.sign(noise) * size


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Heavy]
