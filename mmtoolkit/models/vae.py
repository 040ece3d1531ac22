"""The variational autoencoder of one modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from mmtoolkit.components import Gradient, ManyDraws, Network, Part, Prior, Step, Terms, Unit
from mmtoolkit.components.listed import ListedNetwork
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.names import known
from mmtoolkit.priors import NormalPrior


class VAE(ManyDraws):
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
        x = known(name, modalities, "modality")
        return VAENetwork(modalities, self.latent_dim, x, self.prior, self.draws, self.gradient)


class VAENetwork(ListedNetwork):
    """The networks of a VAE of the unit `name`, a modality or a record."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        name: str,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        x = modalities[name]
        encoder, decoder = x.encoder(2 * latent_dim), x.decoder(latent_dim)
        super().__init__(modalities, latent_dim, {name: encoder}, {name: decoder}, prior, draws, gradient)
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

    def posterior_of_set(self, values: Mapping[str, Tensor], given: frozenset[str]) -> Gaussian:
        """q(z | x): (B, D)."""
        return self.unit_expert(self.name, values[self.name])

    def terms(self, step: Step) -> Terms:
        """One, of q(z | x)."""
        return Terms(self.posterior(step.visible, frozenset([self.name])), step.once())
