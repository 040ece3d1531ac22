"""Writes numbers with as many decimals as known ones have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGITS = 6  # of numbers as large as their spread, where they have no end of decimals
_NOISE, _NOISE_OF_SINGLE = 1e-13, 1e-7  # of a number: what float64 and float32 cannot tell apart


def decimals_of(values: NDArray[np.float64]) -> int:
    """How many decimals all known numbers have, up to six digits of their spread; NaN is unknown."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0
    centre = known - known.mean()
    spread = float(np.abs(centre).max()) or float(np.abs(known).max()) or 1.0
    most = max(0, _DIGITS - math.floor(math.log10(spread)))
    with np.errstate(over="ignore"):
        single = known.astype(np.float32) == known
    noise = np.where(single, _NOISE_OF_SINGLE, _NOISE) * np.abs(known)
    for decimals in range(most):
        more = np.abs(known - np.round(known, decimals)) > noise
        known, noise = known[more], noise[more]
        if not len(known):
            return decimals
    return most


def rounded(cell: Any, decimals: int | None) -> Any:
    """A number, or each number in nested lists, with some decimals; with 0 it is whole. None stays."""
    if isinstance(cell, list):
        return [rounded(entry, decimals) for entry in cell]
    if decimals is None or cell is None:
        return cell
    return round(cell) if decimals == 0 else round(cell, decimals) + 0.0  # never -0.0
