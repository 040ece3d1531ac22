"""A mixture of Gaussians, learned with the model."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmtoolkit.components import Prior
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, at_least_float32
from mmtoolkit.core.prior import PriorModule


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
        return LearnedMixture(latent_dim, self.components)


class LearnedMixture(PriorModule):
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

    @property
    def _mixture(self) -> Mixture:
        """The mixture of one row."""
        parts = Gaussian(self.means.unsqueeze(1), self.logvars.unsqueeze(1))
        return Mixture(parts, self.weights.unsqueeze(1))

    def log_prob(self, z: Tensor) -> Tensor:
        """The logarithm of the weighted sum of densities: (...,)."""
        return self._mixture.log_prob(at_least_float32(z).unsqueeze(-2)).squeeze(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """A draw from the component that the first number of each noise chooses."""
        return self._mixture.rsample(at_least_float32(noise).unsqueeze(-2)).squeeze(-2)

    @property
    def mean(self) -> Tensor:
        """(D,). It may lie where the density is low, between the components."""
        return self._mixture.mean.squeeze(0)

    @property
    def variance(self) -> Tensor:
        """(D,), within the components and between their means."""
        return self._mixture.variance.squeeze(0)
