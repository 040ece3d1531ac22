"""The random forests beside the scores of hidden cells, against forests that are fitted by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmt_binary import Binary
from mmt_text import Text
from mmtoolkit import TrainedRun, UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality
from mmtoolkit.evaluators import Imputation, forest
from mmtoolkit.evaluators.hiding import Hiding
from mmtoolkit.runs.scores import score_columns
from toys import Vector
from untrained import untrained

ensemble = pytest.importorskip("sklearn.ensemble")

PETS = ("cat", "dog", "owl")
MODALITIES: dict[str, Modality] = {"size": Numeric(), "pet": Label(classes=PETS), "male": Binary(values=("0", "1"))}


def table(rows: int, seed: int, missing: float = 0.2) -> dict[str, list[Any]]:
    """Three columns of which each follows from the other two, a share of their cells missing."""
    draw = np.random.default_rng(seed)
    pet, male = draw.integers(3, size=rows), draw.integers(2, size=rows)
    columns: dict[str, list[Any]] = {
        "size": [float(x) for x in 10 * ((pet + male) % 3) + draw.normal(size=rows)],
        "pet": [PETS[x] for x in pet],
        "male": [str(x) for x in male],
    }
    return {
        name: [None if hole else cell for cell, hole in zip(cells, draw.random(rows) < missing, strict=True)]
        for name, cells in columns.items()
    }


@pytest.fixture(autouse=True)
def trees(monkeypatch: pytest.MonkeyPatch) -> int:
    """Few trees, so that tests are quick. Returns how many there are otherwise."""
    usual = forest._TREES
    monkeypatch.setattr(forest, "_TREES", 10)
    return usual


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    return untrained(MODALITIES, tmp_path, train=table(90, 0), test=table(60, 1))


def scored(run: TrainedRun, split: str = "test", **options: Any) -> tuple[dict[tuple[str, str], dict[str, Any]], str]:
    """(target, metric) -> result, and the notes, one a line."""
    (score,) = run.evaluate([Imputation(**{"baselines": ["forest"], **options})], split)
    return {(r["target"][0], r["metric"]): r for r in score["results"]}, "\n".join(score["notes"])


def numbers(columns: dict[str, list[Any]]) -> np.ndarray[Any, Any]:
    """The three columns as numbers, NaN where a cell is missing: (N, 3)."""
    cells = zip(columns["size"], columns["pet"], columns["male"], strict=True)
    rows = [
        [
            np.nan if size is None else size,
            np.nan if pet is None else PETS.index(pet),
            np.nan if male is None else float(male),
        ]
        for size, pet, male in cells
    ]
    return np.array(rows)


def features(rows: np.ndarray[Any, Any], train: np.ndarray[Any, Any], target: int) -> np.ndarray[Any, Any]:
    """What a forest should read to predict a column, written out."""
    mean, std = np.nanmean(train[:, 0]), np.nanstd(train[:, 0])
    pets = np.bincount(train[:, 1][~np.isnan(train[:, 1])].astype(int)).argmax()
    male = float(np.nanmean(train[:, 2]) > 0.5)
    read = []
    for size, pet, sex in rows:
        one_hot = np.eye(3)[int(pets if np.isnan(pet) else pet)]
        parts = [
            [0.0 if np.isnan(size) else (size - mean) / std, float(np.isnan(size))],
            [*one_hot, float(np.isnan(pet))],
            [male if np.isnan(sex) else sex, float(np.isnan(sex))],
        ]
        read.append([number for place, part in enumerate(parts) if place != target for number in part])
    return np.array(read, dtype=np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["test", "train"])
def test_forests_are_those_of_scikit_learn_fitted_by_hand(
    split: str, run: TrainedRun, trees: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "_TREES", trees)
    results, _ = scored(run, split, hide=0.3)
    train, rows = numbers(table(90, 0)), numbers({"test": table(60, 1), "train": table(90, 0)}[split])
    generator, present = run.generator, run.present[split]
    torch.randperm(len(present), generator=generator)
    places = torch.arange(len(rows))
    hiding = Hiding(run.model, dict.fromkeys(MODALITIES, 0.3), places, present, generator)
    (batch,) = run.batches(split)
    hidden = hiding.of(batch, 0).cells.numpy()
    left = np.where(hidden, np.nan, rows)
    for place, (name, metric) in enumerate((("size", "squared_error"), ("pet", "accuracy"), ("male", "accuracy"))):
        usable = ~np.isnan(train[:, place])
        if split == "train":
            usable &= ~hidden[:, place]
        kind = ensemble.RandomForestRegressor if name == "size" else ensemble.RandomForestClassifier
        by_hand = kind(
            100,
            max_features=1 / 3 if name == "size" else "sqrt",
            random_state=seed_for("forest", name, run.generator.initial_seed()) % 2**32,
        )
        by_hand.fit(features(train, train, place)[usable], train[usable, place])
        asked = hidden[:, place]
        predicted, truth = by_hand.predict(features(left, train, place)[asked]), rows[asked, place]
        error = np.square(predicted - truth) if name == "size" else predicted == truth
        assert asked.sum() > 8
        assert results[name, metric]["examples"] == asked.sum()
        assert results[name, metric]["forest"] == pytest.approx(error.mean(), rel=1e-4)


def test_a_forest_finds_what_two_columns_tell_together(own_cache: Path, tmp_path: Path) -> None:
    run = untrained(MODALITIES, tmp_path, train=table(90, 0, 0.0), test=table(60, 1, 0.0))
    results, notes = scored(run, hide={"size": 0.5})
    assert results["size", "squared_error"]["forest"] < 0.1 * results["size", "squared_error"]["baseline"]
    assert "forest" not in notes  # nothing is left out


@pytest.mark.parametrize("options", [{}, {"samples": 3}])
def test_forests_change_no_other_score(options: dict[str, Any], run: TrainedRun) -> None:
    plain, _ = scored(run, baselines=[], **options)
    results, _ = scored(run, **options)
    assert all("forest" not in result for result in plain.values())
    no_prediction = {"coverage_50", "coverage_90", "crps"}  # what a forest gives is no distribution
    compared = {
        key: result["forest"]
        for key, result in results.items()
        if result.get("baseline") is not None and key[1] not in no_prediction
    }
    assert compared
    assert all("forest" not in result for key, result in results.items() if key[1] in no_prediction)
    assert all(0 <= value < 1000 for value in compared.values())
    assert {key: {k: v for k, v in result.items() if k != "forest"} for key, result in results.items()} == plain
    assert scored(run, **options)[0] == results  # the same forests again


def test_only_some_rows_are_learned_from(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Counted(ensemble.RandomForestRegressor):  # type: ignore[misc,name-defined]
        def fit(self, x: Any, y: Any) -> Any:
            sizes.append(len(x))
            return super().fit(x, y)

    counted = SimpleNamespace(RandomForestRegressor=Counted, RandomForestClassifier=ensemble.RandomForestClassifier)
    monkeypatch.setattr(forest, "import_forests", lambda: counted)
    scored(run, hide={"size": 0.5})
    scored(run, hide={"size": 0.5}, forest_rows=40)
    assert sizes[0] == sum(cell is not None for cell in table(90, 0)["size"])
    assert 20 < sizes[1] < 40


def test_what_is_no_number_and_no_class_is_left_out_with_a_note(own_cache: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {
        "size": [float(x) for x in draw.normal(size=150)],
        "long": ["ab" * 40] * 150,
        "short": ["ab", "b", "aa"] * 50,
        "code": [f"{x:03}" for x in range(150)],
        "height": [float(x) for x in draw.normal(size=150)],
        "weight": [float(x) for x in draw.normal(size=150)],
    }
    modalities = {
        "size": Numeric(),
        "long": Text(length=80, alphabet=("a", "b")),
        "short": Text(length=2, alphabet=("a", "b")),
        "code": Label(classes=tuple(columns["code"])),
        "body": Numeric(columns=("height", "weight")),
    }
    run = untrained(modalities, tmp_path, train=columns, test=columns)
    results, notes = scored(run)
    assert_facts(notes, "not read by the forest: long: ", "more than 128 numbers")
    assert_facts(notes, "not predicted by the forest: long, short, body: ", "one number or one class")
    assert_facts(notes, "not predicted by the forest: code: ", "more than 100 classes")
    assert {target for (target, _), result in results.items() if "forest" in result} == {"size"}


def test_a_column_alone_has_nothing_to_be_predicted_from(own_cache: Path, tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"size": [1.0, 2.0, 3.0, 4.0] * 5, "face": [[0.0] * 200] * 20}
    run = untrained({"size": Numeric(), "face": Vector(size=200)}, tmp_path, train=columns, test=columns)
    results, notes = scored(run)
    assert_facts(notes, "not predicted by the forest: size: ", "no other column")
    assert all("forest" not in result for result in results.values())


def test_the_mean_stands_for_a_column_that_none_of_the_rows_knows(own_cache: Path, tmp_path: Path) -> None:
    train: dict[str, list[Any]] = {"size": [2.0, *[None] * 299], "pet": [*PETS] * 100}
    test: dict[str, list[Any]] = {"size": [5.0] * 6, "pet": [*PETS] * 2}
    modalities = {"size": Numeric(mean=(0.0,), std=(1.0,)), "pet": Label(classes=PETS)}
    run = untrained(modalities, tmp_path, train=train, test=test)
    results, _ = scored(run, hide={"size": 0.9}, forest_rows=3)
    assert results["size", "squared_error"]["forest"] == 9.0


def test_without_scikit_learn_an_error_says_what_to_install(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    scored(run, baselines=[])  # only forests need it
    with pytest.raises(UserError) as raised:
        Imputation(baselines=("forest",)).check_model(run.model)  # before training
    (line,) = raised.value.faults
    assert_facts(
        line, "evaluate, imputation: baselines: ", "scikit-learn", "; install it with ", "'mmtoolkit[sklearn]'"
    )


def test_tables_of_scores_have_forests_beside_neighbours(run: TrainedRun) -> None:
    columns = score_columns(list(scored(run)[0].values()))
    assert columns == ["value", "stderr", "baseline", "neighbours", "forest", "examples"]
