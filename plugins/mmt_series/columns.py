"""Reads series whose numbers have a column each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmt_series.cells import Reader
from mmtoolkit import Cells, Records


def read_columns(reader: Reader, names: Sequence[str], cells: Cells) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Rows as numbers (N, L, 1), NaN where unknown, and row -> its faults.

    Args:
        reader: of the numbers.
        names: the L columns in the order of time.
        cells: `Records`, or a mapping column -> number for each row, None where it is missing.
    """
    faults: dict[int, str] = {}
    columns = cells.columns if isinstance(cells, Records) else _columns_of(names, cells, faults)
    values = np.full((len(cells), len(names), 1), np.nan)
    for place, name in enumerate(names):
        values[:, place, 0], of_column = reader.column(columns[name])
        for row, fault in of_column.items():
            faults[row] = ". ".join([*([faults[row]] if row in faults else []), f"{name}: {fault}"])
    return values, faults


def _columns_of(names: Sequence[str], cells: Cells, faults: dict[int, str]) -> dict[str, Sequence[Any]]:
    """Mappings as columns; adds a fault for each row that is no mapping, or that names an unknown column."""
    rows: list[Mapping[str, Any]] = []
    for row, cell in enumerate(cells):
        if cell is not None and not isinstance(cell, Mapping):
            faults[row] = f"{cell!r} is not a mapping; write {{{names[0]}: NUMBER}}"
        elif unknown := [str(name) for name in cell or () if name not in names]:
            faults[row] = f"there is no column {unknown[0]!r}; the columns are {', '.join(names)}"
        rows.append(cell if isinstance(cell, Mapping) else {})
    return {name: [cell.get(name) for cell in rows] for name in names}
