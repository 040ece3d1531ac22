"""Writes times in the type of a column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
import pyarrow as pa

Write = Callable[[datetime], Any]
"""Writes a time without a zone, or in UTC, as a cell."""


def is_temporal(kind: Any) -> bool:
    """Whether an Arrow type, or None, is one of dates or times."""
    return kind is not None and bool(pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind))


def typed_writer(kind: pa.DataType, write_iso: Callable[[datetime], str]) -> Write:
    """Writes times as texts that convert to an Arrow type."""
    if pa.types.is_date(kind):
        return lambda moment: moment.date().isoformat()
    if pa.types.is_timestamp(kind):
        zone = "" if kind.tz is None else "+00:00"
        digits = "seconds" if kind.unit == "s" else "milliseconds" if kind.unit == "ms" else "microseconds"
        return lambda moment: moment.isoformat(timespec=digits) + zone
    return write_iso


def like_type(cell: Any) -> Write:
    """Writes times in the type of a cell and in its zone."""
    if isinstance(cell, np.datetime64):
        return lambda moment: np.datetime64(moment).astype(cell.dtype)
    if isinstance(cell, datetime):
        return lambda moment: _replaced(cell, moment)
    if isinstance(cell, date):
        return lambda moment: cell.replace(moment.year, moment.month, moment.day)
    assert isinstance(cell, time)
    return lambda moment: cell.replace(moment.hour, moment.minute, moment.second, moment.microsecond)


def _replaced(cell: datetime, moment: datetime) -> datetime:
    """A time in the type of another and in its zone: `replace` keeps both, of the Timestamp of pandas too."""
    if cell.tzinfo is not None:
        moment = moment.replace(tzinfo=UTC).astimezone(cell.tzinfo)
    return cell.replace(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond,
        fold=moment.fold,
    )  # fmt: skip
