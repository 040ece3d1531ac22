"""Multiple imputation: a regression on 20 tables with draws in their holes, pooled by Rubin's rules."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import statsmodels.api as sm
from scipy import stats

import mmtoolkit

SLOPE = 0.5
ROWS, TABLES = 2000, 20
COLUMNS = ("x", "y", "w")
SCHEMA = {
    "name": "rubin",
    "modalities": {"row": {"kind": "record", "columns": {name: {"kind": "numeric"} for name in COLUMNS}}},
    "model": {"kind": "mvae", "latent_dim": 8, "subsets": {"k": 0}},
    "train": {
        "epochs": 15,
        "batch_size": 100,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "beta": 0.4,
        "warmup_epochs": 5,
        "hide": {"rate": 0.7},
        "select": "imputation",
        "calibrate": True,
    },
    "evaluate": [],
}


def simulated() -> pandas.DataFrame:
    """Rows of y = 1 + 0.5 x + e, and w, which is near x. Many rows with a large y lack x."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=ROWS)
    y = 1 + SLOPE * x + draw.normal(size=ROWS)
    w = x + 0.8 * draw.normal(size=ROWS)
    frame = pandas.DataFrame({"x": x, "y": y, "w": w})
    return frame.assign(x=frame["x"].mask(draw.random(ROWS) < 1 / (1 + np.exp(0.5 - y))))


def fit(table: pandas.DataFrame) -> Any:
    """The regression of y on x."""
    return sm.OLS(table["y"], sm.add_constant(table["x"])).fit()


def pooled(results: Sequence[Any], name: str) -> tuple[float, float, float]:
    """The estimate and the 95 % interval of a coefficient, from a fit of each table (Rubin 1987, section 3.1)."""
    estimates = np.array([result.params[name] for result in results])
    within = np.mean([result.bse[name] ** 2 for result in results])
    between = (1 + 1 / len(results)) * estimates.var(ddof=1)
    freedom = (len(results) - 1) * (1 + within / between) ** 2
    width = stats.t.ppf(0.975, freedom) * np.sqrt(within + between)
    return estimates.mean(), estimates.mean() - width, estimates.mean() + width


def main() -> None:
    """Train on the table with its holes, fill it once and 20 times, and compare the slopes with the truth."""
    table = simulated()
    with tempfile.TemporaryDirectory() as folder:
        table.to_csv(Path(folder) / "table.csv", index=False)
        data = {"kind": "table", "path": str(Path(folder) / "table.csv"), "split": {"train": 0.9, "valid": 0.1}}
        run = mmtoolkit.run(mmtoolkit.parse_schema({**SCHEMA, "data": data}), Path(folder) / "run", figures=False)

        single = fit(run.impute(table))
        tables = run.impute(table, tables=TABLES)
        slope, low, high = pooled([fit(of) for of in tables], "x")

    print(f"missing: {table['x'].isna().mean():.0%} of x; the slope is {SLOPE}")
    own = single.conf_int().loc["x"]
    print(f"filled once:     {single.params['x']:.3f}, 95 % interval {own[0]:.3f} to {own[1]:.3f}")
    print(f"filled {TABLES} times: {slope:.3f}, 95 % interval {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
