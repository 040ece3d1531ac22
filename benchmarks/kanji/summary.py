"""Scores of columns over masks, and paired differences of two methods."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

Errors = Mapping[str, Sequence[float]]
"""Column -> the errors of its hidden cells over all masks, as `filling.scores.errors` has them."""


def scores(errors: Errors, numbers: Collection[str]) -> dict[str, float]:
    """Column -> accuracy of classes, or root mean squared error of numbers in standard deviations."""
    return {
        column: math.sqrt(np.mean(cells)) if column in numbers else 1 - float(np.mean(cells))
        for column, cells in errors.items()
    }


def gains(ours: Errors, theirs: Errors, numbers: Collection[str]) -> dict[str, dict[str, float]]:
    """Column -> how much better ours is, on the same cells, and the standard error of this difference.

    Positive is better: more accuracy, or a lower error of numbers. With root mean squared errors a and b,
    a - b = (a² - b²) / (a + b), whose standard error is that of a² - b² over a + b.
    """
    result = {}
    for column, cells in ours.items():
        gaps = np.subtract(theirs[column], cells)
        scale = 1.0
        if column in numbers:
            scale = math.sqrt(np.mean(cells)) + math.sqrt(np.mean(theirs[column])) or 1.0
        error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
        result[column] = {"gain": float(np.mean(gaps)) / scale, "error": error / scale}
    return result


def mean_gain(of_columns: Mapping[str, Mapping[str, float]], columns: Collection[str]) -> dict[str, float] | None:
    """The mean over some columns, whose cells are hidden independently of each other; None without columns."""
    chosen = [gain for column, gain in of_columns.items() if column in columns]
    if not chosen:
        return None
    error = math.sqrt(sum(gain["error"] ** 2 for gain in chosen)) / len(chosen)
    return {"gain": sum(gain["gain"] for gain in chosen) / len(chosen), "error": error}


def rounded(value: Any) -> Any:
    """The same with four significant digits, and None for NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.4g}")
    return value
