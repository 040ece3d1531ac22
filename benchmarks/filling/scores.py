"""How far filled cells lie from the truth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from filling.columns import Table

_FEWEST = 10  # hidden cells, over all masks, that say something about a column


def errors(table: Table, hidden: NDArray[np.bool_], filled: pd.DataFrame) -> dict[str, list[float]]:
    """The error of each hidden cell, by column, from the first row to the last, without columns that hide no cell.

    Of classes it is 1 where the class is wrong, else 0. Of numbers it is the square of the error over the variance of
    the column's known values.
    """
    result = {}
    for place, column in enumerate(table.values):
        rows = hidden[:, place]
        if not rows.any():
            continue
        truth, cells = table.values[column].to_numpy()[rows], filled[column].to_numpy()[rows]
        if column in table.numbers:
            distances = (cells.astype(float) - truth.astype(float)) / table.values[column].std(ddof=0)
            result[column] = [float(distance) ** 2 for distance in distances]
        else:
            result[column] = [float(cell != true) for cell, true in zip(cells, truth, strict=True)]
    return result


@dataclass(frozen=True)
class Score:
    """Means over columns: the accuracy of classes, and the root mean squared error of numbers in standard deviations.

    NaN where a table has no such column.
    """

    accuracy: float
    nrmse: float


def score(errors_by_column: Mapping[str, Sequence[float]], numbers: Iterable[str]) -> Score:
    """The score of the errors of one mask."""
    numbers = set(numbers)
    right = [1 - _mean(cells) for column, cells in errors_by_column.items() if column not in numbers]
    distances = [math.sqrt(_mean(cells)) for column, cells in errors_by_column.items() if column in numbers]
    return Score(_mean(right), _mean(distances))


@dataclass(frozen=True)
class Difference:
    """A mean paired difference.

    Attributes:
        mean: over tables and masks.
        error: its standard error, with each (table, mask) a pair of its own.
        clustered: its standard error, with each table one pair: how far other tables may give another mean.
        pairs: how many.
    """

    mean: float
    error: float
    clustered: float
    pairs: int


def difference(values_by_table: Mapping[str, Sequence[float]]) -> Difference:
    """The mean of differences that are given by table, one for each mask; NaN is left out."""
    tables = [[value for value in values if not math.isnan(value)] for values in values_by_table.values()]
    tables = [values for values in tables if values]
    pairs = [value for values in tables for value in values]
    mean = _mean(pairs)
    # Sums of residuals of a table, as its masks are not independent of each other.
    sums = [sum(value - mean for value in values) for values in tables]
    clustered = math.nan
    if len(sums) > 1:
        clustered = math.sqrt(len(sums) / (len(sums) - 1) * sum(x * x for x in sums)) / len(pairs)
    return Difference(mean, _error(pairs), clustered, len(pairs))


def is_worse(ours: Sequence[float], base: Sequence[float]) -> bool | None:
    """Whether a column is filled worse than by its mode or mean, by more than three standard errors.

    They are those of the mean difference of the errors of the same cells, over all masks. None for fewer than 10 cells,
    which say too little.
    """
    if len(ours) < _FEWEST:
        return None
    gaps = [a - b for a, b in zip(ours, base, strict=True)]
    return _mean(gaps) > 3 * _error(gaps)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _error(values: Sequence[float]) -> float:
    """The standard error of a mean; NaN for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
