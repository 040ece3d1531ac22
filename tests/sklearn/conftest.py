"""A table with holes, and estimators that are fitted to it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn", minversion="1.6")


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """Sixty rows: two numbers and a class that depend on each other, a constant, a copy, and names; with holes."""
    draw = np.random.default_rng(0)
    size = draw.normal(size=60).round(2)
    frame = pd.DataFrame({"size": size, "weight": (2 * size + 0.1 * draw.normal(size=60)).round(2)})
    frame["kind"] = np.where(size > 0, "large", "small")
    holes = draw.random((60, 3)) < 0.2
    holes[holes.all(1)] = False
    frame = frame.mask(holes)
    frame["year"] = 2024.0
    frame.loc[5, "year"] = np.nan
    frame["heft"] = frame["weight"]
    frame["name"] = [f"thing {row}" for row in range(60)]
    return frame


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the test, in which nothing may appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def imputer(table: pd.DataFrame) -> Any:
    """An imputer that is fitted to the table: long enough to tell large from small."""
    from mmtoolkit.sklearn import Imputer

    return Imputer(steps=200, latent_dim=2, random_state=0, device="cpu").fit(table)


@pytest.fixture(scope="session")
def embedder(table: pd.DataFrame) -> Any:
    """An embedder that is fitted to the table, with log-variances."""
    from mmtoolkit.sklearn import Embedder

    return Embedder(log_variance=True, steps=4, latent_dim=3, random_state=0, device="cpu").fit(table)
