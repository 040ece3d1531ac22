"""Alike modalities run together: one call where there would be many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmtoolkit.components import Banked, Network
from mmtoolkit.core.batch import sent


@dataclass(frozen=True)
class Bank:
    """The networks of modalities that differ in name, column, missing and weight alone.

    Attributes:
        network: whose encoders and decoders they are.
        names: of the modalities, in schema order.
    """

    network: Network
    names: tuple[str, ...]

    @property
    def modality(self) -> Banked:
        """Any one of them."""
        found = self.network.modalities[self.names[0]]
        assert isinstance(found, Banked)
        return found

    def encode(self, names: Sequence[str], values: Sequence[Tensor]) -> list[Tensor]:
        """Features (N_i, width) of the values (N_i, *event) of some of them."""
        x, valid = _padded(values)
        features = self.modality.encode_bank([self.network.encoders.of(name) for name in names], x, valid)
        return [rows[: len(value)] for rows, value in zip(features, values, strict=True)]

    def log_prob(self, names: Sequence[str], z: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
        """Log p(x | z) of z (N_i, D) and values (N_i, *event), summed over the rows of each: (n,), nats."""
        padded, valid = _padded(z)
        p = self.modality.decode_bank([self.network.decoders.of(name) for name in names], padded, valid)
        log_probs = p.log_prob(_padded(values)[0])
        return torch.where(valid, log_probs, torch.zeros_like(log_probs)).sum(1)


def banks(network: Network) -> list[Bank]:
    """The groups of two or more modalities that can run as a bank."""
    groups: dict[tuple[type, str], list[str]] = {}
    for name, modality in network.modalities.items():
        if isinstance(modality, Banked):
            options = modality.model_dump_json(exclude={"column", "missing", "weight"})
            groups.setdefault((type(modality), options), []).append(name)
    return [Bank(network, tuple(names)) for names in groups.values() if len(names) > 1]


def _padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Tensors (N_i, ...) as one (n, N, ...), zeros behind the shorter ones, and which rows are theirs: (n, N) bool."""
    sizes = torch.tensor([len(part) for part in rows])
    valid = torch.arange(int(sizes.max())) < sizes.unsqueeze(1)
    return pad_sequence(list(rows), batch_first=True), sent(valid, rows[0].device)
