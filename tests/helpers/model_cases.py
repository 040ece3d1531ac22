"""The models VAE, CVAE, BiVCCA and JMVAE over three small modalities, and their networks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmtoolkit.components import Modality, Model, Network
from mmtoolkit.models import CVAE, JMVAE, VAE, BiVCCA
from mmtoolkit.training.networks import build
from toys import Category, Vector, randn, some_values

B, D = 5, 3


class ConditionalEncoder(nn.Module):
    """Reads a value and, beside it, a condition."""

    def __init__(self, first: nn.Module, features: int, width: int, extra: int) -> None:
        super().__init__()
        self.first, self.last = first, nn.Linear(features + extra, width)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        read = self.first(x)
        features: Tensor = self.last(read if condition is None else torch.cat([read, condition], dim=1))
        return features


class ConditionalVector(Vector):
    """A vector whose encoder takes a condition."""

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return ConditionalEncoder(nn.BatchNorm1d(self.size) if self.normalise else nn.Tanh(), self.size, width, extra)


class ConditionalCategory(Category):
    """A class whose encoder takes a condition."""

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return ConditionalEncoder(nn.Embedding(self.classes, 4), 4, width, extra)


TOYS: dict[str, Modality] = {
    "a": ConditionalVector(size=2, weight=3.0),
    "b": ConditionalCategory(classes=3, weight=10.0),
    "c": ConditionalVector(size=3, weight=0.5),
}
NORMALISED: dict[str, Modality] = {
    **TOYS,
    "a": ConditionalVector(size=2, weight=3.0, normalise=True),
    "c": ConditionalVector(size=3, normalise=True),
}
# Rows with everything, rows that lack one, and a row with nothing.
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 0]]) > 0
JOINT: dict[str, Any] = {"latent_dim": D, "width": 4, "alpha": 0.3}
MODELS: dict[str, Model] = {
    "vae": VAE(latent_dim=D),
    "vae of c": VAE(latent_dim=D, modality="c"),
    "cvae": CVAE(latent_dim=D),
    "cvae of b given c": CVAE(latent_dim=D, target="b", given=("c",)),
    "cvae of c given b and a": CVAE(latent_dim=D, target="c", given=("b", "a")),
    "bivcca": BiVCCA(latent_dim=D, mu=0.3),
    "jmvae": JMVAE(**JOINT),
    "jmvae with subsets": JMVAE(**JOINT, subsets=(("c", "a"), ("b", "c"))),
}
EVERY = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def toys_of(model: Model, modalities: Mapping[str, Modality] = TOYS) -> Mapping[str, Modality]:
    """The modalities that a model is tested with."""
    return dict(itertools.islice(modalities.items(), 2)) if isinstance(model, BiVCCA) else modalities


def network_of(model: Model, modalities: Mapping[str, Modality] = TOYS, seed: int = 0) -> Network:
    return build(model, toys_of(model, modalities), seed).double()


def case(model: Model, modalities: Mapping[str, Modality] = TOYS) -> tuple[Network, dict[str, Tensor], Tensor]:
    """Networks, complete values, and noise for one step."""
    network = network_of(model, modalities)
    return network, some_values(network.modalities, B), randn(2 if isinstance(model, BiVCCA) else 1, B, D, seed=4)


def presence(model: Model, present: Tensor = PRESENT) -> Tensor:
    return present[:, : len(toys_of(model))]


def gradients(network: Network, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
