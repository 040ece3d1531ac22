"""miceforest (PyPI): multiple imputation by chained equations, with the trees of LightGBM."""

from __future__ import annotations

import time

import pandas as pd

from filling.filled import Effort, Filled, Holed

_PASSES = 5


def fill(table: Holed, effort: Effort) -> Filled:
    """Fill with predictions: its default is a random one of five near values, which errs more in every single cell."""
    import miceforest

    begun = time.perf_counter()
    columns = {}
    for place, column in enumerate(table.values):  # LightGBM takes no punctuation in names
        values = table.values[column]
        if column in table.numbers:
            columns[f"c{place}"] = values
        elif values.nunique() > 1:  # a single class cannot be learned; it stays empty
            columns[f"c{place}"] = values.astype("category")
    kernel = miceforest.ImputationKernel(
        pd.DataFrame(columns), num_datasets=1, mean_match_candidates=0, random_state=effort.seed
    )
    kernel.mice(1 if effort.quick else _PASSES, num_threads=effort.threads, verbosity=-1)
    data = kernel.complete_data(0)
    values = table.values.copy()
    for place, column in enumerate(values):
        if f"c{place}" in data:
            kind = "float64" if column in table.numbers else "object"
            values[column] = data[f"c{place}"].astype(kind)
    return Filled(values, {"fill": time.perf_counter() - begun})
