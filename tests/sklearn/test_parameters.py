"""The parameters of the estimators, and what they say about those that do not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmtoolkit import Arrays, UserError, parse_schema, read_schema
from mmtoolkit.sklearn import Embedder, Imputer

DECLARED = {
    "name": "sizes",
    "data": {"kind": "table", "path": "nowhere.csv", "missing": ["-"]},
    "modalities": {"kind": "label", "size": "numeric"},
    "model": {"kind": "mvae", "latent_dim": 4},
    "train": {"epochs": 20, "warmup_epochs": 10, "batch_size": 16, "seed": 3},
}


@pytest.fixture
def schema_file(tmp_path: Path) -> Path:
    path = tmp_path / "sizes.yaml"
    path.write_text(parse_schema(DECLARED).to_yaml(), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_schema_in_each_form(schema_file: Path, table: pd.DataFrame) -> None:
    forms: list[Any] = [DECLARED, schema_file, str(schema_file), read_schema(schema_file)]
    answers = [Embedder(schema=form, steps=1, random_state=0).fit_transform(table) for form in forms]
    for answer in answers[1:]:
        pd.testing.assert_frame_equal(answer, answers[0])


@pytest.mark.slow
def test_parameters_change_the_schema(table: pd.DataFrame) -> None:
    sizes = table[["kind", "size"]]
    plain = Imputer(schema=DECLARED, steps=45, random_state=0).fit(sizes).schema_
    assert (plain.model.kind, plain.model.latent_dim, plain.evaluate) == ("mvae", 4, [])
    assert (plain.train.epochs, plain.train.warmup_epochs, plain.train.sampling.rows) == (20, 10, 32)
    assert isinstance(plain.data, Arrays)
    assert plain.data.missing == ("-",)
    few = Imputer(schema=DECLARED, steps=3, latent_dim=2, model="jmvae", random_state=1, evaluate=True).fit(sizes)
    assert (few.schema_.model.kind, few.schema_.model.latent_dim) == ("jmvae", 2)
    assert (few.schema_.train.epochs, few.schema_.train.warmup_epochs, few.schema_.train.sampling.rows) == (3, 1, 16)
    assert few.schema_.train.seed != plain.train.seed
    assert [score["kind"] for score in few.run_.results["scores"]] == ["elbo", "prediction"]
    whole = Imputer(schema=DECLARED, steps=1, model={"kind": "vae", "latent_dim": 5}).fit(sizes).schema_
    assert (whole.model.kind, whole.model.latent_dim) == ("vae", 5)


@pytest.mark.slow
def test_a_run_is_used_as_it_is(table: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    sizes = table[["kind", "size"]]
    trained = Imputer(schema=DECLARED, steps=1, folder=folder).fit(sizes)
    assert (folder / "report.html").is_file()
    filled = Imputer(run=folder).fit_transform(table)
    pd.testing.assert_frame_equal(filled[["kind", "size"]], trained.transform(sizes))
    with pytest.raises(UserError, match="holds a run already"):
        trained.fit(sizes)
    array = Embedder(run=folder).fit_transform(sizes.to_numpy(dtype=object))
    np.testing.assert_array_equal(array, Embedder(run=folder).fit_transform(sizes))
    assert Embedder(run=folder).fit_transform(table[["size"]]).shape == (60, 4)
    with pytest.raises(ValueError, match="X has no column 'kind', which the run reads"):
        Imputer(run=folder).fit(table[["size"]])
    text = "X is an array of 3 features, and the run reads 2 columns: kind, size. Give these columns in this order"
    with pytest.raises(ValueError, match=re.escape(text)):
        Imputer(run=folder).fit(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"steps": 0}, "steps == 0, must be >= 1."),
        ({"steps": 2.5}, "steps must be an instance of int"),
        ({"latent_dim": -1}, "latent_dim == -1, must be >= 1."),
        ({"samples": -1}, "samples == -1, must be >= 0."),
        ({"schema": "sizes.yaml", "run": "run"}, "The parameters 'schema' and 'run' are both set."),
        ({"run": "run", "steps": 3}, "The parameter 'steps' is set, but with 'run' nothing is trained."),
        (
            {"run": "nowhere"},
            "nowhere: there is no such folder, and no such model in the catalogue; give the folder",
        ),
        ({"schema": "nowhere.yaml"}, "nowhere.yaml"),
        ({"model": "mvea"}, "mvea"),
        ({"device": "tpu"}, "tpu"),
        ({"random_state": "seed"}, "'seed' cannot be used to seed"),
    ],
)
def test_wrong_parameters(parameters: dict[str, Any], text: str, table: pd.DataFrame) -> None:
    with pytest.raises((ValueError, TypeError, UserError), match=re.escape(text)):
        Imputer(**parameters).fit(table)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), "Found a frame with 1 sample(s) while a minimum of 2 is required"),
        (pd.DataFrame(index=range(3)), "0 feature(s)"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "Input X contains infinity"),
        (pd.DataFrame({"a": ["x"] * 3}), "no column can be used as it is"),
    ],
)
def test_wrong_tables(cells: Any, text: str) -> None:
    with pytest.raises((ValueError, UserError), match=re.escape(text)):
        Imputer(steps=1).fit(cells)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("mmtoolkit.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    with pytest.raises(ImportError, match=r"needs scikit-learn 1.6 or later; .* pip install 'mmtoolkit\[sklearn\]'"):
        import mmtoolkit.sklearn  # noqa: F401
