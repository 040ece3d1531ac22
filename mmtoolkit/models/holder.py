"""The multimodal VAE with the exact Hölder pool of its experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Model, Network, Pairs, Part, Prior, Step, Terms, TermsNetwork, Unit, plan_pairs
from mmtoolkit.core.batch import sent
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.pooling import hoelder_mixture
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.priors import NormalPrior

_MOST = 10  # modalities, of 55 parts


class Holder(Model):
    """The exact Hölder pool: q ∝ (sum_m √q(z | x_m))², a mixture of the experts and of all pairs of them.

    Training maximises

        sum_s share_s E_part s[sum_i λ_i log p(x_i | z) - β (log q(z | x) - log p(z))],

    the ELBO with this q, from a draw of each part s: an expert, or a pair with the Gaussian ∝ √(q(z | x_i) q(z | x_j)).
    The share of a pair falls with the distance of its experts. Of several draws, each part takes the logarithm of the
    mean of their importance weights.

    Source: Vo, Martínez-García & Valera, "Hölder++: Improving the Quality-Coherence Trade-off in Multimodal VAEs",
    ICML 2026, for the pool; neither their private latent variables nor their hierarchy is here. The parts and their
    shares follow from the pool by algebra.
    """

    kind: Literal["holder"] = "holder"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    draws: Annotated[int, Field(gt=0, le=10_000)] = 1
    """K, the number of draws of z from each part."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        if len(modalities) > _MOST:
            raise UserError(
                f"model: holder draws from all pairs of up to {_MOST} modalities, and there are {len(modalities)}; "
                "use helvae, or join some modalities in a record"
            )
        return HolderNetwork(modalities, self.latent_dim, prior=self.prior, draws=self.draws)


class _Plan(NamedTuple):
    """The (part, row) pairs of a step, their places among all of them, and the experts of each row, (U, B) bool."""

    pairs: Pairs
    places: Tensor
    members: Tensor


def _plan(present: Tensor, seen: Tensor, device: torch.device) -> _Plan:
    one, other = torch.triu_indices(present.shape[1], present.shape[1], 1)
    drawn = torch.cat([seen.T, seen.T[one] & seen.T[other]])  # (P, B), in the order of `hoelder_mixture`
    scores = torch.ones(len(drawn), *present.shape, dtype=torch.bool)
    pairs = plan_pairs(scores, present, device, drawn)
    return _Plan(pairs, *(sent(x, device) for x in (drawn.flatten().nonzero().squeeze(1), seen.T)))


class HolderNetwork(TermsNetwork):
    """The networks of an exact Hölder pool."""

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Mixture:
        """The pool of the members: (B, D)."""
        return hoelder_mixture(experts, members)

    def noise_terms(self, subsets: int) -> int:
        """One for each unit, then one for each pair of units in the order of `torch.triu_indices`."""
        return len(self.units) * (len(self.units) + 1) // 2

    def terms(self, step: Step) -> Terms:
        """One for each part of the pool, weighted by its share; each reconstructs all that the row has."""
        plan = step.plan(lambda: _plan(step.present, step.seen, step.batch.device))
        q = hoelder_mixture(step.experts, plan.members)
        return Terms(q.strata(plan.places), plan.pairs, q.shares.flatten().index_select(0, plan.places))
