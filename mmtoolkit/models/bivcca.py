"""Bi-modal variational canonical correlation analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Gradient, ManyDraws, Network, Part, Prior, Step, Terms, Unit, plan_pairs
from mmtoolkit.components.listed import ListedNetwork
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.several import counted
from mmtoolkit.priors import NormalPrior


class BiVCCA(ManyDraws):
    """BiVCCA: two modalities x and y, each with its own posterior, but no joint posterior.

    Training maximises

        μ (E_q(z | x)[λ_x log p(x | z) + λ_y log p(y | z)] - β KL(q(z | x) || p(z)))

    plus 1 - μ times the same under q(z | y).

    For a row with x alone, it maximises E_q(z | x)[λ_x log p(x | z)] - β KL(q(z | x) || p(z)), and likewise for y
    alone. The model infers z from x alone or from y alone.

    Source: Wang, Yan, Lee & Livescu, "Deep Variational Canonical Correlation Analysis", 2016.
    """

    kind: Literal["bivcca"] = "bivcca"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    mu: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """μ, the weight of the first modality's posterior."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders of two modalities."""
        if len(modalities) != 2:
            raise UserError(f"model: bivcca joins exactly two modalities, and {counted(modalities)}; use mvae")
        return BiVCCANetwork(modalities, self.latent_dim, self.mu, self.prior, self.draws, self.gradient)


class BiVCCANetwork(ListedNetwork):
    """The networks of a BiVCCA."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        mu: float,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.mu = mu

    def subsets(self) -> list[frozenset[str]]:
        """Each of the two alone."""
        return [frozenset([name]) for name in self.units]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The first: of sets that are as large, the one that comes first in the schema is used."""
        return self.members[next(iter(self.units))]

    def posterior_of_set(self, values: Mapping[str, Tensor], given: frozenset[str]) -> Gaussian:
        """q(z | the one): (B, D)."""
        (name,) = given
        return self.unit_expert(name, values[name])

    def bound(self, batch: Batch, noise: Tensor, visible: Batch | None = None) -> Tensor:
        """The mixture of the two bounds of each row, λ = β = 1, both with the same noise (B, D): (B,), nats."""
        seen = batch if visible is None else visible
        total = torch.zeros_like(noise[:, 0])
        for i, name in enumerate(self.units):
            if not len(rows := self.rows(name, seen)):
                continue
            own = batch.take(rows)
            q = self.posterior(own if seen is batch else seen.take(rows), frozenset([name]))
            places = sent(rows, batch.device)
            own_noise = noise.index_select(0, places)
            log_probs = self.log_prob(q.rsample(own_noise), own, self.targets)
            bound = sum(log_probs.values(), start=-self.need_prior().kl(q, own_noise))
            weight = self._weights(self.there(seen))[i].index_select(0, rows)
            total = total.to(bound.dtype).index_add(0, places, sent(weight, batch.device).to(bound.dtype) * bound)
        return total

    def noise_terms(self, subsets: int) -> int:
        """Two, for q(z | x) and q(z | y)."""
        return 2

    def terms(self, step: Step) -> Terms:
        """q(z | x) of the rows that show x, and q(z | y) of those that show y; each reconstructs both."""
        drawn = step.seen.T
        pairs = step.plan(
            lambda: plan_pairs(torch.ones(2, *step.present.shape).bool(), step.present, step.batch.device, drawn)
        )
        weights = sent(self._weights(step.seen)[drawn], step.batch.device)
        q = step.packed[0]
        return Terms(q, pairs, weights.to(q.mean.dtype))

    def _weights(self, seen: Tensor) -> Tensor:
        """The weights of the two posteriors of each row; a row that shows one has that alone: (2, B) float64."""
        weights = seen.T * torch.tensor([[self.mu], [1 - self.mu]], dtype=torch.float64)
        return weights / weights.sum(0).clamp(min=1e-300)
