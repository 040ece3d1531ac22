"""The base class of models, and of the networks that a model builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.batch import Batch
from mmtoolkit.components.component import Component
from mmtoolkit.components.modality import Modality
from mmtoolkit.errors import UserError
from mmtoolkit.normalisation import guard_normalisation
from mmtoolkit.posterior import Gaussian, Posterior


class Network(nn.Module, ABC):
    """A model's networks: one encoder and one decoder for each modality, in schema order.

    Networks are kept by position, so a modality may have any name. An encoder sees only the rows that have its
    modality, and never none of them.

    Args:
        modalities: name -> modality, in schema order.
        latent_dim: D, the size of z.
    """

    def __init__(self, modalities: Mapping[str, Modality], latent_dim: int) -> None:
        super().__init__()
        self.modalities = dict(modalities)
        self.latent_dim = latent_dim
        self.encoders = nn.ModuleList(m.encoder(2 * latent_dim) for m in modalities.values())
        self.decoders = nn.ModuleList(m.decoder(latent_dim) for m in modalities.values())
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
            subsets: (k, M) bool, instead of drawing them.
            noise: (terms, B, D) standard normal, instead of drawing it.

        Returns:
            The loss, a scalar in nats, averaged over the rows that have anything, and its parts by name: scalars
            without gradient, of the same names in every step.
        """

    @abstractmethod
    def subsets(self) -> Sequence[frozenset[str]] | None:
        """The sets of modalities that z can be inferred from; None for any."""

    @abstractmethod
    def infer(self, batch: Batch, given: Collection[str]) -> Posterior:
        """q(z | given) for each row: (B, D). A row that lacks some of the given uses those it has.

        Raises:
            UserError: `given` is no set of modalities that z can be inferred from.
        """

    def inference_modules(self) -> Sequence[nn.Module]:
        """The modules of the inference networks, whose parameters the paper's Table 1 counts."""
        return [self.encoders]

    # What follows from that.

    def decode(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Distribution]:
        """p(target | z) for z (K B, D), draw-major: row j of z belongs to row j mod B of the batch."""
        return {
            name: decoder(z) for name, decoder in zip(self.modalities, self.decoders, strict=True) if name in targets
        }

    def log_prob(self, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Tensor]:
        """Log p(x | z) of the batch's own values for z (K B, D), draw-major: (K B,) each, nats.

        Zero where the row does not have the modality. A target that no row has is left out.
        """
        have = [name for name in targets if len(batch.rows(name))]
        draws = len(z) // batch.size
        log_probs = {}
        for name, p in self.decode(z, batch, have).items():
            rows = batch.rows(name)
            present = torch.zeros(batch.size, dtype=torch.bool)
            present[rows] = True
            # A row without the modality is scored on some present row's value, a valid one, and then left out.
            place = (present.cumsum(0) - 1).clamp(min=0)
            x = batch.value(name).index_select(0, place.repeat(draws).to(z.device))
            log_probs[name] = torch.where(present.repeat(draws).to(z.device), p.log_prob(x), 0.0)
        return log_probs

    def bound(self, batch: Batch, noise: Tensor) -> Tensor:
        """The evidence lower bound of each row, with λ = β = 1, from one draw of z: (B,), nats.

        E_q[log p(x | z)] - KL(q(z | x) || p(z)) over everything the row has; validation averages it.

        Args:
            batch: B rows.
            noise: (B, D) standard normal.
        """
        posterior = self.infer(batch, tuple(self.modalities))
        log_probs = self.log_prob(posterior.rsample(noise), batch, tuple(self.modalities))
        return sum(log_probs.values(), start=-posterior.kl())

    def expert(self, name: str, batch: Batch) -> Gaussian | None:
        """The Gaussian expert q(z | x) of the rows that have the modality: (N, D); None where no row has it."""
        if not len(batch.rows(name)):
            return None
        position = list(self.modalities).index(name)
        mean, logvar = self.encoders[position](batch.value(name)).chunk(2, dim=-1)
        return Gaussian(mean, logvar)

    def check_names(self, names: Collection[str]) -> None:
        """Raise a `UserError` for a name that is no modality of this model."""
        for name in names:
            if name not in self.modalities:
                raise UserError(f"there is no modality {name!r} here; the modalities: {', '.join(self.modalities)}")


class Model(Component):
    """How modalities are joined and trained: builds the networks."""

    family: ClassVar[str] = "model"

    latent_dim: Annotated[int, Field(gt=0, le=65_536)] = 64
    """D, the number of latent variables."""

    @abstractmethod
    def build(self, modalities: Mapping[str, Modality]) -> Network:
        """The networks for these modalities, newly initialised from PyTorch's default generator.

        Raises:
            UserError: the model does not work with these modalities.
        """
