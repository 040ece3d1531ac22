"""The multi-channel variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit.components import ManyDraws, Network, Part, Prior, Step, Terms, TermsNetwork, Unit, plan_pairs
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, product_alone
from mmtoolkit.priors import NormalPrior


class MCVAE(ManyDraws):
    """The multi-channel VAE: each expert alone reconstructs all modalities.

    Training maximises, summed over the modalities c that a row has,

        E_q(z | x_c)[sum_i λ_i log p(x_i | z)] - β KL(q(z | x_c) || p(z)).

    q(z | several) is the mixture of their experts in equal shares: what it predicts is the average of what each expert
    predicts, as in its authors' code, and the mean of the row's terms is a lower bound of the ELBO with this q.

    Source: Antelmi, Ayache, Robert & Lorenzi, "Sparse Multi-Channel Variational Autoencoder for the Joint Analysis of
    Heterogeneous Data", ICML 2019, without its sparse variant; the sum is that of their code.
    """

    kind: Literal["mcvae"] = "mcvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        return MCVAENetwork(modalities, self.latent_dim, prior=self.prior, draws=self.draws, gradient=self.gradient)


class MCVAENetwork(TermsNetwork):
    """The networks of a multi-channel VAE."""

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Mixture:
        """The mixture of the members in equal shares: (B, D)."""
        first = torch.arange(len(members), device=members.device).unsqueeze(1) == 0
        valid = members | (first & ~members.any(0))  # an expert that is not there is N(0, I)
        return Mixture.equal(product_alone(experts), valid)

    def noise_terms(self, subsets: int) -> int:
        """One for each unit."""
        return len(self.units)

    def terms(self, step: Step) -> Terms:
        """One for each unit that is seen, whose expert reconstructs all that the row has."""
        drawn = step.seen.T
        scores = torch.ones(len(drawn), *step.present.shape, dtype=torch.bool)
        pairs = step.plan(lambda: plan_pairs(scores, step.present, step.batch.device, drawn))
        return Terms(product_alone(step.packed[0]), pairs)
