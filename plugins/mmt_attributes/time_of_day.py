"""The time modality: times of day, which come round again at midnight."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_attributes.clock import days_of, moment_of
from mmt_attributes.date_format import EPOCH, date_format
from mmt_attributes.date_proposals import moment_proposal
from mmt_attributes.moment import Moment
from mmtoolkit import (
    MLP,
    Architecture,
    Cells,
    ColumnSummary,
    Entries,
    Form,
    Likelihood,
    Numbers,
    Part,
    Proposal,
    VonMisesLikelihood,
)

_HOURS = 24.0
_RADIUS = _HOURS / (2 * math.pi)
_LARGEST_STD = _HOURS / math.sqrt(12)  # that of times that are spread evenly over the day
_ISO = re.compile(r"\d\d:\d\d.*", re.ASCII)
_EXAMPLES = ("06:30", "23:45", "00:10", "12:00")


class TimeOfDay(Moment):
    """A time of day, such as 23:45, which is near 00:10.

    A cell is a time in a type of its own, or a text of the format. A value is a number of hours since midnight.
    Encoders read its sine and cosine, and the mean of times and their errors are taken around the clock.
    """

    kind: Literal["time"] = "time"
    noun: ClassVar[str] = "time of day"
    plural: ClassVar[str] = "times of day"
    unit: ClassVar[str] = "hours since midnight"
    example: ClassVar[str] = "06:30"
    usual_format: ClassVar[str] = "%H:%M"

    network: Part[Architecture] = MLP()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = VonMisesLikelihood()
    """The distribution of a time in hours, given z: one of cyclic numbers."""

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of times of day."""
        return moment_proposal(cls(), column)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Times to the minute, and in a format of one's own."""
        return cls(), cls(format="%I:%M:%S %p")

    def example_texts(self) -> Sequence[str]:
        """Times around the clock."""
        return _EXAMPLES

    # Cells.

    @classmethod
    def holds(cls, format: str) -> bool:
        """An hour, and no date."""
        of = date_format(format)
        return of.has_time and not of.has_date_parts and "zone" not in of.parts

    def value_of(self, cell: datetime | date | time) -> float:
        """Hours since midnight."""
        if isinstance(cell, datetime) and cell.date() == EPOCH.date():
            cell = cell.time()
        if not isinstance(cell, time):
            raise ValueError(f"{cell} is a date, no time of day; use kind: date")
        if cell.tzinfo is not None:
            raise ValueError(f"{cell} has a zone, and times of day have none; write local times")
        return _HOURS * days_of(datetime.combine(EPOCH, cell))

    def moment(self, value: float) -> datetime:
        """The time of the first of January 1970."""
        return moment_of(value / _HOURS % 1.0)

    def read_iso(self, text: str) -> datetime | None:
        """A time such as 06:30 or 06:30:15.5."""
        try:
            return datetime.combine(EPOCH, time.fromisoformat(text)) if _ISO.fullmatch(text) else None
        except ValueError:
            return None

    def write_iso(self, moment: datetime) -> str:
        """A time with seconds."""
        return moment.time().isoformat()

    def in_days(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of the day."""
        return values / _HOURS

    def from_days(self, days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hours; midnight is 0."""
        return _HOURS * (days % 1.0)

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn format and resolution."""
        if self.format is not None and self.resolution is not None:
            return self
        modality, _ = self.learned(chunks)
        return modality

    def shades(self, name: str, value: Tensor) -> dict[str, float | str]:
        """Hours."""
        return {name: float(value)}

    # Networks.

    def form(self) -> Form:
        """A cyclic number, of which encoders read cosine and sine."""
        return Numbers(1, features=2, support="cyclic", shift=(0.0,), scale=(_RADIUS,))

    def reader(self) -> nn.Module:
        """Cosine and sine."""
        return ClockReader()

    @property
    def condition_size(self) -> int:
        """2."""
        return 2

    def condition(self, x: Tensor) -> Tensor:
        """Cosine and sine (N, 2)."""
        features: Tensor = ClockReader()(x)
        return features.float()

    # Predictions: means around the clock.

    def point(self, p: Distribution) -> Tensor:
        """The mean direction, to the resolution (N,)."""
        return self.rounded(p.mean)

    def average(self, p: Distribution, draws: int) -> tuple[Tensor, Tensor]:
        """The mean direction over draws, and the standard deviation around the clock (N,), in hours.

        The variance of a distribution of hours is -2 r² log R with r = 24 / 2π: R is the length of its mean vector.
        """
        assert isinstance(p, Entries)
        angle, length = p.base.mean / _RADIUS, (p.base.variance / (-2 * _RADIUS**2)).exp()
        vectors = torch.cat([length * angle.cos(), length * angle.sin()], dim=1).unflatten(0, (draws, -1)).mean(0)
        mean = _RADIUS * torch.atan2(vectors[:, 1], vectors[:, 0]).remainder(2 * torch.pi)
        std = _RADIUS * (-2 * vectors.norm(dim=1).clamp(1e-6, 1.0).log()).sqrt()
        return mean, std.clamp(max=_LARGEST_STD)

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The mean direction over all draws, to the resolution (N,)."""
        return self.rounded(self.average(p, draws)[0])

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`std`: the standard deviation around the clock, in hours; at most that of times spread evenly."""
        return {self.source_columns(name)[0]: {"std": self.average(p, draws)[1]}}

    def part_numbers(self, x: Tensor) -> None:
        """None: times shortly before and after midnight are near, and their numbers are not."""

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean direction, to the resolution: ()."""
        vector = sum((ClockReader()(x.cpu()).sum(0) for x in chunks), torch.zeros(2, dtype=torch.float64))
        return self.rounded(_RADIUS * torch.atan2(vector[1], vector[0]).remainder(2 * torch.pi).reshape(1))[0]

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The squared and the absolute error around the clock, in hours."""
        off = (point.double() - x.double()).unsqueeze(1).remainder(_HOURS)
        error = torch.minimum(off, _HOURS - off)
        return {"squared_error": error.square(), "absolute_error": error}


class ClockReader(nn.Module):
    """From hours (N,) to their cosine and sine around the clock (N, 2), float64."""

    def forward(self, x: Tensor) -> Tensor:
        """Cosine, sine."""
        angle = x.double().unsqueeze(1) / _RADIUS
        return torch.cat([angle.cos(), angle.sin()], dim=1)
