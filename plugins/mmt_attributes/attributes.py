"""The attributes modality: K binary attributes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes.mlp import WIDTH, Encoder, mlp
from mmt_attributes.yes_no import YesNo
from mmtoolkit import Better, Cells, Entries, NumberModality, Parsed, Records, at_least_float32, split_entries


class Attributes(YesNo, NumberModality):
    """K binary attributes, each from a column of its own, with a Bernoulli likelihood each.

    A cell maps columns to no or yes. Some attributes may be unknown; if all are, the cell is missing. The networks are
    those of the attributes of CelebA in Wu & Goodman 2018, section 4.1.
    """

    kind: Literal["attributes"] = "attributes"

    @model_validator(mode="after")
    def _has_columns(self) -> Self:
        if self.columns is None:
            raise ValueError("attributes needs columns; name them, as columns: [Male, Smiling], or use kind: binary")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attributes, which are those of the columns."""
        assert self.columns is not None
        return self.columns

    # Data.

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Three attributes."""
        return (cls(columns=("Bald", "Male", "Smiling")),)

    def example_cells(self) -> Cells:
        """Rows; some lack one attribute."""
        no, yes = super().example_cells()
        first, *rest = self.names
        whole = [dict.fromkeys(self.names, no), dict.fromkeys(self.names, yes), {first: no, **dict.fromkeys(rest, yes)}]
        return [*whole, {first: yes}, *([dict.fromkeys(rest, no)] if rest else [])]

    def entries(self, cells: Cells) -> Sequence[Cells]:
        """Column by column."""
        if isinstance(cells, Records):
            return list(cells.columns.values())
        return [[cell.get(name) for cell in cells if isinstance(cell, Mapping)] for name in self.names]

    def numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """A column as 0 and 1, each distinct cell read once."""
        return self.read(cells)

    def parse_column(self, cells: Cells) -> Parsed:
        """Parse cells as uint8, an eighth of the size of float64."""
        parsed = super().parse_column(cells)
        return Parsed(parsed.stored.to(torch.uint8), parsed.present, parsed.faults)

    # Networks.

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """Two layers with batch normalisation (Wu & Goodman 2018, section 4.1): 377,032 parameters for K = 18."""
        first = [nn.Linear(self.size, WIDTH), nn.BatchNorm1d(WIDTH), nn.SiLU()]
        return Encoder(nn.Sequential(_Signs(), *first), width, extra, norm=True)

    def branch(self, width: int) -> nn.Module:
        """The first layer alone, without batch normalisation."""
        return nn.Sequential(_Signs(), nn.Linear(self.size, width), nn.SiLU())

    @property
    def condition_size(self) -> int:
        """K."""
        return self.size

    def condition(self, x: Tensor) -> Tensor:
        """1 for yes, -1 for no, 0 if unknown: (N, K)."""
        return signs(x).float()

    def decoder(self, size: int) -> nn.Module:
        """Three layers with batch normalisation to the logits."""
        return AttributesDecoder(self, mlp(size, WIDTH, WIDTH, WIDTH, self.size, norm=True))

    def head(self, size: int) -> nn.Module:
        """One layer to the logits."""
        return AttributesDecoder(self, mlp(size, self.size))

    # Scores.

    def bernoulli(self, p: Distribution) -> distributions.Bernoulli:
        """The base distribution, which does not say which attributes are known: batch (N, K)."""
        assert isinstance(p, Entries)
        assert isinstance(p.base, distributions.Bernoulli)
        return p.base

    def point(self, p: Distribution) -> Tensor:
        """The more probable value of each attribute, all known: (N, 2, K)."""
        assert isinstance(p, Entries)
        return p.whole((self.bernoulli(p).logits > 0).float())

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The more probable value of each attribute over all draws, all known: (N, 2, K)."""
        assert isinstance(p, Entries)
        return p.whole((self.average(p, draws) > 0.5).float())

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The accuracy: 1 if an attribute is right, else 0."""
        said, true = (split_entries(value, self.single)[0] > 0.5 for value in (point, x))
        return {"accuracy": (said == true).float()}

    def entry_better(self) -> dict[str, Better]:
        """An accuracy is better high."""
        return {"accuracy": "high"}

    def text(self, value: Tensor) -> str:
        """The names of the attributes that a value has."""
        on = (value > 0.5).all(0).tolist()  # yes, and known
        return ", ".join(name for name, shown in zip(self.names, on, strict=True) if shown) or "none"


def signs(x: Tensor) -> Tensor:
    """Attributes (N, 2, K) as 1 for yes and -1 for no: (N, K).

    0 where unknown: it differs from both, and the networks keep the size that they have where all is known.
    """
    values, known = split_entries(x, single=False)
    return (2 * values - 1) * known


class _Signs(nn.Module):
    """`signs` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 2, K) to (N, K)."""
        return signs(x)


class AttributesDecoder(nn.Module):
    """From z (N, size) to the distribution of the attributes, by layers from z to their logits (N, K)."""

    def __init__(self, modality: Attributes, layers: nn.Module) -> None:
        super().__init__()
        self.distribution = modality.distribution
        self.layers = layers

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event (2, K)."""
        return self.distribution(distributions.Bernoulli(logits=at_least_float32(self.layers(z)), validate_args=False))
