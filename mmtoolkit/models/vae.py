"""The variational autoencoder of one modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit.components import Model, Network, Part, Prior, Unit
from mmtoolkit.components.listed import ListedNetwork
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.names import known
from mmtoolkit.priors import NormalPrior


class VAE(Model):
    """The variational autoencoder of one modality; it ignores the others.

    Training maximises E_q(z | x)[λ log p(x | z)] - β KL(q(z | x) || p(z)) over the rows that have x. The model infers z
    only from x.

    Source: Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    """

    kind: Literal["vae"] = "vae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    modality: str | None = None
    """x, the modality to model; by default the first."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """The encoder and decoder of the one modality."""
        name = self.modality if self.modality is not None else next(iter(modalities))
        return VAENetwork(modalities, self.latent_dim, known(name, modalities, "modality"), self.prior)


class VAENetwork(ListedNetwork):
    """The networks of a VAE of the unit `name`, a modality or a record."""

    def __init__(self, modalities: Mapping[str, Unit], latent_dim: int, name: str, prior: Prior) -> None:
        x = modalities[name]
        encoder, decoder = x.encoder(2 * latent_dim), x.decoder(latent_dim)
        super().__init__(modalities, latent_dim, {name: encoder}, {name: decoder}, prior)
        self.name = name

    def subsets(self) -> list[frozenset[str]]:
        """The unit alone."""
        return [frozenset([self.name])]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities of the unit."""
        return self.members[self.name]

    def usable(self, present: Tensor) -> Tensor:
        """The rows that have something of the unit: (B,) bool."""
        return self.there(present)[:, list(self.units).index(self.name)]

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        """q(z | x): (B, D)."""
        q = self.expert(self.name, batch)
        assert q is not None  # all rows have it
        return q

    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative ELBO of the rows that have x; noise (1, B, D), no subsets are drawn."""
        if noise is None:
            noise = torch.randn(1, batch.size, self.latent_dim, device=batch.device)
        rows = self.rows(self.name, batch)
        q = self.expert(self.name, batch if visible is None else visible)
        if q is None:
            zero = self.blank(batch)
            return zero, {**{f"log p({name})": zero for name in self.inputs}, "KL": zero}
        noise = noise[0].index_select(0, sent(rows, batch.device))
        z = q.rsample(noise)
        log_probs = self.unit_log_probs(self.decoders.of(self.name)(z), self.value(self.name, batch)).mean(0)
        kl = self.prior.kl(q, noise).mean()
        loss = beta * kl - self.weighted(self.name, log_probs)
        parts = zip(self.inputs, log_probs.detach().unbind(), strict=True)
        return loss, {**{f"log p({name})": part for name, part in parts}, "KL": kl.detach()}
