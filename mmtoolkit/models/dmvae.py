"""The private-shared disentangled multimodal variational autoencoder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit.components import (
    Gradient,
    Network,
    Pairs,
    Part,
    Prior,
    PrivateLatents,
    PrivateNetwork,
    Step,
    Terms,
    Unit,
    plan_pairs,
)
from mmtoolkit.core.batch import sent
from mmtoolkit.core.blocks import Blocks
from mmtoolkit.core.posterior import Gaussian, product_alone, product_of_experts
from mmtoolkit.core.prior import StandardNormal
from mmtoolkit.priors import NormalPrior


class DMVAE(PrivateLatents):
    """The DMVAE: a shared z, inferred by a product of experts and by each expert alone, and a private w_m of each x_m.

    Training maximises the sum, over the distinct sets Y of the modalities that a row has (all of them, and each
    alone), of

        sum_m E_q(z | Y) q(w_m | x_m)[λ_m log p(x_m | z, w_m)]
        - β (KL(q(z | Y) || p(z)) + sum_m KL(q(w_m | x_m) || p(w_m))),

    where m is each modality that the row has, whichever Y is: every z has to explain all of them. q(z | Y) is the
    expert itself if Y is one modality, else the product of the experts and of p(z) if that is normal. What is hidden
    by `train.hide` is scored with w_m from p(w_m).

    Source: Lee & Pavlovic, "Private-Shared Disentangled Multimodal VAE for Learning of Latent Representations", CVPR
    Workshops 2021.
    """

    kind: Literal["dmvae"] = "dmvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of the shared latent variables before anything is known of a row."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders of two modalities or more."""
        self.check_units(modalities)
        sizes = self.latent_dim, self.private_dim
        return DMVAENetwork(modalities, *sizes, self.prior, self.draws, self.gradient, self.shared_only)


def _plan(present: Tensor, seen: Tensor, device: torch.device) -> Pairs:
    """The pairs of a term for all that a row shows, and of one for each unit if it shows several."""
    drawn = torch.cat([seen.any(1).unsqueeze(0), (seen & (seen.sum(1, keepdim=True) > 1)).T])
    return plan_pairs(present.expand(len(drawn), *present.shape), present, device, drawn)


class DMVAENetwork(PrivateNetwork):
    """The networks of a DMVAE."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        shared_dim: int,
        private_dim: int,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
        shared_only: Collection[str] = (),
    ) -> None:
        super().__init__(modalities, shared_dim, private_dim, prior, draws, gradient, shared_only)
        self._prior_expert = isinstance(self.prior, StandardNormal)

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Blocks:
        """The shared part from the members, and the private parts of these: (B, D)."""
        return Blocks([self._pooled(experts, members), self.all_private(experts, members)])

    def noise_terms(self, subsets: int) -> int:
        """One for all units, and one for each alone in schema order."""
        return 1 + len(self.units)

    def terms(self, step: Step) -> Terms:
        """The joint term, then those of each unit alone."""
        pairs = step.plan(lambda: _plan(step.present, step.seen, step.batch.device))
        members = sent(step.seen.T, step.batch.device)
        joint, alone = self._pooled(step.experts, members), product_alone(self.shared_part(step.experts))
        joined = Gaussian.joined([joint, Gaussian(alone.mean.flatten(0, 1), alone.logvar.flatten(0, 1))])
        private = self.all_private(step.experts, members).take(sent(pairs.rows, step.batch.device))
        return Terms(Blocks([joined.take(pairs.noise), private]), pairs)

    def _pooled(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """q(shared | members), for experts (U, B, S + P) and members (U, B): (B, S)."""
        own = self.shared_part(experts)
        product = product_of_experts(own, members.unsqueeze(0), self._prior_expert)[0]
        first = members.int().argmax(0) * members.shape[1] + torch.arange(members.shape[1], device=members.device)
        single = product_alone(own.take(first))
        is_one = (members.sum(0) == 1).unsqueeze(-1)
        return Gaussian(
            torch.where(is_one, single.mean, product.mean), torch.where(is_one, single.logvar, product.logvar)
        )
