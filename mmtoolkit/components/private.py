"""Models in which each unit has latent variables of its own, besides those that all units share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components.model import ManyDraws
from mmtoolkit.components.prior import Prior
from mmtoolkit.components.terms_network import Gradient, TermsNetwork
from mmtoolkit.components.unit import Unit
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.blocks import BlockPrior, Blocks
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.prior import OrPrior, PriorModule, StandardNormal


class PrivateLatents(ManyDraws):
    """The base class of models with private latent variables: `latent_dim` is the size of the shared part of z."""

    private_dim: Annotated[int, Field(gt=0, le=65_536)] = 16
    """The number of private latent variables of each modality. A record is one modality here."""
    shared_only: tuple[str, ...] = ()
    """Modalities without private latent variables: those that hold nothing of their own, such as a label. With private
    variables a label need not tell the shared part anything."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Those of any model, with one private latent variable a unit."""
        return (example.model_copy(update={"private_dim": 1}) for example in super().examples())

    def check_units(self, units: Mapping[str, Unit]) -> None:
        """Check the units before networks are built for them.

        Raises:
            UserError: there is one, and so nothing to share; or `shared_only` names another, or all of them.
        """
        if len(units) < 2:
            raise UserError(f"model: {self.kind} joins two modalities or more, and there is one; add one, or use vae")
        for name in self.shared_only:
            if name not in units:
                raise UserError(
                    f"model.shared_only: there is no modality {name!r}{did_you_mean(name, units)}; the modalities are "
                    f"{', '.join(units)}"
                )
        if set(self.shared_only) == set(units):
            raise UserError("model.shared_only: names all modalities; leave out those that have something of their own")


class PrivateNetwork(TermsNetwork):
    """Networks over z = (shared, private of the first unit, private of the second, …).

    The expert of a unit describes the shared part and its own private part. A decoder reads the same two. What is
    private to a unit has the prior N(0, I), and keeps it in the posterior of a row that has nothing of the unit. Units
    in `shared_only` have no private part; in their experts N(0, I) stands for it. Posteriors are `Blocks`, of which the
    first is the shared part.

    Args:
        units: name -> modality or record, in schema order; U of them.
        shared_dim: S, the size of the shared part.
        private_dim: P, the size of each private part; D = S + V P, for the V units that have one.
        prior: of the shared part.
        draws: K.
        gradient: of the bound of several draws.
        shared_only: the units without a private part.
    """

    def __init__(
        self,
        units: Mapping[str, Unit],
        shared_dim: int,
        private_dim: int,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
        shared_only: Collection[str] = (),
    ) -> None:
        owners = [name for name in units if name not in shared_only]
        sizes = {name: shared_dim + private_dim * (name in owners) for name in units}
        privates = len(owners) * private_dim
        encoders = {name: unit.encoder(2 * sizes[name]) for name, unit in units.items()}
        decoders = {name: unit.decoder(sizes[name]) for name, unit in units.items()}
        p: PriorModule = prior.build(shared_dim)
        if isinstance(p, StandardNormal):
            p = StandardNormal(shared_dim + privates)
        else:
            p = BlockPrior([p, StandardNormal(privates)])
        super().__init__(units, shared_dim + privates, encoders, decoders, p, draws, gradient)
        self.shared_dim, self.private_dim = shared_dim, private_dim
        self.owners: Sequence[str] = owners
        self.owner_places = [list(units).index(name) for name in owners]

    @property
    def shared(self) -> slice:
        """The first S places in z."""
        return slice(0, self.shared_dim)

    def shared_posterior(self, q: Posterior) -> Posterior:
        """The first of the `Blocks` that posteriors of these networks are: (B, S)."""
        if isinstance(q, OrPrior):
            assert isinstance(q.prior, BlockPrior)
            return OrPrior(self.shared_posterior(q.q), q.informed, q.prior.first)
        assert isinstance(q, Blocks)
        return q.parts[0]

    @property
    def expert_dim(self) -> int:
        """S + P."""
        return self.shared_dim + self.private_dim

    def own(self, unit: str) -> slice:
        """The places in z of what is private to a unit; none of one in `shared_only`."""
        if unit not in self.owners:
            return slice(0, 0)
        start = self.shared_dim + self.owners.index(unit) * self.private_dim
        return slice(start, start + self.private_dim)

    def unit_features(self, unit: str, value: Tensor) -> Tensor:
        """Means and log-variances of the shared part and of the unit's own: (N, 2 (S + P))."""
        features = super().unit_features(unit, value)
        if unit in self.owners:
            return features
        mean, logvar = features.chunk(2, dim=-1)
        blank = mean.new_zeros(mean.shape[0], self.private_dim)
        return torch.cat([mean, blank, logvar, blank], dim=1)

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
        """The posterior of all private parts: (B, V P), N(0, I) in those of units that are no members.

        Args:
            experts: (U, B, S + P).
            members: (U, B) bool, on their device.
        """
        own = self.private_part(experts).where(members)
        return Gaussian(*(self.of_owners(x.transpose(0, 1)).flatten(1) for x in (own.mean, own.logvar)))

    def of_owners(self, x: Tensor) -> Tensor:
        """Of what stands for each unit, (N, U, …), that for the units with a private part: (N, V, …)."""
        return x if len(self.owners) == len(self.units) else x[:, self.owner_places]
