"""The multimodal variational autoencoder of the Jensen-Shannon divergence with a dynamic prior."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from mmtoolkit.components import Divergence, Model, Network, Pairs, Step, Terms, TermsNetwork, Unit, plan_pairs
from mmtoolkit.core.batch import sent
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.pooling import weighted_product
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.names import known
from mmtoolkit.models.shares import shares_of


class MMJSD(Model):
    """The mmJSD: a mixture of Gaussian experts, which training pulls towards their common dynamic prior.

    For a row with the modalities X, training maximises, by one draw a row from the mixture of the experts q_m,

        E[sum_{i in X} λ_i log p(x_i | z)] - β sum_ν π_ν KL(q_ν || p_f), p_f ∝ prod_ν q_ν^π_ν,

    where ν goes over the experts of X and the prior N(0, I), and the weights π sum to 1. The divergence is that of
    Jensen and Shannon, with the geometric mean p_f of all in place of their mixture, and has a closed form. It may be
    smaller than KL(q(z | X) || p(z)), so the objective is no bound of log p(x); validation computes the evidence lower
    bound.

    Source: Sutter, Daunhawer & Vogt, "Multimodal Generative Learning Utilizing Jensen-Shannon-Divergence", NeurIPS
    2020. Draws are from the experts alone, as in its authors' code; their later code draws from the prior too.
    """

    kind: Literal["mmjsd"] = "mmjsd"

    weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    """name of a modality -> π before it is divided by the sum; 1 for those not named. They are the shares of the
    mixture too."""
    prior_weight: PositiveFloat = 1.0
    """π of the prior, before it is divided by the sum."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Equal weights, and a small one of the prior."""
        return (cls(latent_dim=2), cls(latent_dim=2, prior_weight=0.1))

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        for name in self.weights:
            known(name, modalities, "weights")
        weights = [self.weights.get(name, 1.0) for name in modalities]
        return MMJSDNetwork(modalities, self.latent_dim, weights, self.prior_weight)


class _Plan(NamedTuple):
    """What a step does: a function of presence alone, of U units, B rows and U + 1 distributions ν, the prior last."""

    pairs: Pairs
    shares: Tensor  # (U, B), of the mixture
    members: Tensor  # (1, U + 1, B) bool, who enters the dynamic prior
    importance: Tensor  # (U + 1, B), π; 0 of an expert that a row lacks


class MMJSDNetwork(TermsNetwork):
    """The networks of an mmJSD. All decoders run once."""

    importance: Tensor
    """π of each unit and, last, of the prior, (U + 1,) float64; only the ratios count."""

    def __init__(
        self, modalities: Mapping[str, Unit], latent_dim: int, weights: list[float], prior_weight: float = 1.0
    ) -> None:
        super().__init__(modalities, latent_dim)
        importance = torch.tensor([*weights, prior_weight], dtype=torch.float64)
        self.register_buffer("importance", importance, persistent=False)

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Mixture:
        """The mixture of the members: (B, D)."""
        return Mixture(experts, shares_of(members, self.importance[:-1]).to(experts.mean.dtype))

    def divergences(self) -> tuple[str, ...]:
        """`JS`, the Jensen-Shannon divergence."""
        return ("JS",)

    def terms(self, step: Step) -> Terms:
        """One draw a row from the mixture; the divergences of all experts and of the prior from the dynamic prior."""
        plan = step.plan(lambda: self._plan(step))
        experts = step.experts
        prior = experts.mean.new_zeros(1, *experts.mean.shape[1:])
        every = Gaussian.joined([experts, Gaussian(prior, prior)])  # (U + 1, B, D)
        centre = weighted_product(every, plan.members, self.importance)
        each = Gaussian(every.mean.flatten(0, 1), every.logvar.flatten(0, 1))
        to = Gaussian(*(x.expand(len(every.mean), -1, -1).flatten(0, 1) for x in (centre.mean, centre.logvar)))
        dtype = experts.mean.dtype
        divergence = Divergence("JS", to, q=each, weight=plan.importance.to(dtype).flatten())
        return Terms(Mixture(experts, plan.shares.to(dtype)), plan.pairs, divergences=[divergence])

    def _plan(self, step: Step) -> _Plan:
        device, there = step.batch.device, step.seen.T
        importance = self.importance.cpu()
        members = torch.cat([there, torch.ones_like(there[:1])])  # (U + 1, B)
        return _Plan(
            pairs=plan_pairs(torch.ones(1, *step.present.shape, dtype=torch.bool), step.present, device),
            shares=sent(shares_of(there, importance[:-1]), device),
            members=sent(members.unsqueeze(0), device),
            importance=sent(shares_of(members, importance), device),
        )
