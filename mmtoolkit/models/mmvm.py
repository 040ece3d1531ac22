"""The multimodal variational mixture-of-experts prior: a latent variable for each modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmtoolkit.components import Divergence, Model, Network, Pairs, Step, Terms, TermsNetwork, Unit, plan_pairs
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.models.several import check_several
from mmtoolkit.models.shares import shares_of


class MMVM(Model):
    """The MMVM: each modality x_m has a z_m of its own, and the mixture of all posteriors of its row as prior.

    Training maximises, over the M modalities that a row has,

        sum_m E_q_m(z | x_m)[λ_m log p(x_m | z)] - β KL(q_m(z | x_m) || (1/M) sum_j q_j(z | x_j)).

    Any decoder can read a draw of any q_j, which fills in a modality from others; nothing else joins them. There is no
    p(z): the model cannot draw rows from nothing, and has no log p(x). A modality that `train.hide` hides has no q_m;
    its z_m is from the mixture of the others, with divergence 0.

    Source: Sutter, Meng, Agostini, Chopard, Fortin, Vogt, Shahbaba & Mandt, "Unity by Diversity: Improved
    Representation Learning for Multimodal VAEs", NeurIPS 2024.
    """

    kind: Literal["mmvm"] = "mmvm"

    divergence: Literal["mixture", "pairs"] = "mixture"
    """`mixture` is that of the paper, estimated from the draw of z; `pairs` is (1/M) sum_j KL(q_m || q_j), an upper
    bound of it in closed form, as its authors' code has it."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders of two modalities or more."""
        check_several("mmvm", modalities)
        return MMVMNetwork(modalities, self.latent_dim, self.divergence)


class _Plan(NamedTuple):
    """What a step does: a function of presence alone."""

    pairs: Pairs
    rows: Tensor  # of the N pairs, on the device
    hidden: Tensor | None  # (N,) bool, the pairs whose unit is hidden; None if none is


def _plan(present: Tensor, seen: Tensor, device: torch.device) -> _Plan:
    """The pairs of each unit and the rows that have it, each of which reconstructs just that unit."""
    alone = torch.eye(present.shape[1], dtype=torch.bool).unsqueeze(1)
    pairs = plan_pairs(alone.expand(-1, *present.shape), present, device)
    hidden = (present & ~seen).T[present.T]
    return _Plan(pairs, sent(pairs.rows, device), sent(hidden, device) if hidden.any() else None)


class MMVMNetwork(TermsNetwork):
    """The networks of an MMVM. Their z, of D numbers, is that of whichever modality it is decoded to."""

    def __init__(
        self, modalities: Mapping[str, Unit], latent_dim: int, divergence: Literal["mixture", "pairs"]
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = None
        self.divergence = divergence

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Mixture:
        """The mixture of the members, the posteriors of single units: (B, D); N(0, I) in a row without any."""
        return Mixture(experts, shares_of(members).to(experts.mean.dtype))

    def noise_terms(self, subsets: int) -> int:
        """One for each unit, in schema order."""
        return len(self.units)

    def terms(self, step: Step) -> Terms:
        """One term for each unit that a row has, of its own posterior."""
        plan = step.plan(lambda: _plan(step.present, step.seen, step.batch.device))
        mixture = self.posterior_of_experts(step.experts, sent(step.seen.T, step.batch.device))
        q = self._own(step.experts, mixture, plan)
        return Terms(q, plan.pairs, divergences=[self._divergence(step, mixture, plan)])

    def bound(self, batch: Batch, noise: Tensor, visible: Batch | None = None) -> Tensor:
        """The objective of each row with λ = β = 1, each unit with the same noise (B, D): (B,), nats.

        It is no bound on log p(x), which this model does not have.
        """
        seen = self.there(batch if visible is None else visible)
        experts = self.experts(batch if visible is None else visible)
        mixture = self.posterior_of_experts(experts, sent(seen.T, batch.device))
        total = self.blank(batch, batch.size).to(experts.mean.dtype)
        for place, unit in enumerate(self.units):
            own = sent(seen[:, place], batch.device)
            q = experts[place]
            z = torch.where(own.unsqueeze(1), q.rsample(noise), mixture.rsample(noise))
            log_probs = self.log_prob(z, batch, [unit]).values()
            if self.divergence == "mixture":
                divergence = q.log_prob(z) - mixture.log_prob(z)
            else:
                divergence = (mixture.shares * q.kl_to(experts)).sum(0)
            total = total + sum(log_probs, start=-torch.where(own, divergence, 0.0))
        return total

    def _own(self, experts: Gaussian, mixture: Mixture, plan: _Plan) -> Posterior:
        """The posterior of the unit of each pair, or the mixture of its row if the unit is hidden."""
        if plan.hidden is None:
            return experts.take(plan.pairs.noise)
        whole = mixture.take(plan.rows)
        owner = plan.pairs.noise.div(mixture.shares.shape[1], rounding_mode="floor")
        alone = owner == torch.arange(len(self.units), device=owner.device).unsqueeze(1)  # (U, N)
        return Mixture(whole.parts, torch.where(plan.hidden, whole.shares, alone.to(whole.shares.dtype)))

    def _divergence(self, step: Step, mixture: Mixture, plan: _Plan) -> Divergence:
        if self.divergence == "mixture":
            return Divergence(to=mixture.take(plan.rows))
        q, slots = step.packed
        rows = slots % step.batch.size
        count = sent(1 / step.seen.sum(1)[rows].to(q.mean.dtype), step.batch.device)
        places = torch.arange(len(self.units)).unsqueeze(1) * step.batch.size + rows
        counts = sent(step.seen[rows].T, step.batch.device)
        return Divergence(to=step.experts.take(sent(places, step.batch.device)), coefficient=count, counts=counts, q=q)
