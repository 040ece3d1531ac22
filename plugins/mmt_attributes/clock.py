"""Times as numbers: days since 1970 in float64, how finely they are known, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmt_attributes.date_format import EPOCH

Resolution = Literal["year", "month", "day", "hour", "minute", "second", "millisecond", "microsecond"]
"""How finely times are known."""

MICROSECONDS = 86_400_000_000  # of a day
_UNITS: dict[Resolution, int] = {
    "day": MICROSECONDS,
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1000,
    "microsecond": 1,
}
_FIRST, _LAST = (datetime.min - EPOCH).days, (datetime.max - EPOCH).days
_FEWEST_MONTHS = 3  # distinct ones, from which it is no chance that all days are the first


def days_of(moment: datetime) -> float:
    """The days since the beginning of 1970, of a time with a zone those in UTC.

    They are exact to the microsecond from 1790 to 2149, and to the millisecond in all years.
    """
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    since = moment - EPOCH
    return since.days + (since.seconds * 1_000_000 + since.microseconds) / MICROSECONDS


def moment_of(days: float) -> datetime:
    """The time so many days after the beginning of 1970, to the microsecond; the nearest one of the years 1 to 9999."""
    whole, part = _split(np.array([min(max(days, _FIRST), _LAST + 1)]))
    microseconds = int(whole[0]) * MICROSECONDS + int(part[0])
    return EPOCH + timedelta(microseconds=min(microseconds, (_LAST + 1) * MICROSECONDS - 1))


def _split(days: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whole days, and the microseconds of the day, which are whole too."""
    whole = np.floor(days)
    return whole, np.round((days - whole) * MICROSECONDS)


def rounded(days: NDArray[np.float64], resolution: Resolution) -> NDArray[np.float64]:
    """The nearest times that are known so finely, as days."""
    if resolution in ("year", "month"):
        unit = "datetime64[Y]" if resolution == "year" else "datetime64[M]"
        start = np.floor(np.clip(days, _FIRST, _LAST)).astype("datetime64[D]").astype(unit)
        below, above = (date.astype("datetime64[D]").astype(np.float64) for date in (start, start + 1))
        return np.where(days - below <= above - days, below, above)
    whole, part = _split(days)
    unit_size = _UNITS[resolution]
    return whole + np.round(part / unit_size) * unit_size / MICROSECONDS


def resolution_of(days: NDArray[np.float64]) -> Resolution:
    """The coarsest resolution that loses nothing of some times."""
    _, part = _split(days)
    part = part.astype(np.int64)
    resolution = next(name for name, unit in _UNITS.items() if not (part % unit).any())
    if resolution != "day":
        return resolution
    distinct = np.unique(days)
    if len(distinct) >= _FEWEST_MONTHS:
        for coarser in ("year", "month"):
            if np.array_equal(rounded(distinct, coarser), distinct):
                return coarser
    return "day"
