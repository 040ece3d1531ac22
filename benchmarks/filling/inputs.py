"""Columns as numbers for methods that read nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def one_hot(values: pd.Series, classes: list[str]) -> NDArray[np.float64]:
    """(N, classes) a one for the class of each row; a row of an unknown class has none."""
    ones: NDArray[np.bool_] = values.to_numpy()[:, None] == np.array(classes, dtype=object)[None, :]
    return ones.astype(float)


def classes_of(values: pd.Series) -> list[str]:
    """The known classes of a column, in order."""
    return sorted(values.dropna().unique())
