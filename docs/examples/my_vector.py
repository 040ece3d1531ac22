"""A modality of several counts that go together, any of which may be unknown, with a Poisson likelihood each."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution, Poisson

from mmtoolkit import Component, NumberModality, hookimpl, split_entries
from mmtoolkit.posterior import at_least_float32


class Counts(NumberModality):
    """K counts, each from a column of its own; without `columns` a single one."""

    kind: Literal["counts"] = "counts"

    hidden: PositiveInt = 64
    """Units of the hidden layers."""

    def number(self, cell: Any, place: int) -> float:
        """What one entry stands for; NaN would be unknown."""
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = -1.0
        if number < 0 or not number.is_integer():
            raise ValueError(f"{cell!r} is no count; give 0 or a positive whole number")
        return number

    def entry(self, number: float, place: int) -> int:
        """What a table holds for one entry."""
        return round(number)

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Stored in float64, read in float32."""
        return stored.to(torch.float32)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """Two layers that read each count, and whether it is known."""
        return CountsEncoder(self, width, extra)

    def decoder(self, size: int) -> nn.Module:
        """Two layers to the rate of each count."""
        return CountsDecoder(self, size)

    def point(self, p: Distribution) -> Tensor:
        """The rates as whole numbers, all of them known."""
        return p.mean.round()


class CountsEncoder(nn.Module):
    """From counts (N,) or (N, 2, K) and a condition (N, extra) to features (N, width)."""

    def __init__(self, modality: Counts, width: int, extra: int) -> None:
        super().__init__()
        self.single = modality.single
        self.layers = nn.Sequential(
            nn.Linear(2 * modality.size + extra, modality.hidden), nn.SiLU(), nn.Linear(modality.hidden, width)
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        values, known = split_entries(x, self.single)  # (N, K) each; an unknown value is 0
        features = torch.cat([values.log1p(), known.to(values)], dim=1)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        return self.layers(features)


class CountsDecoder(nn.Module):
    """From z (N, size) to the likelihood of the known counts."""

    def __init__(self, modality: Counts, size: int) -> None:
        super().__init__()
        self.modality = modality
        self.layers = nn.Sequential(
            nn.Linear(size, modality.hidden), nn.SiLU(), nn.Linear(modality.hidden, modality.size)
        )

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event () or (2, K)."""
        rate = F.softplus(at_least_float32(self.layers(z))) + 1e-6  # (N, K)
        return self.modality.distribution(Poisson(rate, validate_args=False))


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Counts]
