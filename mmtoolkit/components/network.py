"""The base class of a model's networks: inference, decoding, and the bounds computed from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.by_name import ByName
from mmtoolkit.components.expert_network import ExpertNetwork
from mmtoolkit.components.prior import Prior
from mmtoolkit.components.unit import Unit
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.prior import OrPrior, PriorModule, StandardNormal
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.core.subsets import informed, supports


class Network(ExpertNetwork, ABC):
    """The base class of a model's networks over modalities in schema order.

    What one expert infers z from is a **unit**: a modality, or a record, whose columns are modalities. A model joins
    units; a batch, what is given and what is decoded are named by modalities, of which a record has many.

    An encoder sees only the rows that have something of its unit. It is not called if there are none.

    Args:
        units: name -> modality or record, in schema order.
        latent_dim: D, the size of z.
        encoders: name of a unit -> encoder with 2 D features. Default: each unit's own.
        decoders: name of a unit -> decoder of z. Default: each unit's own.
        prior: p(z), over all D latent variables if it is built. Default: N(0, I).

    Attributes:
        units: name -> modality or record, in schema order.
        modalities: name -> modality, in schema order, with the columns of each record in its place.
        members: name of a unit -> the names of its modalities.
        prior: p(z), as the prior's `build` returns it; None in a model without p(z).
    """

    def __init__(
        self,
        units: Mapping[str, Unit],
        latent_dim: int,
        encoders: Mapping[str, nn.Module] | None = None,
        decoders: Mapping[str, nn.Module] | None = None,
        prior: Prior | PriorModule | None = None,
    ) -> None:
        if encoders is None:
            encoders = {name: unit.encoder(2 * latent_dim) for name, unit in units.items()}
        super().__init__(units, encoders)
        self.latent_dim = latent_dim
        if decoders is None:
            decoders = {name: unit.decoder(latent_dim) for name, unit in units.items()}
        self.decoders = ByName(decoders)
        self.prior: PriorModule | None
        if prior is None:
            self.prior = StandardNormal(latent_dim)
        else:
            self.prior = prior.build(latent_dim) if isinstance(prior, Prior) else prior
        guard_normalisation(self)

    # What a model defines.

    @abstractmethod
    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss of a batch.

        Args:
            batch: B rows.
            beta: the weight β of the KL divergence.
            subsets: (k, U) bool, the subsets of the units to use. By default a model that needs subsets draws them.
            noise: (terms, B, D) standard normal. By default the model draws it.
            visible: the same rows with what z is inferred from; all known cells of `batch` are scored. Every usable
                row of `batch` is usable in it. By default `batch`.

        Returns:
            The loss, a scalar in nats, averaged over the usable rows; and its parts by name, scalars without gradient.
            The names are the same in every step.
        """

    @abstractmethod
    def subsets(self) -> Sequence[frozenset[str]] | None:
        """The sets of units that z can be inferred from; None if any set will do."""

    def posterior(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """q(z | given) for each row, from those of the given that it has: (B, D).

        A row that has none of them gets N(0, I). If there is another prior, `infer` puts that in its place.

        Default: that of `posterior_of_experts`.

        Args:
            batch: B rows; of a record, only what is given is present.
            given: units that z can be inferred from.
        """
        visible = batch.only(self.flat(given))
        members = sent(self.there(visible).T, batch.device)
        return self.posterior_of_experts(self.experts(visible), members)

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Posterior:
        """q(z | members) for each row: (B, D), by operations that are the same for every row.

        Write it rather than `posterior` if z is inferred from an expert for each unit: `mmt export` calls it too. A row
        without members gets N(0, I).

        Args:
            experts: of U units for B rows, (U, B, E); N(0, I) where they are no members.
            members: (U, B) bool, on their device: which units each row has, of those that are given.
        """
        raise NotImplementedError(
            f"{type(self).__name__} writes neither posterior_of_experts(experts, members) nor posterior(batch, given); "
            "write the first, or the second if z is not inferred from an expert for each unit"
        )

    def posterior_of_values(self, values: Mapping[str, Tensor], there: Tensor) -> Posterior:
        """q(z | what is there) of B rows that all have a value for each unit: (B, D).

        Programs outside of PyTorch know no rows of their own for each unit: `mmt export` calls it. A row that has
        nothing may get any finite distribution. Default: that of `posterior_of_experts`.

        Args:
            values: name of a unit -> what its networks read, (B, *event), zeros where it is not there; a unit that is
                there in no row may be left out.
            there: (B, U) bool, on the device of the values.
        """
        members = torch.stack([there[:, list(self.units).index(unit)] for unit in self.encoders.names])
        each = {unit: self.unit_expert(unit, values[unit]) for unit in self.encoders.names if unit in values}
        blank = torch.zeros(there.shape[0], self.expert_dim, dtype=self.dtype, device=there.device)
        absent = Gaussian(blank, blank)
        parts = [each.get(unit, absent) for unit in self.encoders.names]
        experts = Gaussian(torch.stack([q.mean for q in parts]), torch.stack([q.logvar for q in parts]))
        return self.posterior_of_experts(experts.where(members), members)

    def distribution_of_values(self, unit: str, z: Tensor, values: Mapping[str, Tensor], there: Tensor) -> Distribution:
        """P(unit | z) for z (B, D), with a value for each of the `conditions` in all rows; see `posterior_of_values`.

        Default: that of `unit_distribution`, in a model without conditions.
        """
        if self.conditions:
            raise NotImplementedError(
                f"{type(self).__name__} decodes given {', '.join(self.conditions)} and does not write "
                "distribution_of_values(unit, z, values, there); write it"
            )
        return self.unit_distribution(unit, z, Batch.of_present(z.shape[0], {}, {}))

    # Override these if the model does not use every modality in every way.

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities that z is inferred from in a complete row. Default: all modalities."""
        return tuple(self.modalities)

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that can be decoded."""
        return self.flat(self.decoders.names)

    @property
    def shared(self) -> slice:
        """The places in z of the part that all units share, which embeddings and probes read. Default: all of them."""
        return slice(0, self.latent_dim)

    def shared_posterior(self, q: Posterior) -> Posterior:
        """What a posterior of this model says of the shared part alone: (B, S). Default: q itself."""
        return q

    def product(self, batch: Batch) -> ExpertProduct | None:
        """q(z | all that each row has) as a product of one Gaussian expert for each unit; None if it is none.

        Explanations read the shares of the experts in it, and leave out one without encoding the others again.
        `expert_product` makes it. Default: None.
        """
        return None

    @property
    def expert_dim(self) -> int:
        """How many latent variables the expert of a unit describes. Default: all of them."""
        return self.latent_dim

    @property
    def conditions(self) -> tuple[str, ...]:
        """The modalities that `decode` reads from the batch besides z. Default: none."""
        return ()

    def random_numbers(self, rows: int, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """The arguments `subsets` and `noise` of `forward` for so many rows, from PyTorch's default generators.

        Processes that share a batch draw those of all its rows, and each passes on the noise of its own. Default: None;
        `forward` of each process then draws its own.
        """
        return None

    def usable(self, present: Tensor) -> Tensor:
        """The rows that training can use, for presence (B, M) bool: (B,) bool. Default: rows with any modality.

        A model that needs some units of a row asks `there(present)` for them.
        """
        return present.any(1)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Let parts start from data, once, before the first step of a new run. Default: nothing.

        The network is in evaluation mode, and PyTorch's default generator is seeded. Change the values of parameters
        and buffers in place; their shapes stay, and nothing else is kept. Only one process calls it.

        Args:
            batches: the usable training rows. Each pass has them in a new random order.
        """

    def end(self, batches: Iterable[Batch]) -> None:
        """Learn what is learned after training, with the weights that training keeps, before scores. Default: nothing.

        The rules are those of `begin`. A resumed run calls it again, with the weights from before it.

        Args:
            batches: the usable training rows. Each pass has them in a new random order.
        """

    def inference_modules(self) -> Sequence[nn.Module]:
        """The modules of the inference networks. Table 1 of Wu & Goodman 2018 counts their parameters."""
        return [self.encoders]

    def told(self, present: Tensor, given: Collection[str]) -> Tensor:
        """The rows whose z depends on what they have of the given; the others have the prior.

        Args:
            present: (B, M) bool, on the host.
            given: modalities that z can be inferred from.

        Returns:
            (B,) bool, on the host. Default: the rows that have any of the given, or a supported set of them.
        """
        return self._informed(present, given)

    # These follow from the methods above.

    def supports(self, given: Collection[str]) -> bool:
        """Whether z can be inferred from these modalities: of each unit that they touch, any part will do.

        From none of them it can if the model has a prior.
        """
        return supports(self.subsets(), self.touched(given)) if given else self.prior is not None

    def need_prior(self) -> PriorModule:
        """p(z).

        Raises:
            UserError: the model has none.
        """
        if self.prior is None:
            raise UserError(
                "the model has no p(z), so it draws nothing and knows no likelihood unless modalities are given; give "
                "some, or take a model with a prior, such as mvae"
            )
        return self.prior

    def _informed(self, present: Tensor, given: Collection[str]) -> Tensor:
        """The rows that have any of the given, or a supported set of the units that these touch: (B,) bool."""
        names = set(self.flat(given))
        asked = torch.tensor([name in names for name in self.modalities])
        return informed(self.there(present & asked), tuple(self.units), self.touched(given), self.subsets())

    def infer(self, batch: Batch, given: Collection[str]) -> Posterior:
        """q(z | given) for each row: (B, D).

        A row that lacks some of the given uses those that it has, or the largest supported set of them. A row that has
        none has the prior; N(0, I) stands in its place if the model has no prior.

        Raises:
            UserError: z cannot be inferred from `given`; nothing is given and the model has no prior; the batch has
                other modalities than the networks, or the same in another order.
        """
        self.check_names(given)
        if not given:
            self.need_prior()
        if not self.supports(given):
            asked = ", ".join(name for name in dict.fromkeys((*self.units, *self.modalities)) if name in given)
            known = (", ".join(unit for unit in self.units if unit in names) for names in self.subsets() or ())
            raise UserError(f"the model cannot infer z from {asked}; it can from: {'; '.join(known)}")
        return self._inferred(batch, frozenset(self.flat(given)))

    def _inferred(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """The posterior, with the prior in the rows that have nothing of the given."""
        self._check_batch(batch)
        return self.or_prior(self._of_rows(batch, given), lambda: self.told(batch.present, given))

    def or_prior(self, q: Posterior, informed: Callable[[], Tensor]) -> Posterior:
        """Q, with the prior in the rows that are not informed, of which `informed` gives the others: (B,) bool."""
        if self.prior is None or isinstance(self.prior, StandardNormal):  # such rows have N(0, I) already
            return q
        rows = informed()
        return q if rows.all() else OrPrior(q, sent(rows, q.mean.device), self.prior)

    def _of_rows(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """q(z | the given modalities that each row has): (B, D)."""
        return self.posterior(self.limited(batch, given), self.touched(given))

    def infer_all(self, batch: Batch) -> Posterior:
        """q(z | all that a row has and the model supports) for each row: (B, D)."""
        return self.infer(batch, self.inputs)

    def informed(self, present: Tensor) -> Tensor:
        """The rows that have something for `infer_all` to read, for presence (B, M) bool: (B,) bool, on the host."""
        return self._informed(present, self.inputs)

    def decode(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Distribution]:
        """p(target | z) for z (K B, D) in draw-major order: row j of z belongs to row j mod B of the batch.

        A target is a modality, or a unit for all of its modalities. The result omits targets without a decoder.

        Raises:
            UserError: a target is neither a modality nor a record of this model.
        """
        self.check_names(targets)
        decoded: dict[str, Distribution] = {}
        for unit in self.decoders.names:
            if names := [name for name in self.members[unit] if name in targets or unit in targets]:
                decoded |= self.columns(unit, self.unit_distribution(unit, z, batch), names)
        return decoded

    def log_prob(
        self, z: Tensor, batch: Batch, targets: Collection[str], visible: Batch | None = None
    ) -> dict[str, Tensor]:
        """Log p(x | z) of the batch's own values for z (K B, D) in draw-major order: (K B,) each, nats.

        It is zero if the row lacks the modality; a decoder sees only rows that have something of its unit. The result
        omits targets that no row has and targets without a decoder. A decoder that reads `conditions` reads those of
        `visible`, by default of the batch.
        """
        visible = batch if visible is None else visible
        log_probs: dict[str, Tensor] = {}
        for unit in self.decoders.names:
            names = [name for name in self.members[unit] if name in targets or unit in targets]
            names = [name for name in names if len(batch.rows(name))]
            if names:
                log_probs |= self._unit_log_prob(unit, names, z, batch, visible)
        return {name: log_probs[name] for name in self.modalities if name in log_probs}

    def _unit_log_prob(
        self, unit: str, names: Sequence[str], z: Tensor, batch: Batch, visible: Batch
    ) -> dict[str, Tensor]:
        draws, rows = len(z) // batch.size, self.rows(unit, batch)
        part, part_z, whole = batch, z, len(rows) == batch.size
        if not whole:
            places = sent((torch.arange(draws).unsqueeze(1) * batch.size + rows).flatten(), z.device)
            part = batch.only(self.members[unit]).take(rows)
            visible = visible.only(self.conditions).take(rows)
            part_z = z.index_select(0, places)
        p = self.unit_distribution(unit, part_z, visible)
        if self._is_modality(unit):
            value = self._checked(unit, batch.tiled(unit, draws))
        else:
            value = self.value(unit, part).repeat(draws, 1, 1)
        columns = self.unit_log_probs(p, value)
        if not whole:
            columns = columns.new_zeros(len(z), columns.shape[1]).index_copy(0, places, columns)
        by_name = dict(zip(self.members[unit], columns.unbind(1), strict=True))
        return {name: by_name[name] for name in names}

    def unit_distribution(self, unit: str, z: Tensor, batch: Batch) -> Distribution:
        """P(unit | z) for z (K B, D) in draw-major order, of all its modalities together; all else decodes by it.

        Default: what its decoder gives for z.
        """
        p: Distribution = self.decoders.of(unit)(z)
        return p

    def bound(self, batch: Batch, noise: Tensor, visible: Batch | None = None) -> Tensor:
        """The evidence lower bound of each row, with λ = β = 1, from one draw of z: (B,), nats.

        It is E_q[log p(x | z)] - KL(q(z | v) || p(z)) over all x that the row has, with z inferred from what is
        visible of it, v. Validation averages it over usable rows.

        Args:
            batch: B rows.
            noise: (B, D) standard normal.
            visible: the same rows with what z is inferred from. By default `batch`.
        """
        posterior = self.infer_all(batch if visible is None else visible)
        log_probs = self.log_prob(posterior.rsample(noise), batch, self.targets, visible)
        return sum(log_probs.values(), start=-self.need_prior().kl(posterior, noise))
