"""A mixture of Gaussians, learned with the model."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmtoolkit.components import Prior
from mmtoolkit.core.posterior import Gaussian, at_least_float32
from mmtoolkit.core.prior import PriorModule

_AT_ONCE = 16


class MixturePrior(Prior):
    """A mixture of Gaussians with diagonal covariances, whose means, variances and weights training learns.

    The means start as draws from N(0, I), with unit variances and equal weights. They do not start from data: before
    training, the posterior means of all rows nearly coincide, and a start from picks or clusters of them, as they are
    or spread to unit variance, gave no better bound than random draws.
    """

    kind: Literal["mixture"] = "mixture"

    components: Annotated[int, Field(gt=0, le=1000)] = 10
    """The number of Gaussians."""

    def build(self, latent_dim: int) -> PriorModule:
        """The mixture over D latent variables."""
        return Mixture(latent_dim, self.components)


class Mixture(PriorModule):
    """A mixture of C Gaussians.

    Attributes:
        means: (C, D).
        logvars: (C, D), the logs of the variances.
        logits: (C,), the logs of the weights, up to a constant.
    """

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__(latent_dim)
        self.means = nn.Parameter(torch.randn(components, latent_dim))
        self.logvars = nn.Parameter(torch.zeros(components, latent_dim))
        self.logits: Tensor
        if components > 1:
            self.logits = nn.Parameter(torch.zeros(components))
        else:  # its weight is 1
            self.register_buffer("logits", torch.zeros(1))

    @property
    def weights(self) -> Tensor:
        """(C,), with sum 1."""
        return at_least_float32(self.logits).softmax(0)

    def log_prob(self, z: Tensor) -> Tensor:
        """The logarithm of the weighted sum of densities: (...,)."""
        z = at_least_float32(z).unsqueeze(-2)
        # A few components at a time: all of them at once would take C times the memory of many draws.
        parts = zip(self.means.split(_AT_ONCE), self.logvars.split(_AT_ONCE), strict=True)
        each = torch.cat([Gaussian(mean, logvar).log_prob(z) for mean, logvar in parts], dim=-1)  # (..., C)
        return (each + at_least_float32(self.logits).log_softmax(0)).logsumexp(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """A draw from the component that the first number of each noise chooses.

        u = Φ(the first number) is uniform over (0, 1). Component c has the part of it from the sum of the weights
        before it to that sum with its own. Where u lies in that part, from 0 to 1, is uniform too and independent of
        the choice, so Φ⁻¹ of it is standard normal again.
        """
        noise = at_least_float32(noise)
        weights = self.weights.double()
        ends = torch.ones(len(weights), len(weights)).to(weights).tril() @ weights  # deterministic on a GPU too
        u = torch.special.ndtr(noise[..., 0].double())
        place = torch.searchsorted(ends.detach(), u.detach(), right=True).clamp(max=len(ends) - 1)
        rest = (u - (ends - weights)[place]) / weights[place]
        tiny = torch.finfo(torch.float64).eps
        first = torch.special.ndtri(rest.clamp(tiny, 1 - tiny)).to(noise.dtype)
        noise = torch.cat([first.unsqueeze(-1), noise[..., 1:]], dim=-1)
        return Gaussian(self.means[place], self.logvars[place]).rsample(noise)

    @property
    def mean(self) -> Tensor:
        """(D,). It may lie where the density is low, between the components."""
        return self.weights @ at_least_float32(self.means)

    @property
    def variance(self) -> Tensor:
        """(D,), within the components and between their means."""
        parts = Gaussian(self.means, self.logvars)
        return self.weights @ (parts.variance + (parts.mean - self.mean).square())
