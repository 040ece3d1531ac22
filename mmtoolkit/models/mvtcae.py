"""The multi-view total correlation autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from mmtoolkit.components import Divergence, Gradient, ManyDraws, Network, Part, Prior, Step, Terms, Unit
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian, product_of_experts
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.models.pooled import PooledNetwork
from mmtoolkit.models.several import check_several
from mmtoolkit.priors import NormalPrior


class MVTCAE(ManyDraws):
    """The MVTCAE: a product of experts, which training keeps near the prior and near each of its experts.

    Training maximises, for a row with n experts,

        (n - α) / n E_q(z | x)[sum_i λ_i log p(x_i | z)]
          - β ((1 - α) KL(q(z | x) || p(z)) + α / n sum_m KL(q(z | x) || q(z | x_m))),

    where q(z | x) is the product of the experts alone, without the prior. With α = 0 it is the ELBO; with α = 1 only
    the experts hold q. The experts of a row are those of the modalities that it has, so a row with one modality gets
    1 - α times the ELBO of a VAE.

    Source: Hwang, Kim, Hong & Kim, "Multi-View Representation Learning via Total Correlation Objective", NeurIPS 2021.
    """

    kind: Literal["mvtcae"] = "mvtcae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 5 / 6
    """α, the share of the divergences from the single experts; its authors use 5/6, and β = 2.5 (`train.beta`)."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        check_several("mvtcae", modalities)
        return MVTCAENetwork(modalities, self.latent_dim, self.alpha, self.prior, self.draws, self.gradient)


class MVTCAENetwork(PooledNetwork):
    """The networks of an MVTCAE."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        alpha: float,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.alpha = alpha

    def pool(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The product of experts, without the prior."""
        return product_of_experts(experts, members, prior=False)

    def product(self, batch: Batch) -> ExpertProduct:
        """The product of the experts that a row has, without the prior."""
        return self.expert_product(batch)

    def divergences(self) -> tuple[str, ...]:
        """`KL`, and the sum of those from the single experts."""
        return "KL", "KL(joint, experts)"

    def terms(self, step: Step) -> Terms:
        """One, of the product of experts; n counts those that q reads."""
        q = self.joint(step)
        share = self.alpha / sent(step.seen.sum(1), step.batch.device).to(q.mean.dtype)  # α / n
        members = sent(step.seen.T, step.batch.device)
        return Terms(
            q,
            step.once(),
            reconstruction=1 - share,
            divergences=[
                Divergence(coefficient=1 - self.alpha),
                Divergence("KL(joint, experts)", step.experts, share, members),
            ],
        )
