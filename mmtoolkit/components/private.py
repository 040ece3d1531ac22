"""Models in which each unit has latent variables of its own, besides those that all units share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.model import ManyDraws
from mmtoolkit.components.prior import Prior
from mmtoolkit.components.terms_network import Gradient, TermsNetwork
from mmtoolkit.components.unit import Unit
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.blocks import BlockPrior
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.prior import PriorModule, StandardNormal


class PrivateLatents(ManyDraws):
    """The base class of models with private latent variables: `latent_dim` is the size of the shared part of z."""

    private_dim: Annotated[int, Field(gt=0, le=65_536)] = 16
    """The number of private latent variables of each modality. A record is one modality here."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Those of any model, with one private latent variable a unit."""
        return (example.model_copy(update={"private_dim": 1}) for example in super().examples())

    def check_units(self, units: Mapping[str, Unit]) -> None:
        """Raise a `UserError` if there are fewer than two units: then there is nothing to share."""
        if len(units) < 2:
            raise UserError(f"model: {self.kind} joins two modalities or more, and there is one; add one, or use vae")


class PrivateNetwork(TermsNetwork):
    """Networks over z = (shared, private of the first unit, private of the second, …).

    The expert of a unit describes the shared part and its own private part. A decoder reads the same two. What is
    private to a unit has the prior N(0, I), and keeps it in the posterior of a row that has nothing of the unit.

    Args:
        units: name -> modality or record, in schema order; U of them.
        shared_dim: S, the size of the shared part.
        private_dim: P, the size of each private part; D = S + U P.
        prior: of the shared part.
        draws: K.
        gradient: of the bound of several draws.
    """

    def __init__(
        self,
        units: Mapping[str, Unit],
        shared_dim: int,
        private_dim: int,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        both, privates = shared_dim + private_dim, len(units) * private_dim
        encoders = {name: unit.encoder(2 * both) for name, unit in units.items()}
        decoders = {name: unit.decoder(both) for name, unit in units.items()}
        p: PriorModule = prior.build(shared_dim)
        if isinstance(p, StandardNormal):
            p = StandardNormal(shared_dim + privates)
        else:
            p = BlockPrior([p, StandardNormal(privates)])
        super().__init__(units, shared_dim + privates, encoders, decoders, p, draws, gradient)
        self.shared_dim, self.private_dim = shared_dim, private_dim

    @property
    def shared(self) -> slice:
        """The first S places in z."""
        return slice(0, self.shared_dim)

    @property
    def expert_dim(self) -> int:
        """S + P."""
        return self.shared_dim + self.private_dim

    def own(self, unit: str) -> slice:
        """The places in z of what is private to a unit."""
        start = self.shared_dim + list(self.units).index(unit) * self.private_dim
        return slice(start, start + self.private_dim)

    def unit_distribution(self, unit: str, z: Tensor, batch: Batch) -> Distribution:
        """p(unit | shared, own) for z (K B, D) in draw-major order."""
        p: Distribution = self.decoders.of(unit)(torch.cat([z[:, self.shared], z[:, self.own(unit)]], dim=1))
        return p

    def shared_part(self, experts: Gaussian) -> Gaussian:
        """What experts (..., S + P) say of the shared part: (..., S)."""
        return Gaussian(experts.mean[..., self.shared], experts.logvar[..., self.shared])

    def private_part(self, experts: Gaussian) -> Gaussian:
        """What experts (..., S + P) say of the private part of their unit: (..., P)."""
        return Gaussian(experts.mean[..., self.shared_dim :], experts.logvar[..., self.shared_dim :])

    def all_private(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The posterior of all private parts: (B, U P), N(0, I) in those of units that are no members.

        Args:
            experts: (U, B, S + P).
            members: (U, B) bool, on their device.
        """
        own = self.private_part(experts).where(members)
        return Gaussian(own.mean.transpose(0, 1).flatten(1), own.logvar.transpose(0, 1).flatten(1))
