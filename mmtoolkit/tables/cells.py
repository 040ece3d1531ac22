"""The cells of a column of a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = Sequence[Any] | NDArray[Any]
"""Cells of a column, None where missing; or an array, if no cell is missing."""


def is_nothing(cell: Any) -> bool:
    """Whether a cell is what its library has for a missing one: None, NaN of any type, NaT, NA or a masked cell."""
    if cell is None or isinstance(cell, (str, int, bytes)):
        return cell is None
    pandas = sys.modules.get("pandas")
    if cell is np.ma.masked or (pandas is not None and cell is pandas.NA):
        return True
    try:
        return (cell != cell) is True or (isinstance(cell, np.generic) and bool(cell != cell))
    except Exception:  # an object's own comparison may raise anything
        return False
