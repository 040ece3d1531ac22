"""The base class of a model's networks: inference, decoding, and the bounds computed from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.modality import Modality
from mmtoolkit.components.prior import Prior
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.prior import OrPrior, PriorModule, StandardNormal
from mmtoolkit.core.subsets import informed, supports


class ByName(nn.ModuleList):
    """One network for each modality, stored by position, so that a modality may have any name.

    Args:
        modules: name of the modality -> its network, in schema order.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__(modules.values())
        self.names = tuple(modules)
        self._places = {name: str(place) for place, name in enumerate(modules)}

    def of(self, name: str) -> nn.Module:
        """The network of a modality."""
        network = self._modules[self._places[name]]  # many times quicker than by an index
        assert network is not None
        return network


class Network(nn.Module, ABC):
    """The base class of a model's networks over modalities in schema order.

    An encoder sees only the rows that have its modality. It is not called if there are none.

    Args:
        modalities: name -> modality, in schema order.
        latent_dim: D, the size of z.
        encoders: name -> encoder with 2 D features. Default: each modality's own.
        decoders: name -> decoder of z. Default: each modality's own.
        prior: p(z). Default: N(0, I).

    Attributes:
        prior: p(z), as the prior's `build` returns it.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        latent_dim: int,
        encoders: Mapping[str, nn.Module] | None = None,
        decoders: Mapping[str, nn.Module] | None = None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        self.modalities = dict(modalities)
        self.latent_dim = latent_dim
        if encoders is None:
            encoders = {name: modality.encoder(2 * latent_dim) for name, modality in modalities.items()}
        if decoders is None:
            decoders = {name: modality.decoder(latent_dim) for name, modality in modalities.items()}
        self.encoders = ByName(encoders)
        self.decoders = ByName(decoders)
        self.prior: PriorModule = StandardNormal(latent_dim) if prior is None else prior.build(latent_dim)
        guard_normalisation(self)

    # What a model defines.

    @abstractmethod
    def forward(
        self, batch: Batch, beta: float = 1.0, subsets: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss of a batch.

        Args:
            batch: B rows.
            beta: the weight β of the KL divergence.
            subsets: (k, M) bool, the subsets to use. By default a model that needs subsets draws them.
            noise: (terms, B, D) standard normal. By default the model draws it.

        Returns:
            The loss, a scalar in nats, averaged over the usable rows; and its parts by name, scalars without gradient.
            The names are the same in every step.
        """

    @abstractmethod
    def subsets(self) -> Sequence[frozenset[str]] | None:
        """The sets of modalities that z can be inferred from; None if any set will do."""

    def posterior(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """q(z | given) for each row, from those of the given that it has: (B, D).

        A row that has none of them gets N(0, I). If the prior is another, `infer` puts that in its place.

        Args:
            batch: B rows; do not read modalities that are not given.
            given: modalities that z can be inferred from.
        """
        raise NotImplementedError(f"{type(self).__name__} does not write posterior(batch, given); write it")

    # Override these if the model does not use every modality in every way.

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities that z is inferred from in a complete row. Default: all modalities."""
        return tuple(self.modalities)

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that can be decoded."""
        return self.decoders.names

    @property
    def conditions(self) -> tuple[str, ...]:
        """The modalities that `decode` reads from the batch besides z. Default: none."""
        return ()

    def usable(self, present: Tensor) -> Tensor:
        """The rows that training can use, for presence (B, M) bool: (B,) bool. Default: rows with any modality."""
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
        return informed(present, tuple(self.modalities), given, self.subsets())

    # These follow from the methods above.

    def infer(self, batch: Batch, given: Collection[str]) -> Posterior:
        """q(z | given) for each row: (B, D).

        A row that lacks some of the given uses those that it has, or the largest supported set of them. A row that has
        none has the prior.

        Raises:
            UserError: z cannot be inferred from `given`.
        """
        self.check_names(given)
        if not supports(subsets := self.subsets(), given):
            sets = (given, *(subsets or ()))
            asked, *known = (", ".join(name for name in self.modalities if name in names) for names in sets)
            raise UserError(f"the model cannot infer z from {asked}; it can from: {'; '.join(known)}")
        return self._inferred(batch, frozenset(given))

    def _inferred(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """The posterior, with the prior in the rows that have nothing of the given."""
        q = self._of_rows(batch, given)
        if isinstance(self.prior, StandardNormal):  # which such rows have already
            return q
        rows = self.told(batch.present, given)
        return q if rows.all() else OrPrior(q, sent(rows, batch.device), self.prior)

    def _of_rows(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """q(z | the given that each row has): (B, D)."""
        return self.posterior(batch, given)

    def infer_all(self, batch: Batch) -> Posterior:
        """q(z | all that a row has and the model supports) for each row: (B, D)."""
        return self.infer(batch, self.inputs)

    def informed(self, present: Tensor) -> Tensor:
        """The rows that have something for `infer_all` to read, for presence (B, M) bool: (B,) bool, on the host."""
        return informed(present, tuple(self.modalities), self.inputs, self.subsets())

    def decode(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Distribution]:
        """p(target | z) for z (K B, D) in draw-major order: row j of z belongs to row j mod B of the batch.

        The result omits targets without a decoder.
        """
        return {
            name: decoder(z)
            for name, decoder in zip(self.decoders.names, self.decoders, strict=True)
            if name in targets
        }

    def log_prob(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Tensor]:
        """Log p(x | z) of the batch's own values for z (K B, D) in draw-major order: (K B,) each, nats.

        It is zero if the row lacks the modality; a decoder sees only rows that have it. The result omits targets that
        no row has and targets without a decoder.
        """
        draws = len(z) // batch.size
        log_probs = {}
        for name in targets:
            rows = batch.rows(name)
            if not len(rows) or name not in self.targets:
                continue
            part, part_z = batch, z
            if len(rows) < batch.size:
                places = sent((torch.arange(draws).unsqueeze(1) * batch.size + rows).flatten(), z.device)
                part = batch.only({name, *self.conditions}).take(rows)
                part_z = z.index_select(0, places)
            log_prob = self.decode(part_z, part, [name])[name].log_prob(batch.tiled(name, draws))
            if len(rows) < batch.size:
                log_prob = log_prob.new_zeros(len(z)).index_copy(0, places, log_prob)
            log_probs[name] = log_prob
        return log_probs

    def bound(self, batch: Batch, noise: Tensor) -> Tensor:
        """The evidence lower bound of each row, with λ = β = 1, from one draw of z: (B,), nats.

        It is E_q[log p(x | z)] - KL(q(z | x) || p(z)) over all that the row has. Validation averages it over usable
        rows.

        Args:
            batch: B rows.
            noise: (B, D) standard normal.
        """
        posterior = self.infer_all(batch)
        log_probs = self.log_prob(posterior.rsample(noise), batch, self.targets)
        return sum(log_probs.values(), start=-self.prior.kl(posterior, noise))

    def expert(self, name: str, batch: Batch) -> Gaussian | None:
        """The Gaussian expert q(z | x) of the N rows that have the modality: (N, D); None if no row has it."""
        if not len(batch.rows(name)):
            return None
        mean, logvar = self.encoders.of(name)(batch.value(name)).chunk(2, dim=-1)
        return Gaussian(mean, logvar)

    def experts(self, batch: Batch) -> Gaussian:
        """The experts of all modalities that have an encoder, for all rows: (M, B, D), in schema order.

        If a row lacks the modality, its expert is N(0, I). `batch.present` shows which rows do.
        """
        blank = next(self.parameters()).new_zeros(batch.size, self.latent_dim)
        means, logvars = [], []
        for name in self.encoders.names:
            mean = logvar = blank
            if (expert := self.expert(name, batch)) is not None:
                rows = sent(batch.rows(name), batch.device)
                mean, logvar = (blank.to(x.dtype).index_copy(0, rows, x) for x in (expert.mean, expert.logvar))
            means.append(mean)
            logvars.append(logvar)
        return Gaussian(torch.stack(means), torch.stack(logvars))

    def check_names(self, names: Collection[str]) -> None:
        """Raise a `UserError` if a name is not a modality of this model."""
        for name in names:
            if name not in self.modalities:
                raise UserError(f"there is no modality {name!r} here; the modalities: {', '.join(self.modalities)}")
