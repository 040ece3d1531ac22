"""What a method of filling is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from filling.columns import Table


@dataclass(frozen=True)
class Effort:
    """How a method computes.

    Attributes:
        seed: of its chance.
        threads: that it may use.
        quick: do little, to see that it runs.
    """

    seed: int = 0
    threads: int = 1
    quick: bool = False


@dataclass(frozen=True)
class Holed:
    """A table whose hidden cells are missing.

    Attributes:
        texts: (N, all columns) the cells of its file.
        values: (N, scored columns) as in `Table`.
        numbers: the scored columns that hold numbers.
    """

    texts: pd.DataFrame
    values: pd.DataFrame
    numbers: frozenset[str]


@dataclass(frozen=True)
class Filled:
    """What a method answers.

    Attributes:
        values: (N, scored columns); cells may still be missing.
        seconds: by the part of the work; `fill` is the whole of it, or for mmtoolkit one part is each command.
    """

    values: pd.DataFrame
    seconds: Mapping[str, float]


Fill = Callable[[Holed, Effort], Filled]


def holed(table: Table, hidden: NDArray[np.bool_]) -> Holed:
    """A table without its hidden cells (N, scored columns)."""
    texts = table.texts.copy()
    for place, column in enumerate(table.values):
        texts[column] = texts[column].mask(hidden[:, place], "")
    return Holed(texts, table.values.mask(hidden), table.numbers)


def complete(filled: pd.DataFrame, known: Holed) -> pd.DataFrame:
    """Fill what a method left empty with the most frequent class, the first by name of several, or with the mean."""
    columns = {}
    for column in known.values:
        values = known.values[column]
        rest = values.mean() if column in known.numbers else values.mode().iloc[0]
        columns[column] = filled[column].where(filled[column].notna(), rest)
    return pd.DataFrame(columns)
