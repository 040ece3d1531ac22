"""The conditional variational autoencoder."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Gradient, ManyDraws, Network, Part, Prior, Step, Terms, Unit
from mmtoolkit.components.listed import ListedNetwork
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.names import known
from mmtoolkit.priors import NormalPrior


class CVAE(ManyDraws):
    """The conditional variational autoencoder p(x | y): one modality x given others y, which it does not model.

    Training maximises E_q(z | x, y)[λ log p(x | z, y)] - β KL(q(z | x, y) || p(z)) over the rows that have x and all of
    y. The encoder and the decoder of x also read y (`Modality.condition`). The model infers z from x and y together;
    given y alone, z has the prior, which does not depend on y.

    Source: Sohn, Lee & Yan, "Learning Structured Output Representation using Deep Conditional Generative Models",
    NeurIPS 2015.
    """

    kind: Literal["cvae"] = "cvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    target: str | None = None
    """x, the modality to model; by default the first."""
    given: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """y, the modalities to condition on; by default all others."""

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """The encoder and decoder of the target, with the condition among their inputs."""
        target = known(self.target if self.target is not None else next(iter(modalities)), modalities, "target")
        chosen = {known(name, modalities, "given") for name in self.given or ()}
        if target in chosen:
            raise UserError(f"model.given: {target!r} is the target too; leave it out of one of them")
        given = tuple(name for name in modalities if name != target and (self.given is None or name in chosen))
        if not given:
            raise UserError("model: cvae needs a modality to be given beside the target; add one, or use vae")
        return CVAENetwork(modalities, self.latent_dim, target, given, self.prior, self.draws, self.gradient)


class CVAENetwork(ListedNetwork):
    """The networks of p(target | given)."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        target: str,
        given: tuple[str, ...],
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        x = modalities[target]
        extra = sum(modalities[name].condition_size for name in given)
        encoder, decoder = x.encoder(2 * latent_dim, extra), x.decoder(latent_dim + extra)
        try:
            inspect.signature(encoder.forward).bind(None, None)
        except TypeError:
            raise UserError(
                f"model.target: the encoder of {target} ({x.kind}) takes no condition, which cvae needs; its plugin's "
                "encoder(width, extra) must give a module of (x, c) where extra > 0"
            ) from None
        super().__init__(modalities, latent_dim, {target: encoder}, {target: decoder}, prior, draws, gradient)
        self.target, self.given = target, given

    def subsets(self) -> list[frozenset[str]]:
        """The given with the target, and the given alone."""
        return [frozenset([self.target, *self.given]), frozenset(self.given)]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities of the target and the given, in schema order."""
        return self.flat((self.target, *self.given))

    @property
    def conditions(self) -> tuple[str, ...]:
        """The modalities of the given: decoding reads them."""
        return self.flat(self.given)

    def usable(self, present: Tensor) -> Tensor:
        """The rows that have the target and all of the given: (B,) bool."""
        names = list(self.units)
        return self.there(present)[:, [names.index(name) for name in (self.target, *self.given)]].all(1)

    def told(self, present: Tensor, given: Collection[str]) -> Tensor:
        """The rows that have the target and all of the given, if they are asked for: (B,) bool."""
        return self.usable(present) & {self.target, *self.given}.issubset(self.touched(given))

    def condition(self, batch: Batch) -> Tensor:
        """The features of the given that the networks read: (B, extra), zeros for modalities that a row lacks."""
        parts = []
        for name in self.given:
            part = self.blank(batch, batch.size, self.units[name].condition_size)
            if len(rows := self.rows(name, batch)):
                part = part.index_copy(0, sent(rows, batch.device), self._features(name, self.value(name, batch)))
            parts.append(part)
        return torch.cat(parts, dim=1)

    def _features(self, name: str, value: Tensor) -> Tensor:
        return self.units[name].condition(value).to(self.dtype)

    def posterior_of_set(self, values: Mapping[str, Tensor], given: frozenset[str]) -> Gaussian:
        """q(z | x, y), or N(0, I) given y alone: (B, D)."""
        condition = torch.cat([self._features(name, values[name]) for name in self.given], dim=1)
        if self.target not in given:
            prior = condition.new_zeros(condition.shape[0], self.latent_dim)
            return Gaussian(prior, prior)
        features = self.encoders.of(self.target)(values[self.target], condition)
        return Gaussian(*features.chunk(2, dim=-1))

    def unit_distribution(self, unit: str, z: Tensor, batch: Batch) -> Distribution:
        """p(x | z, y) for z (K B, D), draw-major, y from the batch; a row that lacks y is decoded with zeros for it."""
        return self._decoded(unit, z, self.condition(batch).repeat(len(z) // batch.size, 1))

    def distribution_of_values(self, unit: str, z: Tensor, values: Mapping[str, Tensor], there: Tensor) -> Distribution:
        """p(x | z, y) for z (B, D), zeros standing for what is not there of y; see the base class."""
        columns = {name: there[:, place].unsqueeze(1) for place, name in enumerate(self.units)}
        parts = [torch.where(columns[name], self._features(name, values[name]), 0.0) for name in self.given]
        return self._decoded(unit, z, torch.cat(parts, dim=1))

    def _decoded(self, unit: str, z: Tensor, condition: Tensor) -> Distribution:
        p: Distribution = self.decoders.of(unit)(torch.cat([z, condition.to(z.dtype)], dim=1))
        return p

    def terms(self, step: Step) -> Terms:
        """One, of q(z | x, y), which reconstructs x."""
        q = self.posterior(step.visible, frozenset((self.target, *self.given)))
        return Terms(q, step.once([self.target]))
