"""The multimodal VAE by coordination of Suzuki & Matsuo (2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmtoolkit.components import Divergence, Model, Network, Pairs, Part, Prior, Step, Terms, Unit, plan_pairs
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian, product_alone, product_of_experts
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.models.pooled import PooledNetwork
from mmtoolkit.models.several import check_several
from mmtoolkit.priors import NormalPrior


class CRMVAE(Model):
    """The CRMVAE: a product of experts near each of them, all of which reconstruct their own modality.

    Training maximises, for a row with n experts,

        1 / (2 (n + 1)) sum_m λ_m (E_q(z | x)[log p(x_m | z)] + E_q(z | x_m)[log p(x_m | z)])
          - β / (n + 1) (KL(q(z | x) || p(z)) + sum_m KL(q(z | x) || q(z | x_m))),

    where q(z | x) is the product of the experts alone, without the prior. The experts of a row are those of the
    modalities that it has. There is no bound of several draws: those of the single experts have no divergence of
    their own that could weigh them.

    Source: Suzuki & Matsuo, "Mitigating the Limitations of Multimodal VAEs with Coordination-Based Approach", 2023.
    """

    kind: Literal["crmvae"] = "crmvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        check_several("crmvae", modalities)
        return CRMVAENetwork(modalities, self.latent_dim, prior=self.prior)


class _Plan(NamedTuple):
    """What a step does. Its pairs are those of the product of each row, then those of each expert."""

    pairs: Pairs
    members: Tensor  # (U, B) bool, the experts of each row
    sizes: Tensor  # 1 + n of each row, (B,), and of the row of each pair, (N,)
    pair_sizes: Tensor


def _plan(present: Tensor, seen: Tensor, device: torch.device) -> _Plan:
    rows, units = present.shape
    own = torch.eye(units, dtype=torch.bool).unsqueeze(1).expand(units, rows, units)
    scores = torch.cat([torch.ones(1, rows, units, dtype=torch.bool), own])
    draws = torch.cat([torch.ones(1, rows, dtype=torch.bool), seen.T])
    pairs = plan_pairs(scores, present, device, draws)
    sizes = 1 + seen.sum(1)
    return _Plan(pairs, *(sent(x, device) for x in (seen.T, sizes, sizes[pairs.rows])))


class CRMVAENetwork(PooledNetwork):
    """The networks of a CRMVAE."""

    def pool(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The product of experts, without the prior."""
        return product_of_experts(experts, members, prior=False)

    def product(self, batch: Batch) -> ExpertProduct:
        """The product of the experts that a row has, without the prior."""
        return self.expert_product(batch)

    def noise_terms(self, subsets: int) -> int:
        """One for the product, and one for each expert in schema order."""
        return 1 + len(self.units)

    def divergences(self) -> tuple[str, ...]:
        """`KL`, and the sum of those from the single experts."""
        return "KL", "KL(joint, experts)"

    def terms(self, step: Step) -> Terms:
        """The product of experts, which reconstructs all, and each expert, which reconstructs its own unit."""
        plan = step.plan(lambda: _plan(step.present, step.seen, step.batch.device))
        joint = self.joint(step)
        share = 1 / plan.sizes.to(joint.mean.dtype)
        return Terms(
            Gaussian.joined([joint, product_alone(step.packed[0])]),
            plan.pairs,
            reconstruction=0.5 / plan.pair_sizes.to(joint.mean.dtype),
            divergences=[
                Divergence(coefficient=share, q=joint),
                Divergence("KL(joint, experts)", step.experts, share, plan.members, joint),
            ],
        )
