"""How series propose to read a table's column."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmt_series.cells import Reader, decoded, is_list
from mmtoolkit import ColumnSummary, Proposal

_MOST_ODD = 0.5  # the share of cells that may be no list of numbers
_LOOKED_AT = 64
_COST, _COST_OF_NUMBER = 1.0, 0.002


def series_proposal(column: ColumnSummary) -> Proposal | None:
    """Lists of numbers, or texts that hold such lists as JSON."""
    cells, counts = column.cells[:_LOOKED_AT], column.counts[:_LOOKED_AT]
    if not cells or not all(isinstance(cell, (str, list, tuple, np.ndarray)) for cell in cells):
        return None
    channels = next((found for cell in cells if (found := _channels(cell)) is not None), None)
    if channels is None:
        return None
    reader = Reader(channels or None)
    read = [_shape(reader, cell) for cell in cells]
    share = sum(count for shape, count in zip(read, counts, strict=True) if shape) / sum(counts)
    if share < 1 - _MOST_ODD:
        return None
    lengths = [shape[0] for shape in read if shape is not None]
    numbers, known = (sum(sizes) for sizes in zip(*(shape[1:] for shape in read if shape is not None), strict=True))
    if not known:
        return None
    least, most = min(lengths), max(lengths)
    about = f"lists of {most if least == most else f'{least}-{most}'} numbers"
    about += f", {channels} at each time" if channels else ""
    about += f"; {(numbers - known) / numbers:.0%} of their numbers are unknown" if known < numbers else ""
    about += f"; {1 - share:.0%} of the first {len(cells)} are none" if share < 1 else ""
    options: dict[str, Any] = {"channels": channels} if channels else {}
    return Proposal(0.95 * share, options, about, cost=_COST + _COST_OF_NUMBER * most * max(channels, 1))


def _channels(cell: Any) -> int | None:
    """How many numbers a cell has at each time, 0 if it is a plain list; None if it is no list of numbers."""
    listed = decoded(cell)
    if not is_list(listed):
        return None
    first = next((entry for entry in listed if entry is not None), None)
    channels = len(first) if is_list(first) else 0
    shape = _shape(Reader(channels or None), cell)
    return channels if shape is not None and shape[2] else None


def _shape(reader: Reader, cell: Any) -> tuple[int, int, int] | None:
    """The times of a cell, its numbers and the known ones; None if it cannot be read."""
    try:
        values, faults = reader.read(cell)
    except ValueError:
        return None
    return None if faults else (len(values), values.size, int((~np.isnan(values)).sum()))
