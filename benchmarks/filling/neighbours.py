"""Ten nearest neighbours over columns of every kind, as scikit-learn's KNNImputer has them for numbers.

Numbers are standardised and classes are one-hot, so that two rows of different classes lie as far apart in this column
(a squared distance of 2) as two rows of independent numbers do on average. Columns that one of the rows lacks are left
out, and the squared distance is scaled up to all columns. A number is the mean of those of the ten nearest rows that
have it, a class the most frequent one among them, of several the nearest.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from filling.filled import Effort, Filled, Holed
from filling.inputs import classes_of, one_hot

_COUNT = 10
_ROWS = 500  # at a time: distances to all rows are in memory


def fill(table: Holed, effort: Effort) -> Filled:
    """Fill each cell from the nearest rows that know its column."""
    begun = time.perf_counter()
    known = table.values.notna().to_numpy()
    coordinates, weights = _coordinates(table)
    filled = {column: table.values[column].to_numpy(copy=True) for column in table.values}
    for start in range(0, len(known), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = _distances(coordinates, weights, known, rows)
        for place, column in enumerate(table.values):
            donors = np.flatnonzero(known[:, place])
            values = table.values[column].to_numpy()[donors]
            for row in np.flatnonzero(~known[rows, place]):
                nearest = np.argsort(distances[row, donors], kind="stable")[:_COUNT]
                if np.isinf(distances[row, donors[nearest[0]]]):
                    continue  # no row that knows the column shares a known column with this one
                filled[column][start + row] = _joined(values[nearest], column in table.numbers)
    return Filled(pd.DataFrame(filled), {"fill": time.perf_counter() - begun})


def _coordinates(table: Holed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, F) coordinates with zeros where they are unknown, and (N, F) ones where they are known."""
    blocks, present = [], []
    for column in table.values:
        values = table.values[column]
        if column in table.numbers:
            spread = values.std(ddof=0)
            block = ((values - values.mean()) / (spread if spread > 0 else 1.0)).fillna(0).to_numpy()[:, None]
        else:
            block = one_hot(values, classes_of(values))
        blocks.append(block)
        present.append(np.repeat(values.notna().to_numpy()[:, None], block.shape[1], axis=1).astype(float))
    return np.concatenate(blocks, 1), np.concatenate(present, 1)


def _distances(
    x: NDArray[np.float64], present: NDArray[np.float64], known: NDArray[np.bool_], rows: slice
) -> NDArray[np.float64]:
    """Squared distances (rows, N), scaled up to all columns; infinite to itself and where no column is shared."""
    squares = x * x
    distances = squares[rows] @ present.T + present[rows] @ squares.T - 2 * (x[rows] @ x.T)
    shared = known[rows].astype(float) @ known.T.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.where(shared > 0, np.maximum(distances, 0) * known.shape[1] / shared, np.inf)
    distances[np.arange(len(distances)), np.arange(len(distances)) + rows.start] = np.inf
    return distances


def _joined(values: NDArray[np.object_], numbers: bool) -> float | str:
    """The mean of numbers or the most frequent class, of values from the nearest to the farthest."""
    if numbers:
        return float(values.astype(float).mean())
    words = list(values)
    return str(max(words, key=lambda word: (words.count(word), -words.index(word))))
