"""Two small modalities with linear networks, and what tests of the core draw from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit.components import Modality
from mmtoolkit.core.batch import Batch, Observed

EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


class Vector(Modality):
    """A few real numbers with a Gaussian likelihood of unit variance."""

    kind: Literal["vector"] = "vector"
    size: int = 2
    normalise: bool = False

    def event_shape(self) -> tuple[int, ...]:
        return (self.size,)

    def parse(self, cell: Any) -> Tensor:
        return torch.tensor(cell)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        first = nn.BatchNorm1d(self.size) if self.normalise else nn.Tanh()
        return nn.Sequential(first, nn.Linear(self.size, width))

    def decoder(self, size: int) -> nn.Module:
        return VectorDecoder(size, self.size)

    def some(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.randn(rows, self.size, generator=generator, dtype=torch.float64)


class Category(Modality):
    """One of a few classes with a categorical likelihood."""

    kind: Literal["category"] = "category"
    classes: int = 3

    def event_shape(self) -> tuple[int, ...]:
        return ()

    def parse(self, cell: Any) -> Tensor:
        return torch.tensor(cell)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return nn.Embedding(self.classes, width)

    def decoder(self, size: int) -> nn.Module:
        return CategoryDecoder(size, self.classes)

    def some(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.randint(self.classes, (rows,), generator=generator)


class VectorDecoder(nn.Linear):
    def forward(self, z: Tensor) -> Distribution:  # type: ignore[override]
        normal = distributions.Normal(super().forward(z), 1.0, validate_args=False)
        return distributions.Independent(normal, 1, validate_args=False)


class CategoryDecoder(nn.Linear):
    def forward(self, z: Tensor) -> Distribution:  # type: ignore[override]
        return distributions.Categorical(logits=super().forward(z), validate_args=False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def some_values(modalities: Mapping[str, Any], rows: int, seed: int = 0) -> dict[str, Tensor]:
    generator = seeded(seed)
    return {name: modality.some(rows, generator) for name, modality in modalities.items()}


def batch_of(values: Mapping[str, Tensor], present: Tensor) -> Batch:
    """A batch of complete values (B, *event) cut to what is present (B, M)."""
    return Batch({name: Observed(value, present[:, m]) for m, (name, value) in enumerate(values.items())})


def bools(*shape: int) -> st.SearchStrategy[Tensor]:
    size = math.prod(shape)
    return st.lists(st.booleans(), min_size=size, max_size=size).map(
        lambda flags: torch.tensor(flags, dtype=torch.bool).reshape(shape)
    )
