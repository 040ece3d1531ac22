"""The mixture-of-experts variational autoencoder with private latents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

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
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.shares import shares_of
from mmtoolkit.priors import NormalPrior


class MMVAEPlus(PrivateLatents):
    """The MMVAE+: a shared z with a mixture of experts as posterior, and a private w_m of each modality x_m.

    Training maximises the mean, over the M modalities m that a row has, of

        E log (1/K) sum_k p(x_m | z_k, w_mk)^λ_m prod_{n ≠ m} p(x_n | z_k, v_nk)^λ_n
                          (p(z_k) p(w_mk) / (q(z_k) q(w_mk | x_m)))^β,

    where z_k is drawn from q_m(z | x_m), the expert of m; q(z) is the mixture (1/M) sum_j q_j(z | x_j); w_mk is drawn
    from q(w_m | x_m); and v_nk from r_n = N(0, diag(s_n²)), whose scales s_n are learned. Since every other modality is
    reconstructed without its own w, no private part can replace z.

    r_n serves training only. Inference, validation and draws use p(w_n) = N(0, I) for the private part of what is not
    given, as the paper does.

    Source: Palumbo, Daunhawer & Vogt, "MMVAE+: Enhancing the Generative Quality of Multimodal VAEs without
    Compromises", ICLR 2023. β is inside the weights, as in its authors' code.
    """

    kind: Literal["mmvaeplus"] = "mmvaeplus"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of the shared latent variables before anything is known of a row."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """With one draw, and with three and the doubly reparametrised gradient."""
        options: tuple[dict[str, Any], ...] = ({}, {"draws": 3, "gradient": "dreg"})
        return (cls(latent_dim=2, private_dim=1, **each) for each in options)

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders of two modalities or more."""
        self.check_units(modalities)
        sizes = self.latent_dim, self.private_dim
        return MMVAEPlusNetwork(modalities, *sizes, self.prior, self.draws, self.gradient, self.shared_only)


def _plan(present: Tensor, seen: Tensor, device: torch.device) -> Pairs:
    """The pairs of a term for each unit that a row shows, which reconstructs all that the row has."""
    return plan_pairs(present.expand(seen.shape[1], *present.shape), present, device, seen.T)


class MMVAEPlusNetwork(PrivateNetwork):
    """The networks of an MMVAE+.

    Attributes:
        logscales: (V, P), the logarithms of the scales s_n of the auxiliary priors r_n.
    """

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
        self.logscales = nn.Parameter(torch.zeros(len(self.owners), private_dim))

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Blocks:
        """The mixture of the members, and the private parts of these: (B, D)."""
        return Blocks([self._mixture(experts, members), self.all_private(experts, members)])

    def noise_terms(self, subsets: int) -> int:
        """One for each unit, in schema order."""
        return len(self.units)

    def terms(self, step: Step) -> Terms:
        """One term for each unit of a row, which draws z from its expert.

        The draws of the other private parts are from N(0, I), and become draws of r_n when they are decoded. So they
        cancel in the weights, and the gradient `dreg` leaves their path alone, which has no score function.
        """
        device = step.batch.device
        pairs = step.plan(lambda: _plan(step.present, step.seen, device))
        mixture = self._mixture(step.experts, sent(step.seen.T, device))
        own = self.private_part(step.experts).take(pairs.noise)  # (N, P)
        units = pairs.noise.div(step.batch.size, rounding_mode="floor")
        places = torch.tensor(self.owner_places, device=device)
        owner = (units.unsqueeze(1) == places).unsqueeze(-1)  # (N, V, 1)
        private = Gaussian(*(torch.where(owner, x.unsqueeze(1), 0.0).flatten(1) for x in (own.mean, own.logvar)))
        scale = torch.where(owner, 1.0, self.logscales.exp()).flatten(1)
        scale = torch.cat([scale.new_ones(len(scale), self.shared_dim), scale], dim=1)
        weight = sent(1 / step.seen.sum(1)[pairs.rows].to(own.mean.dtype), device)
        return Terms(Blocks([mixture.strata(pairs.noise), private]), pairs, weight, scale=scale)

    def _mixture(self, experts: Gaussian, members: Tensor) -> Mixture:
        """q(shared | members) in equal shares, for members (U, B) bool; N(0, I) where a row has none."""
        return Mixture(self.shared_part(experts), shares_of(members).to(experts.mean.dtype))
