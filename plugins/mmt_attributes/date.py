"""The date modality: dates, and dates with a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_attributes.clock import Resolution, days_of, moment_of
from mmt_attributes.date_format import date_format
from mmt_attributes.date_proposals import moment_proposal
from mmt_attributes.moment import Moment
from mmt_attributes.moments import SMALLEST, Standardisation
from mmtoolkit import (
    MLP,
    Architecture,
    Cells,
    ColumnSummary,
    Form,
    GaussianLikelihood,
    Likelihood,
    Numbers,
    Part,
    Proposal,
)

Cycle = Literal["year", "week", "day"]

_LENGTHS: dict[Cycle, float] = {"year": 365.2425, "week": 7.0, "day": 1.0}  # days; a year as the calendar has it
_FINER: dict[Cycle, tuple[Resolution, ...]] = {
    # The resolutions that say where in a cycle a time lies.
    "year": ("month", "day", "hour", "minute", "second", "millisecond", "microsecond"),
    "week": ("day", "hour", "minute", "second", "millisecond", "microsecond"),
    "day": ("hour", "minute", "second", "millisecond", "microsecond"),
}
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d.*)?", re.ASCII)
_FARTHEST = 1000.0  # standardised dates are cut off here
_MEAN_YEAR = 365.2425
_EXAMPLES = ("2024-03-05T00:00:00", "2019-11-30T00:00:00", "2024-02-29T00:00:00", "2021-07-14T00:00:00")


class Date(Moment):
    """A date, or a date with a time of day.

    A cell is a date in a type of its own, or a text or whole number of the format. A value is a number of days since
    the beginning of 1970 in float64, exact to the microsecond; with a zone, in UTC. The likelihood is of this number.
    Encoders read it standardised, and where it lies in the year, the week and the day, as sine and cosine.
    """

    kind: Literal["date"] = "date"
    noun: ClassVar[str] = "date"
    plural: ClassVar[str] = "dates"
    unit: ClassVar[str] = "days since the beginning of 1970, the time of day as a fraction; in UTC if it has a zone"
    example: ClassVar[str] = "2024-03-05"
    usual_format: ClassVar[str] = "%d.%m.%Y"

    network: Part[Architecture] = MLP()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = GaussianLikelihood()
    """The distribution of a date in days, given z; student_t suits columns with a few dates far from all others."""
    cycles: tuple[Literal["year", "week", "day"], ...] | None = None
    """The cycles in which an encoder reads where a date lies: year, week, day. By default learned: those that the
    resolution shows, and that the training dates go through once or more."""
    mean: float | None = None
    """The mean in days since the beginning of 1970, for standardisation. By default learned; for a likelihood that
    allows for outliers, such as student_t, the median."""
    std: Annotated[float, Field(ge=SMALLEST)] | None = None
    """The standard deviation in days, for standardisation. By default learned; for a likelihood that allows for
    outliers, that of a normal distribution with the same quartiles."""

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of dates, or leave it out if day and month cannot be told apart."""
        return moment_proposal(cls(), column)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Dates, and dates with times in a format of one's own."""
        return cls(), cls(format="%-m/%-d/%Y %I:%M %p")

    def example_texts(self) -> Sequence[str]:
        """Days."""
        return _EXAMPLES if self.format not in (None, "iso") else tuple(text[:10] for text in _EXAMPLES)

    # Cells.

    @classmethod
    def holds(cls, format: str) -> bool:
        """A year and a month."""
        return date_format(format).has_date

    def value_of(self, cell: datetime | date | time) -> float:
        """Days since the beginning of 1970."""
        if isinstance(cell, time):
            raise ValueError(f"{cell} is a time of day, no date; use kind: time")
        return days_of(cell if isinstance(cell, datetime) else datetime(cell.year, cell.month, cell.day))

    def moment(self, value: float) -> datetime:
        """The time so many days after the beginning of 1970."""
        return moment_of(value)

    def read_iso(self, text: str) -> datetime | None:
        """A date, perhaps with a time and a zone."""
        try:
            return datetime.fromisoformat(text) if _ISO.fullmatch(text) else None
        except ValueError:
            return None

    def write_iso(self, moment: datetime) -> str:
        """A date; with a time if the resolution is finer than a day."""
        with_time = self._known_resolution not in ("year", "month", "day")
        return moment.isoformat() if with_time else moment.date().isoformat()

    def in_days(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values themselves."""
        return values

    def from_days(self, days: NDArray[np.float64]) -> NDArray[np.float64]:
        """The days themselves."""
        return days

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn format, resolution, cycles, mean and standard deviation."""
        if None not in (self.format, self.resolution, self.cycles, self.mean, self.std):
            return self
        modality, days = self.learned(chunks)
        standard = Standardisation(1, self.likelihood.robust)
        standard.add(days[:, None], np.ones((len(days), 1), dtype=np.bool_))
        ((mean,), (std,)) = standard.result()
        return modality.with_options(
            cycles=modality._cycles_of(days) if self.cycles is None else self.cycles,
            mean=mean if self.mean is None else self.mean,
            std=std if self.std is None else self.std,
        )

    def _cycles_of(self, days: NDArray[np.float64]) -> tuple[Cycle, ...]:
        span = np.ptp(days)
        return tuple(
            cycle for cycle, length in _LENGTHS.items() if self._known_resolution in _FINER[cycle] and span >= length
        )

    def shades(self, name: str, value: Tensor) -> dict[str, float | str]:
        """The year, with its fraction."""
        return {name: 1970 + float(value) / _MEAN_YEAR}

    # Networks and scores.

    def outline(self) -> Form:
        """A number."""
        return Numbers(1)

    def form(self) -> Form:
        """A number, of which encoders read the trend and two features for each cycle.

        Raises:
            ValueError: `fit` must learn something first.
        """
        if self.cycles is None or self.mean is None or self.std is None:
            raise ValueError("cycles, mean and std are not known yet; give all, or let `fit` learn them")
        return Numbers(1, features=1 + 2 * len(self.cycles), shift=(self.mean,), scale=(self.std,))

    def reader(self) -> nn.Module:
        """The standardised date, then cosine and sine of where it lies in each cycle."""
        return DateReader(self)

    @property
    def condition_size(self) -> int:
        """As many as an encoder reads."""
        return self.form().shape[0]

    def condition(self, x: Tensor) -> Tensor:
        """What an encoder reads (N, features)."""
        features: Tensor = self.reader().to(x.device)(x)
        return features.float()

    def point(self, p: Distribution) -> Tensor:
        """The mean, to the resolution (N,)."""
        return self.rounded(p.mean)

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The mean over all draws, to the resolution (N,)."""
        return self.rounded(p.mean.unflatten(0, (draws, -1)).mean(0))

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean, to the resolution: ()."""
        return self.rounded(super().baseline(chunks))


class DateReader(nn.Module):
    """What networks read of dates (N,), in float64: (N, 1 + 2 cycles).

    Args:
        modality: knows the cycles, mean and std.
    """

    lengths: Tensor

    def __init__(self, modality: Date) -> None:
        super().__init__()
        (self.mean,), (self.std,) = modality.form().shift, modality.form().scale
        lengths = torch.tensor([_LENGTHS[cycle] for cycle in modality.cycles or ()], dtype=torch.float64)
        self.register_buffer("lengths", lengths, persistent=False)  # the options keep them

    def forward(self, x: Tensor) -> Tensor:
        """The trend, cosines, sines."""
        days = x.double().unsqueeze(1)
        trend = ((days - self.mean) / self.std).clamp(-_FARTHEST, _FARTHEST)
        angles = 2 * torch.pi * (days / self.lengths).frac()
        return torch.cat([trend, angles.cos(), angles.sin()], dim=1)
