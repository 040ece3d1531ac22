"""The estimators where people use them: copies, pipelines, searches, other processes, set_output."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmtoolkit.sklearn import Embedder, Imputer

COLUMNS = ["size", "weight", "kind"]


def test_a_clone_has_the_parameters_and_no_run(imputer: Any, tmp_path: Path) -> None:
    copied = clone(imputer)
    assert copied.get_params() == imputer.get_params()
    assert not hasattr(copied, "run_")
    of_run = clone(Imputer(run=imputer.run_))
    assert of_run.run.schema == imputer.schema_


@pytest.mark.slow
def test_the_same_seed_trains_the_same(imputer: Any, table: pd.DataFrame) -> None:
    first, second = (Embedder(steps=2, random_state=s).fit_transform(table[COLUMNS]) for s in (7, 7))
    pd.testing.assert_frame_equal(first, second)
    other = Embedder(steps=2, random_state=np.random.RandomState(8)).fit_transform(table[COLUMNS])
    assert not first.equals(other)


@pytest.mark.slow
def test_a_pickle_needs_no_folder(imputer: Any, table: pd.DataFrame, tmp_path: Path) -> None:
    expected = imputer.transform(table)
    own = pickle.loads(pickle.dumps(imputer))
    shutil.rmtree(own.run_.folder)  # as if the machine had cleaned its temporary files
    pd.testing.assert_frame_equal(own.transform(table), expected)
    text = pickle.dumps(own)
    pd.testing.assert_frame_equal(pickle.loads(text).transform(table), expected)
    (tmp_path / "imputer").write_bytes(text)
    table.to_parquet(tmp_path / "table")
    code = (
        "import pickle, sys, pandas; from pathlib import Path\n"
        "imputer = pickle.loads(Path(sys.argv[1], 'imputer').read_bytes())\n"
        "frame = imputer.transform(pandas.read_parquet(Path(sys.argv[1], 'table')))\n"
        "frame.to_parquet(Path(sys.argv[1], 'filled')); print(imputer.run_.results['name'], imputer.run_.folder)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    name, folder = done.stdout.split()
    assert (name, os.path.exists(folder), done.stderr) == ("table", False, "")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "filled"), expected)


def test_the_run_outlives_its_estimator(table: pd.DataFrame) -> None:
    run = Imputer(steps=1).fit(table[COLUMNS]).run_
    assert run.results["name"] == "table"
    folder = run.folder
    del run
    assert not folder.exists()


def test_fit_prints_warns_and_writes_nothing(
    empty_folder: Path,
    table: pd.DataFrame,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.setenv("MMT_CACHE", str(empty_folder / "cache"))
    monkeypatch.setenv("TMPDIR", str(empty_folder / "temporary"))
    (empty_folder / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    Imputer(steps=1).fit(table)
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)
    assert [path.name for path in empty_folder.rglob("*")] == ["temporary"]


def test_verbose_prints_a_line_an_epoch(table: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    Imputer(steps=3, verbose=1).fit(table[COLUMNS])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if ": loss " in line] == ["epoch 1", "epoch 2", "epoch 3"]
    assert all("filling score" in line for line in lines if ": loss " in line)


@pytest.mark.slow
def test_pipeline_columns_and_search(table: pd.DataFrame) -> None:
    holed, answer = table[["size", "weight"]], table["kind"].fillna("small")
    columns = ColumnTransformer(
        [("filled", Imputer(), ["size", "weight"]), ("z", Embedder(steps=1, latent_dim=2), ["size", "weight"])]
    )
    pipeline = make_pipeline(columns, StandardScaler(), LogisticRegression())
    grid = {"columntransformer__filled__steps": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(holed, answer)
    assert list(search.best_estimator_[0].get_feature_names_out()) == [
        "filled__size",
        "filled__weight",
        "z__mean_0",
        "z__mean_1",
    ]
    assert search.predict(holed).shape == (60,)
    assert search.best_estimator_[0].transform(holed).shape == (60, 4)


@pytest.mark.slow
def test_other_processes(imputer: Any, table: pd.DataFrame) -> None:
    parts = [table[:30], table[30:]]
    filled = joblib.Parallel(n_jobs=2)(joblib.delayed(imputer.transform)(part) for part in parts)
    pd.testing.assert_frame_equal(pd.concat(filled), pd.concat(map(imputer.transform, parts)))
    search = GridSearchCV(
        make_pipeline(Imputer(random_state=0), LogisticRegression()),
        {"imputer__steps": [1, 2]},
        cv=2,
        n_jobs=2,
        error_score="raise",
    )
    search.fit(table[["size", "weight"]], table["kind"].fillna("small"))
    assert len(search.cv_results_["params"]) == 2


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("of", [pd.DataFrame, pl.DataFrame, np.ndarray])
def test_set_output(kind: str, of: Any, imputer: Any, table: pd.DataFrame) -> None:
    data = {pd.DataFrame: table, pl.DataFrame: pl.from_pandas(table), np.ndarray: table.to_numpy(dtype=object)}[of]
    asked = pickle.loads(pickle.dumps(imputer)).set_output(transform=kind)
    if of is np.ndarray:
        with pytest.warns(UserWarning, match="valid feature names"):
            filled = asked.transform(data)
    else:
        filled = asked.transform(data)
    assert isinstance(filled, pd.DataFrame if kind == "pandas" else pl.DataFrame)
    assert list(filled.columns) == list(imputer.get_feature_names_out()) == list(table.columns)
    if of is not np.ndarray:
        assert filled["size"].dtype == (np.float64 if kind == "pandas" else pl.Float64)
