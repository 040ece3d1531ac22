"""A modality of angles: a von Mises likelihood, both of whose parameters the decoder gives."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution, VonMises

from mmtoolkit import Better, Component, Modality, at_least_float32, hookimpl

# Where a distribution is narrower than about 2°, single precision has too few digits for its density.
_MOST_CONCENTRATION = 1000.0

_HALF = 3.1415925  # the largest number below π in single precision


class Angle(Modality):
    """A direction, a time of day, or whatever else comes round again.

    Networks and likelihood read radians in [-π, π); log-probabilities are of densities per radian.
    """

    kind: Literal["angle"] = "angle"

    turn: PositiveFloat = 360.0
    """How much of the table's unit a full turn is: 360 for degrees, 24 for hours."""
    hidden: PositiveInt = 64
    """Units of the hidden layers."""

    # Data.

    def event_shape(self) -> tuple[int, ...]:
        """A single number."""
        return ()

    def parse(self, cell: Any) -> Tensor:
        """A number, or its digits, in radians."""
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{cell!r} is no angle; give a number, of which {self.turn:g} is a full turn")
        angle = wrapped(torch.tensor(number / self.turn % 1.0 * 2 * math.pi, dtype=torch.float64))
        return angle.float().clamp(-_HALF, _HALF)  # rounded past half a turn, it would come back on the other side

    def cell(self, value: Tensor) -> float:
        """From 0 up to a full turn, in the table's unit."""
        return float(value) / (2 * math.pi) % 1.0 * self.turn

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean direction."""
        directions = torch.stack([directions_of(x).double().sum(0).cpu() for x in chunks] or [torch.zeros(2).double()])
        cosine, sine = directions.sum(0)
        return torch.atan2(sine, cosine).float()

    # Networks.

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """Two layers that read the direction as a point on the circle."""
        return AngleEncoder(self.hidden, width, extra)

    @property
    def condition_size(self) -> int:
        """The two coordinates of a point on the circle."""
        return 2

    def condition(self, x: Tensor) -> Tensor:
        """That point: (N, 2)."""
        return directions_of(x)

    def decoder(self, size: int) -> nn.Module:
        """Two layers to the direction and the concentration of a von Mises distribution."""
        return AngleDecoder(self.hidden, size)

    # Scores.

    def average(self, p: Distribution, draws: int) -> tuple[Tensor, Tensor]:
        """The mean direction over draws, and its circular standard deviation, (-2 log R)^½ (Mardia 1972): (N,) each."""
        # In double precision: of equal draws R is 1, and the root magnifies what is rounded.
        cosine, sine = directions_of(p.mean.double()).unflatten(0, (draws, -1)).mean(0).unbind(-1)
        spread = (-2 * torch.hypot(cosine, sine).clamp(1e-9, 1.0).log()).sqrt()
        return torch.atan2(sine, cosine).float(), spread.float()

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The mean direction over draws: 359° and 1° lie about 0°."""
        cosine, sine = directions_of(self.point(p)).unflatten(0, (draws, -1)).mean(0).unbind(-1)
        return torch.atan2(sine, cosine).clamp(-_HALF, _HALF)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """How far off a direction is, in the table's unit, at most half a turn."""
        return {"angular_error": wrapped(point - x).abs() / (2 * math.pi) * self.turn}

    def better(self) -> dict[str, Better]:
        """An error is better low."""
        return {"angular_error": "low"}

    def text(self, value: Tensor) -> str:
        """To four digits."""
        return f"{self.cell(value):.4g}"


def wrapped(x: Tensor) -> Tensor:
    """The same angles in [-π, π)."""
    return (x + math.pi).remainder(2 * math.pi) - math.pi


def directions_of(x: Tensor) -> Tensor:
    """Points on the circle: (N, 2) of angles (N,)."""
    return torch.stack([x.cos(), x.sin()], dim=-1)


class AngleEncoder(nn.Module):
    """From angles (N,) and a condition (N, extra) to features (N, width)."""

    def __init__(self, hidden: int, width: int, extra: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 + extra, hidden), nn.SiLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        features = directions_of(x)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        output: Tensor = self.layers(features)
        return output


class AngleDecoder(nn.Module):
    """From z (N, size) to a von Mises distribution with batch (N,) and event ()."""

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, 3))

    def forward(self, z: Tensor) -> Distribution:
        """The direction is that of a vector, so that it has no seam; the concentration is positive and bounded."""
        cosine, sine, concentration = at_least_float32(self.layers(z)).unbind(-1)
        concentration = F.softplus(concentration).clamp(1e-3, _MOST_CONCENTRATION)
        return VonMises(torch.atan2(sine, cosine), concentration, validate_args=False)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Angle]
