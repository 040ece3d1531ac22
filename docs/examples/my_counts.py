"""A plugin in one file: counts with a Poisson likelihood, and a source of simulated counts to try them on."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution, Poisson

from mmtoolkit import Better, Columns, Component, Modality, Source, Table, at_least_float32, hookimpl


class Tally(Modality):
    """How often something happened: 0, 1, 2, … with a Poisson likelihood."""

    kind: Literal["tally"] = "tally"

    hidden: PositiveInt = 64
    """Units of the hidden layers."""
    typical: PositiveFloat | None = None
    """A typical count, the unit of the networks' inputs and rates. By default the training mean."""

    # Data.

    def event_shape(self) -> tuple[int, ...]:
        """A single number."""
        return ()

    def fit(self, chunks: Iterable[Sequence[Any]]) -> Self:
        """Learn the typical count. Cells that cannot be read are left out here; preparing the data reports them."""
        if self.typical is not None:
            return self
        total, number = 0.0, 0
        for cells in chunks:
            parsed = self.parse_column(cells)
            total, number = total + parsed.stored[parsed.present].sum().item(), number + int(parsed.present.sum())
        return type(self).model_validate({**self.model_dump(), "typical": max(total / max(number, 1), 0.01)})

    def parse(self, cell: Any) -> Tensor:
        """A cell, a number or its digits, as int64."""
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError):
            number = -1.0
        if number < 0 or not number.is_integer():
            raise ValueError(f"{cell!r} is no count; give 0 or a positive whole number")
        return torch.tensor(int(number))

    def example_cells(self) -> list[int]:
        """Cells to try it with."""
        return [0, 3, 12, 5]

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Counts as float32, which networks and likelihood read."""
        return stored.to(torch.float32)

    def cell(self, value: Tensor) -> int:
        """Convert a value to a cell of a table."""
        return int(value)

    # Networks.

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """Two layers that read the logarithm of the count."""
        return CountEncoder(self._unit, self.hidden, width, extra)

    def decoder(self, size: int) -> nn.Module:
        """Two layers to the rate of a Poisson distribution."""
        return CountDecoder(self._unit, self.hidden, size)

    @property
    def _unit(self) -> float:
        if self.typical is None:
            raise ValueError("the typical count is not known yet; give it, or let `fit` learn it")
        return self.typical

    # Scores.

    def point(self, p: Distribution) -> Tensor:
        """The mode, a whole number."""
        return p.mode

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """How far off a count is."""
        return {"absolute_error": (point - x).abs()}

    def better(self) -> dict[str, Better]:
        """An error is better low."""
        return {"absolute_error": "low"}


class CountEncoder(nn.Module):
    """From counts (N,) and a condition (N, extra) to features (N, width)."""

    def __init__(self, unit: float, hidden: int, width: int, extra: int) -> None:
        super().__init__()
        self.unit = unit
        self.layers = nn.Sequential(nn.Linear(1 + extra, hidden), nn.SiLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        features = torch.log1p(x / self.unit).unsqueeze(1)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        return self.layers(features)


class CountDecoder(nn.Module):
    """From z (N, size) to a Poisson distribution with batch (N,) and event ()."""

    def __init__(self, unit: float, hidden: int, size: int) -> None:
        super().__init__()
        self.unit = unit
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    def forward(self, z: Tensor) -> Distribution:
        """The rate is positive and finite, whatever z is; densities are taken in float32 or better."""
        features = at_least_float32(self.layers(z)).squeeze(1)
        return Poisson(self.unit * F.softplus(features) + 1e-6, validate_args=False)


class Birds(Source):
    """Simulated counts of two kinds of birds at sites of three habitats. Columns: `habitat`, `heron`, `lark`."""

    kind: Literal["birds"] = "birds"

    sites: PositiveInt = 2000
    """Rows of the training split; the others have a quarter of them."""
    missing: float = Field(default=0.3, ge=0, lt=1)
    """The share of cells that is missing."""

    def splits(self) -> tuple[str, ...]:
        """Train, valid and test."""
        return "train", "valid", "test"

    def files(self) -> Sequence[Path]:
        """None: the rows follow from the options."""
        return []

    def load(self, split: str) -> Table:
        """Habitats by name, counts as whole numbers, None where missing."""
        place = self.splits().index(split)
        draw = np.random.default_rng(place)
        rows = self.sites if split == "train" else max(self.sites // 4, 1)
        habitat = draw.integers(3, size=rows)
        columns = {
            "habitat": np.array(["marsh", "meadow", "wood"])[habitat].tolist(),
            "heron": draw.poisson(np.array([12.0, 2.0, 0.3])[habitat]).tolist(),
            "lark": draw.poisson(np.array([1.0, 20.0, 3.0])[habitat]).tolist(),
        }
        return Columns(
            {name: [None if draw.random() < self.missing else x for x in cells] for name, cells in columns.items()}
        )


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Tally, Birds]
