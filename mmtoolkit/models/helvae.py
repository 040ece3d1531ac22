"""The Hellinger multimodal VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from mmtoolkit.components import ManyDraws, Network, Part, Prior, Unit
from mmtoolkit.core.pooling import hoelder
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.pooled import PooledNetwork
from mmtoolkit.priors import NormalPrior


class HELVAE(ManyDraws):
    """The HELVAE: q is the Gaussian with the mean and variances of the Hölder pool (sum_m √q(z | x_m))², normalised.

    Training maximises E_q(z | x)[sum_i λ_i log p(x_i | z)] - β KL(q(z | x) || p(z)) over all that a row has. The
    experts that a row has count equally, and the prior is no expert. Time and memory grow with the square of the number
    of modalities.

    Source: Vo & Valera, "Hellinger Multimodal Variational Autoencoders", AISTATS 2026; pooling and loss as in their
    code.
    """

    kind: Literal["helvae"] = "helvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        return HELVAENetwork(modalities, self.latent_dim, prior=self.prior, draws=self.draws, gradient=self.gradient)


class HELVAENetwork(PooledNetwork):
    """The networks of a HELVAE."""

    def pool(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The moments of the Hölder pool with α = 1/2."""
        return hoelder(experts, members)
