"""Small networks with private latents, and explicit pieces of their objectives: one row, one draw at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mmtoolkit.components import Modality, Model
from mmtoolkit.core.batch import Batch
from mmtoolkit.training.networks import build
from toys import Category, Vector, batch_of, some_values

TOYS: dict[str, Modality] = {"a": Vector(size=2, weight=0.7), "b": Category(weight=2.0), "c": Vector(size=3)}
NAMES = tuple(TOYS)
# Rows with everything, with two, with one, with nothing.
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]]) > 0
# What is visible of them: everything, all but one cell, one cell alone.
VISIBLE = torch.tensor([[1, 0, 1], [1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 1, 0]]) > 0
B, S, P = len(PRESENT), 3, 2
D = S + 3 * P
SIZES: dict[str, Any] = {"latent_dim": S, "private_dim": P}
STANDARD = Normal(torch.zeros((), dtype=torch.float64), 1.0)


def network_of(model: Model, modalities: Mapping[str, Modality] = TOYS, seed: int = 0) -> Any:
    return build(model, modalities, seed).double()


def rows_of(present: Tensor = PRESENT, order: Sequence[str] = NAMES, rows: Tensor | None = None) -> Batch:
    """Rows of the toys, of which each may come again; the modalities in any order."""
    values, places = some_values(TOYS, len(present)), torch.tensor([NAMES.index(name) for name in order])
    rows = torch.arange(len(present)) if rows is None else rows
    return batch_of({name: values[name][rows] for name in order}, present[rows][:, places])


def has(batch: Batch, row: int) -> list[str]:
    return [name for m, name in enumerate(NAMES) if batch.present[row, m]]


def value_of(batch: Batch, name: str, row: int) -> Tensor:
    return batch.value(name)[(batch.rows(name) == row).nonzero()[0]]


def experts_of(network: Any, batch: Batch, row: int) -> dict[str, Normal]:
    """What each modality of a row says of all that its expert describes."""
    experts = {}
    for name in has(batch, row):
        mean, logvar = network.encoders.of(name)(value_of(batch, name, row))[0].chunk(2)
        experts[name] = Normal(mean, (logvar / 2).exp())
    return experts


def part(q: Normal, places: slice) -> Normal:
    return Normal(q.mean[places], q.stddev[places])


def shared_of(q: Normal) -> Normal:
    return part(q, slice(0, S))


def own_of(q: Normal) -> Normal:
    return part(q, slice(S, None))


def columns(name: str) -> slice:
    """The places in z of what is private to a modality."""
    start = S + NAMES.index(name) * P
    return slice(start, start + P)


def drawn(q: Normal, noise: Tensor) -> Tensor:
    return q.mean + q.stddev * noise


def log_p(network: Any, batch: Batch, row: int, name: str, z: Tensor) -> Tensor:
    """λ log p(x | z) for what the decoder of a modality reads."""
    p = network.decoders.of(name)(z.unsqueeze(0))
    weight: float = TOYS[name].weight
    total: Tensor = weight * p.log_prob(value_of(batch, name, row)).sum()
    return total


def log_density(q: Normal, z: Tensor) -> Tensor:
    density: Tensor = q.log_prob(z).sum(-1)
    return density


def kl(q: Normal) -> Tensor:
    return kl_divergence(q, STANDARD).sum()


def log_mean(logs: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(logs)).exp().mean(0).log()


def assert_equal(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
