"""Bi-modal variational canonical correlation analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Model, Network, Part, Prior, Unit
from mmtoolkit.components.listed import ListedNetwork
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.priors import NormalPrior


class BiVCCA(Model):
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
            raise UserError(f"model: bivcca joins exactly two modalities, and there are {len(modalities)}; use mvae")
        return BiVCCANetwork(modalities, self.latent_dim, self.mu, self.prior)


class BiVCCANetwork(ListedNetwork):
    """The networks of a BiVCCA."""

    def __init__(self, modalities: Mapping[str, Unit], latent_dim: int, mu: float, prior: Prior) -> None:
        super().__init__(modalities, latent_dim, prior=prior)
        self.mu = mu

    def subsets(self) -> list[frozenset[str]]:
        """Each of the two alone."""
        return [frozenset([name]) for name in self.units]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The first: of sets that are as large, the one that comes first in the schema is used."""
        return self.members[next(iter(self.units))]

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        """q(z | the one): (B, D)."""
        q = self.expert(next(iter(given)), batch)
        assert q is not None  # all rows have it
        return q

    def bound(self, batch: Batch, noise: Tensor, visible: Batch | None = None) -> Tensor:
        """The mixture of the two bounds of each row, λ = β = 1, both with the same noise (B, D): (B,), nats."""
        kl, log_probs = self._mixture(batch, visible or batch, noise.expand(2, *noise.shape))
        return sum(log_probs.values(), start=-kl)

    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative mixture of bounds; noise (2, B, D), for q(z | x) and q(z | y), no subsets are drawn."""
        if noise is None:
            noise = torch.randn(2, batch.size, self.latent_dim, device=batch.device)
        kl, log_probs = self._mixture(batch, visible or batch, noise)
        count = max(int(batch.present.any(1).sum()), 1)
        loss = beta * kl.sum() / count
        parts = {}
        for name, log_prob in log_probs.items():
            loss = loss - self.modalities[name].weight * log_prob.sum() / count
            parts[f"log p({name})"] = log_prob.detach().sum() / count
        return loss, {**parts, "KL": kl.detach().sum() / count}

    def _mixture(self, batch: Batch, visible: Batch, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The KL divergence and log p of each modality, a row (B,), each averaged over the posteriors a row has."""
        present = self.there(visible)
        weights = present * torch.tensor([self.mu, 1 - self.mu], dtype=torch.float64)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-300)  # a row with one has that one's alone
        kl = self.blank(batch, batch.size)
        log_probs = dict.fromkeys(self.modalities, kl)
        for i, name in enumerate(self.units):
            if not len(rows := self.rows(name, visible)):
                continue
            own = batch.take(rows)
            q = self.posterior(own if visible is batch else visible.take(rows), frozenset([name]))
            places = sent(rows, batch.device)
            weight = sent(weights[rows, i].to(q.mean.dtype), batch.device)
            own_noise = noise[i].index_select(0, places)
            kl = _added(kl, places, weight * self.prior.kl(q, own_noise))
            z = q.rsample(own_noise)
            for target, log_prob in self.log_prob(z, own, self.targets).items():
                log_probs[target] = _added(log_probs[target], places, weight * log_prob)
        return kl, log_probs


def _added(total: Tensor, places: Tensor, part: Tensor) -> Tensor:
    """Numbers added at some places, in the finer of the two number formats."""
    dtype = torch.promote_types(total.dtype, part.dtype)
    return total.to(dtype).index_add(0, places, part.to(dtype))
