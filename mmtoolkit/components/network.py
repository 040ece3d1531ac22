"""The base class of a model's networks: inference networks, decoders, and what follows from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.modality import Modality
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.subsets import informed


class ByName(nn.ModuleList):
    """Networks of modalities, kept by position, so that a modality may have any name.

    Args:
        modules: modality's name -> its network, in schema order.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__(modules.values())
        self.names = tuple(modules)

    def of(self, name: str) -> nn.Module:
        """The network of a modality."""
        return self[self.names.index(name)]


class Network(nn.Module, ABC):
    """A model's networks over modalities in schema order.

    An encoder sees only the rows that have its modality, and never none of them.

    Args:
        modalities: name -> modality, in schema order.
        latent_dim: D, the size of z.
        encoders: name -> encoder to 2 D features. Default: one of each modality.
        decoders: name -> decoder of z. Default: one of each modality.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        latent_dim: int,
        encoders: Mapping[str, nn.Module] | None = None,
        decoders: Mapping[str, nn.Module] | None = None,
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
            subsets: (k, M) bool, instead of drawing them, where the model draws subsets.
            noise: (terms, B, D) standard normal, instead of drawing it.

        Returns:
            The loss, a scalar in nats, averaged over the rows that are usable, and its parts by name: scalars
            without gradient, of the same names in every step.
        """

    @abstractmethod
    def subsets(self) -> Sequence[frozenset[str]] | None:
        """The sets of modalities that z can be inferred from; None for any."""

    @abstractmethod
    def infer(self, batch: Batch, given: Collection[str]) -> Posterior:
        """q(z | given) for each row: (B, D).

        A row that lacks some of the given uses those it has, or the largest set of them that is supported.

        Raises:
            UserError: `given` is no set of modalities that z can be inferred from.
        """

    # What a model that does not use every modality in every way says of it.

    @property
    def inputs(self) -> tuple[str, ...]:
        """What z is inferred from where a row has everything. Default: all modalities."""
        return tuple(self.modalities)

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that can be decoded."""
        return self.decoders.names

    @property
    def conditions(self) -> tuple[str, ...]:
        """The modalities that `decode` reads from the batch, beside z. Default: none."""
        return ()

    def usable(self, present: Tensor) -> Tensor:
        """Which rows can be learned from, given presence (B, M) bool: (B,) bool. Default: those with anything."""
        return present.any(1)

    def inference_modules(self) -> Sequence[nn.Module]:
        """The modules of the inference networks, whose parameters Table 1 of Wu & Goodman 2018 counts."""
        return [self.encoders]

    # What follows from that.

    def infer_all(self, batch: Batch) -> Posterior:
        """q(z | what a row has), as far as it is supported: (B, D)."""
        return self.infer(batch, self.inputs)

    def informed(self, present: Tensor) -> Tensor:
        """Which rows have something that `infer_all` reads, given presence (B, M) bool: (B,) bool, on the host."""
        return informed(present, tuple(self.modalities), self.inputs, self.subsets())

    def decode(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Distribution]:
        """p(target | z) for z (K B, D), draw-major: row j of z belongs to row j mod B of the batch.

        Targets that the model has no decoder for are left out.
        """
        return {
            name: decoder(z)
            for name, decoder in zip(self.decoders.names, self.decoders, strict=True)
            if name in targets
        }

    def log_prob(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Tensor]:
        """Log p(x | z) of the batch's own values for z (K B, D), draw-major: (K B,) each, nats.

        Zero where the row does not have the modality, whose decoder sees only the rows that do. A target that no row
        has, or that the model has no decoder for, is left out.
        """
        draws = len(z) // batch.size
        log_probs = {}
        for name in targets:
            rows = batch.rows(name)
            if not len(rows) or name not in self.targets:
                continue
            have, needed = batch, z
            if len(rows) < batch.size:
                places = sent((torch.arange(draws).unsqueeze(1) * batch.size + rows).flatten(), z.device)
                have = batch.only({name, *self.conditions}).take(rows)
                needed = z.index_select(0, places)
            log_prob = self.decode(needed, have, [name])[name].log_prob(batch.tiled(name, draws))
            if len(rows) < batch.size:
                log_prob = log_prob.new_zeros(len(z)).index_copy(0, places, log_prob)
            log_probs[name] = log_prob
        return log_probs

    def bound(self, batch: Batch, noise: Tensor) -> Tensor:
        """The evidence lower bound of each usable row, with λ = β = 1, from one draw of z: (B,), nats.

        E_q[log p(x | z)] - KL(q(z | x) || p(z)) over everything the row has; validation averages it.

        Args:
            batch: B rows.
            noise: (B, D) standard normal.
        """
        posterior = self.infer_all(batch)
        log_probs = self.log_prob(posterior.rsample(noise), batch, self.targets)
        return sum(log_probs.values(), start=-posterior.kl(noise))

    def expert(self, name: str, batch: Batch) -> Gaussian | None:
        """The Gaussian expert q(z | x) of the rows that have the modality: (N, D); None where no row has it."""
        if not len(batch.rows(name)):
            return None
        mean, logvar = self.encoders.of(name)(batch.value(name)).chunk(2, dim=-1)
        return Gaussian(mean, logvar)

    def experts(self, batch: Batch) -> Gaussian:
        """The experts of all modalities that have an encoder, for all rows: (M, B, D), in schema order.

        Where a row does not have the modality, N(0, I) stands; `batch.present` says where.
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
        """Raise a `UserError` for a name that is no modality of this model."""
        for name in names:
            if name not in self.modalities:
                raise UserError(f"there is no modality {name!r} here; the modalities: {', '.join(self.modalities)}")
