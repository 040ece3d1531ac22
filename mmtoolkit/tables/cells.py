"""The cells of a column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

Cells = Sequence[Any] | NDArray[Any]
"""Cells of a column, None where missing; or an array, if no cell is missing."""
