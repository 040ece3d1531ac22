"""The Laplace prior."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from mmtoolkit.components import Prior
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.core.prior import PriorModule


class LaplacePrior(Prior):
    """A Laplace distribution around zero for each latent variable. It learns nothing."""

    kind: Literal["laplace"] = "laplace"

    scale: PositiveFloat = 1.0
    """b of the density exp(-|z| / b) / 2b, whose variance is 2 b²."""

    def build(self, latent_dim: int) -> PriorModule:
        """The distribution over D latent variables."""
        return Laplace(latent_dim, self.scale)


class Laplace(PriorModule):
    """D independent Laplace distributions around zero with one scale."""

    def __init__(self, latent_dim: int, scale: float) -> None:
        super().__init__(latent_dim)
        self.scale = scale

    def log_prob(self, z: Tensor) -> Tensor:
        """-sum(|z| / b + log 2b): (...,)."""
        return -(at_least_float32(z).abs() / self.scale + math.log(2 * self.scale)).sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """The quantile of each number: the tail beyond z holds as much as the normal tail beyond the noise."""
        noise = at_least_float32(noise)
        tail: Tensor = torch.special.log_ndtr(-noise.abs()) + math.log(2)  # log P(|z| > it)
        return torch.sign(noise) * -self.scale * tail

    @property
    def mean(self) -> Tensor:
        """Zeros: (D,)."""
        return at_least_float32(self.origin)

    @property
    def variance(self) -> Tensor:
        """2 b²: (D,)."""
        return torch.full_like(self.mean, 2 * self.scale**2)
