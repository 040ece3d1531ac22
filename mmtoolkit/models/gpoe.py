"""The multimodal VAE with a weighted product of experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmtoolkit.components import Gradient, ManyDraws, Network, Part, Prior, Unit
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.pooling import weighted_product
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.models.pooled import PooledNetwork
from mmtoolkit.priors import NormalPrior


class GPoE(ManyDraws):
    """The generalised product of experts: each expert has a learned weight for each latent variable.

    Training maximises E_q(z | x)[sum_i λ_i log p(x_i | z)] - β KL(q(z | x) || p(z)) over all that a row has, where

        1 / variance = sum_m a_m / variance_m, mean = variance sum_m a_m mean_m / variance_m,

    and the weights a_m of the experts that the row has are positive with sum 1, for each latent variable. The prior is
    no expert, and q is never more certain than its most certain expert.

    Source: Lawry Aguila, Chapman & Altmann, "Multi-modal Variational Autoencoders for Normative Modelling across
    Multiple Imaging Modalities", MICCAI 2023; the product is that of Cao & Fleet 2014.
    """

    kind: Literal["gpoe"] = "gpoe"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities, and equal weights to begin with."""
        return GPoENetwork(modalities, self.latent_dim, self.prior, self.draws, self.gradient)


class ExpertWeights(nn.Module):
    """Learned weights of U experts for each of D latent variables, positive with sum 1 over the experts."""

    def __init__(self, experts: int, latent_dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(experts, latent_dim))

    def forward(self) -> Tensor:
        """The weights: (U, D)."""
        return self.logits.softmax(0)


class GPoENetwork(PooledNetwork):
    """The networks of a generalised product of experts."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.weights_of_experts = ExpertWeights(len(modalities), latent_dim)

    def inference_modules(self) -> list[nn.Module]:
        """The encoders, and the weights of their experts."""
        return [self.encoders, self.weights_of_experts]

    def pool(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The product weighted as was learned, in the proportions of the members."""
        return weighted_product(experts, members, self.weights_of_experts())

    def product(self, batch: Batch) -> ExpertProduct:
        """The product of the experts that a row has, with their weights as exponents."""
        return self.expert_product(batch, exponents=self.weights_of_experts())
