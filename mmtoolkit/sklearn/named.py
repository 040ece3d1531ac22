"""Tables as scikit-learn passes them: frames of pandas and polars, or arrays, whose columns have no names."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_frame(X: Any) -> bool:
    """Whether a table is a frame of pandas or polars."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    classes = [library.DataFrame for library in (pandas, polars) if library is not None]
    return isinstance(X, tuple(classes))


def with_names(X: Any, names: list[str]) -> Any:
    """The same columns under other names: a frame, or a dictionary of the columns of an array."""
    if not is_frame(X):
        return dict(zip(names, X.T, strict=True))
    if list(X.columns) == names:
        return X
    return X.set_axis(names, axis=1) if _is_pandas(X) else X.rename(dict(zip(X.columns, names, strict=True)))


def like(X: Any, filled: Any, names: list[str]) -> Any:
    """The columns `names` of a filled table as a table of the kind of X, with its names if `fit` saw the same."""
    if not is_frame(X):
        return np.stack([filled[name] for name in names], axis=1)
    answer = filled[names]
    return with_names(answer, list(X.columns)) if list(map(str, X.columns)) == names else answer


def as_frame_of(library: str, table: Any) -> Any:
    """A frame as one of pandas or of polars. Arrays stay as they are, and so do all tables for `default`."""
    if library == "pandas" and is_frame(table) and not _is_pandas(table):
        return table.to_pandas()
    if library == "polars" and _is_pandas(table):
        import polars

        return polars.from_pandas(table)
    return table


def _is_pandas(X: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)
