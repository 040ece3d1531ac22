"""What commands and evaluators do with private latents, and with a model that has no p(z)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mmt_attributes import Label, Numeric
from mmtoolkit import (
    MMVM,
    Classifier,
    DataWarning,
    Elbo,
    Entry,
    Imputation,
    LikelihoodEntry,
    LogLikelihood,
    MMVAEPlus,
    Prediction,
    Task,
    TrainedRun,
    UserError,
)
from mmtoolkit.figures.directions import offers
from mmtoolkit.figures.latent_rows import latent_rows
from untrained import untrained

ROWS = 40
CELLS: dict[str, list[Any]] = {
    "size": [float(n % 7) for n in range(ROWS)],
    "sort": ["ab"[n % 2] for n in range(ROWS)],
    "age": [float(n % 5) for n in range(ROWS)],
}
TABLE = pd.DataFrame({"size": [1.0, np.nan, np.nan], "sort": ["a", "b", None], "age": [np.nan, 2.0, np.nan]})


def run_of(model: Any, folder: Path) -> TrainedRun:
    modalities = {"size": Numeric(), "sort": Label(), "age": Numeric()}
    return untrained(modalities, folder, lambda line: None, model, train=CELLS, test=CELLS)


@pytest.fixture
def private(tmp_path: Path) -> TrainedRun:
    return run_of(MMVAEPlus(latent_dim=2, private_dim=3), tmp_path)


@pytest.fixture
def priorless(tmp_path: Path) -> TrainedRun:
    return run_of(MMVM(latent_dim=2), tmp_path)


def test_embeddings_are_of_the_shared_part_or_of_all(private: TrainedRun) -> None:
    with pytest.warns(DataWarning, match="they get the prior"):
        shared = private.embed(TABLE)
    with pytest.warns(DataWarning, match="they get the prior"):
        whole = private.embed(TABLE, private=True)
    assert list(shared) == ["mean_0", "mean_1", "logvar_0", "logvar_1"]
    assert list(whole) == [f"{what}_{k}" for what in ("mean", "logvar") for k in range(2 + 3 * 3)]
    for name in shared:
        np.testing.assert_array_equal(shared[name], whole[name])
    # The private part of what a row lacks is N(0, I): in the second row that of `size`, the first three.
    own = [f"{what}_{k}" for what in ("mean", "logvar") for k in (2, 3, 4)]
    assert not whole.loc[1, own].any()
    assert whole.loc[0, own].all()


def test_the_latent_picture_is_of_the_shared_part(private: TrainedRun) -> None:
    rows = latent_rows(private, "test")
    assert {len(mean) for mean in rows["means"]} == {2}


def test_a_linear_classifier_has_encoders_as_wide_as_the_model(private: TrainedRun) -> None:
    tasks = (Task(target=("sort",), given=("size",)),)
    assert private.model.expert_dim == 2 + 3
    assert Classifier(steps=2, entries=tasks).evaluate(private, "test").results


def test_scores_that_need_a_prior_are_left_out_by_name(priorless: TrainedRun) -> None:
    for evaluator in (Elbo(), LogLikelihood(samples=2)):
        scores = evaluator.evaluate(priorless, "test")
        assert scores.results == []
        assert all(note.startswith("left out: ") and note.endswith("the model has no p(z)") for note in scores.notes)
        assert len(scores.notes) > 2
    entry = LikelihoodEntry(target=("size",), given=("sort",))
    asked: list[Any] = [
        Elbo(entries=(Entry(target=("size",), given=("sort",)),)),
        LogLikelihood(entries=(entry,)),
        Prediction(entries=(Entry(target=("size",)),)),
    ]
    for evaluator in asked:
        with pytest.raises(UserError, match=r"evaluate, \w+: .*the model has no p\(z\); change or remove this entry"):
            evaluator.check_model(priorless.model)
    for other in (Prediction(), Imputation()):
        assert other.evaluate(priorless, "test").results


def test_samples_need_something_given(priorless: TrainedRun) -> None:
    with pytest.raises(UserError, match=r"the model has no p\(z\).*unless modalities are given"):
        priorless.sample(3)
    assert not offers(priorless.model, ())
    samples = priorless.sample(3, {"sort": "a"})
    assert {name: len(value) for name, value in samples.items()} == {"size": 3, "sort": 3, "age": 3}


def test_empty_rows_stay_empty_without_a_prior(priorless: TrainedRun) -> None:
    with pytest.warns(DataWarning, match=r"stay missing: 1; these rows have nothing to infer z from.*no p\(z\)"):
        filled = priorless.impute(TABLE)
    assert filled.iloc[:2].notna().all().all()
    assert filled.iloc[2].isna().all()
    with pytest.warns(DataWarning, match=r"they get N\(0, I\), as the model has no prior"):
        embedded = priorless.embed(TABLE)
    assert not embedded.iloc[2].any()
    q = priorless.infer([{"sort": "a"}, {}], ["sort"])
    assert torch.equal(q.mean[1], torch.zeros(2))
