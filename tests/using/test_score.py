"""`mmt score` and `run.score`: log p of rows, and of each cell given the rest of its row."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import CVAE, MMVM, MVAE, VAE, BiVCCA, DataWarning, TrainedRun, UserError
from mmtoolkit.runs.computing import compute_afterwards
from mmtoolkit.training.compute import applied
from mmtoolkit.using.cell_scores import CellScorer
from runs import assert_refused, mmt
from toys import seeded
from untrained import untrained

ROWS = 300
SCHEMA: dict[str, Any] = {
    "name": "shoes",
    "data": {"kind": "table", "split": {"train": 0.9, "valid": 0.1}},
    "modalities": {
        "record": {
            "kind": "record",
            "columns": {
                "length": {"kind": "numeric"},
                "weight": {"kind": "numeric", "column": "the weight"},
                "shop": {"kind": "label"},
            },
            "network": {"kind": "mlp", "width": 32, "depth": 1, "norm": "layer", "residual": True},
        },
        "sort": {"kind": "label"},
        "note": {"kind": "label", "modelled": False},
    },
    "model": {"kind": "mvae", "latent_dim": 3, "subsets": {"k": 0}},
    "train": {"epochs": 12, "batch_size": 60, "learning_rate": 1e-2, "beta": 0.5, "warmup_epochs": 3, "seed": 0},
    "evaluate": [],
}
CELLS = ("length", "weight", "shop", "sort")
NEW = ["log_likelihood", "log_likelihood_error", "suspicion"]
NEW += [f"{name}_{what}" for name in CELLS for what in ("log_prob", "rank")]


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Columns that all follow from the length."""
    draw = np.random.default_rng(seed)
    length = draw.uniform(20, 50, rows)
    return pd.DataFrame(
        {
            "id": np.arange(rows) + 1000,
            "length": length.round(1),
            "the weight": (10 * length + draw.normal(0, 5, rows)).round(1),
            "shop": np.where(length > 35, "Bonn", "Kiel"),
            "sort": np.where(length > 35, "boot", "shoe"),
            "note": np.where(np.arange(rows) % 2, "x", "y"),
        }
    )


@pytest.fixture(scope="module")
def shoes(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("shoes")
    table().to_csv(folder / "shoes.csv", index=False)
    data = {**SCHEMA["data"], "path": str(folder / "shoes.csv"), "missing": ["", "?"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMT_CACHE", str(session_cache))
        return mmtoolkit.run(mmtoolkit.parse_schema({**SCHEMA, "data": data}), folder / "run", figures=False).folder


@pytest.fixture(scope="module")
def run(shoes: Path) -> TrainedRun:
    return mmtoolkit.load(shoes)


def wrong() -> pd.DataFrame:
    """New rows with a wrong unit, swapped columns and a wrong class."""
    new = table(60, seed=1)
    new.loc[7, "the weight"] *= 10
    new.loc[20, ["length", "the weight"]] = new.loc[20, ["the weight", "length"]].tolist()
    new.loc[33, "sort"] = {"boot": "shoe", "shoe": "boot"}[new.loc[33, "sort"]]
    return new


@pytest.mark.slow
def test_wrong_cells_come_first(run: TrainedRun) -> None:
    with pytest.warns(DataWarning, match="left out: note: it is not modelled"):
        scores, suspects = run.score(wrong(), keep=["id"], top=5)
    assert list(scores) == ["id", *NEW]
    wrong_cells = {(7, "the weight"), (20, "length"), (20, "the weight"), (33, "sort")}
    assert {(s.row, s.column) for s in suspects[:4]} == wrong_cells
    by_column = {(s.row, s.column): s for s in suspects}
    label, number = by_column[33, "sort"], by_column[7, "the weight"]
    assert {label.cell, label.expected} == {"boot", "shoe"}
    assert number.cell == wrong().loc[7, "the weight"]
    assert float(number.expected) == pytest.approx(wrong().loc[7, "the weight"] / 10, rel=0.2)
    assert number.log_prob == scores.loc[7, "weight_log_prob"]
    assert number.rank == scores.loc[7, "weight_rank"] < 0.01
    assert [s.suspicion for s in suspects] == sorted((s.suspicion for s in suspects), reverse=True)
    assert scores["suspicion"].nlargest(3).index.sort_values().tolist() == [7, 20, 33]
    assert suspects[0].suspicion == scores["suspicion"].max()


@pytest.mark.filterwarnings("ignore::mmtoolkit.DataWarning")
def test_what_is_expected_of_a_cell_does_not_depend_on_how_many_are_listed(run: TrainedRun) -> None:
    few, many = (run.score(wrong(), top=top)[1] for top in (2, 30))

    assert many[:2] == few


def test_training_rows_have_ranks_evenly_from_0_to_1(run: TrainedRun) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        scores = run.score(table())
    for name in CELLS:
        ranks = np.sort(scores[f"{name}_rank"])
        assert abs(ranks - (np.arange(ROWS) + 0.5) / ROWS).max() < 0.1


def test_a_missing_cell_has_no_score_and_the_others_stay_as_they_are_without_it(run: TrainedRun) -> None:
    new = wrong().astype(object)
    new.loc[0, "length"] = None
    new.loc[1, ["length", "the weight", "shop"]] = None
    new.loc[2, ["length", "the weight", "shop", "sort"]] = None
    with pytest.warns(DataWarning, match="nothing else to infer z from: 1"):
        scores = run.score(new)
    known = scores[[f"{name}_log_prob" for name in CELLS]].notna()
    assert known.iloc[:3].to_numpy().tolist() == [[False, True, True, True], [False] * 4, [False] * 4]
    assert known.iloc[3:].all(axis=None)
    assert scores[[f"{name}_rank" for name in CELLS]].notna().to_numpy().tolist() == known.to_numpy().tolist()
    assert scores["log_likelihood"].isna().tolist() == [row == 2 for row in range(60)]
    assert scores["suspicion"].isna().tolist() == [row in (1, 2) for row in range(60)]


def test_a_column_of_a_record_is_hidden_alone(run: TrainedRun) -> None:
    """Against a slow loop over rows and draws."""
    model, k = run.model, 40
    batch = run.dataset.split("train").batch(torch.arange(5), run.device)
    scores = CellScorer(model, k, seeded(4)).cells(batch)
    generator = seeded(4)
    for name in model.modalities:
        others = [other for other in model.modalities if other != name]
        noise = torch.randn(k, 5, 3, generator=generator)
        for row in range(5):
            one = batch.take(torch.tensor([row]))
            q = model.posterior(one.only(others), frozenset(model.units))
            draws = [q.mean + q.variance.sqrt() * noise[draw, row] for draw in range(k)]
            with torch.no_grad():
                each = [float(model.log_prob(z, one, [name])[name]) for z in draws]
            explicit = math.log(sum(math.exp(x) for x in each) / k)
            assert float(scores[name][row]) == pytest.approx(explicit, abs=1e-4)


@pytest.mark.slow
def test_the_command_prints_the_worst_cells_and_writes_tables(
    run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    wrong().to_csv(tmp_path / "new.csv", index=False)
    done = mmt("score", run.folder, tmp_path / "new.csv", "--top", "4")
    assert done.status == 0, done.err
    assert_facts(done.out, "most suspicious cells", "row", "column", "cell", "expected", "suspicion", "log p", "rank")
    assert "effective sample size" not in done.err  # it is of the log-likelihoods of rows, which only --out has
    lines = [line.split() for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    assert {line[0] for line in lines} == {"8", "21", "34"}
    assert any(line[1:4] == ["the", "weight", str(wrong().loc[7, "the weight"])] for line in lines)
    for ending in ("parquet", "csv", "json"):
        done = mmt("score", run.folder, tmp_path / "new.csv", "--out", tmp_path / f"s.{ending}", "--keep", "id")
        assert (done.status, done.out) == (0, f"{tmp_path / f's.{ending}'}\n"), done.err
    written = pa.parquet.read_table(tmp_path / "s.parquet")
    assert written.schema.names == ["id", *NEW]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with applied(compute_afterwards(run.folder)):  # as commands do
            in_memory = run.score(wrong())
    frames = [pd.read_csv(tmp_path / "s.csv"), pd.DataFrame(json.loads((tmp_path / "s.json").read_text()))]
    for frame in (written.to_pandas(), *frames):
        np.testing.assert_allclose(frame[NEW].to_numpy(), in_memory.to_numpy(), rtol=1e-9)
    done = mmt("score", run.folder, tmp_path / "new.csv", "--out", "-", "--top", "1")
    assert done.out.splitlines()[0] == ",".join(NEW)
    assert_facts(done.err, "most suspicious cells")


def test_the_command_prints_what_orders_cells_and_doubts_only_what_it_shows(run: TrainedRun, tmp_path: Path) -> None:
    wrong().to_csv(tmp_path / "new.csv", index=False)
    command: list[str | Path] = ["score", run.folder, tmp_path / "new.csv", "--ranks", "table", "--samples", "20"]
    done = mmt(*command, "--top", "3")
    assert (done.status, "log_likelihood" in done.err) == (0, False)
    assert_facts(done.out, "suspicion", "log p", "rank")
    rows = [line.split() for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    suspicions = [float(row[-3].replace(",", "")) for row in rows]
    assert suspicions == sorted(suspicions, reverse=True)
    done = mmt(*command, "--out", tmp_path / "s.csv")
    assert_facts(done.err, "effective sample size under 10", "log_likelihood", "--samples")


@pytest.mark.parametrize("kind", [pa.Table.from_pandas, polars.from_pandas], ids=["arrow", "polars"])
def test_other_frames_have_null_where_there_is_no_score(run: TrainedRun, kind: Any) -> None:
    new = table(4)
    new["length"] = [None, *new["length"][1:]]
    with pytest.warns(DataWarning):
        scores = run.score(kind(new))
    column = scores["length_log_prob"]
    assert [cell is None for cell in (column.to_pylist() if isinstance(column, pa.ChunkedArray) else column)] == [
        True,
        False,
        False,
        False,
    ]


def test_ranks_outlive_the_data_or_come_from_the_table(run: TrainedRun, shoes: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(shoes, copy)
    shutil.rmtree(copy / "references", ignore_errors=True)
    wrong().to_csv(tmp_path / "new.csv", index=False)
    done = mmt("score", copy, tmp_path / "new.csv", "--samples", "7")
    assert_facts(done.err, "ranks: ", "270 training rows")
    assert (copy / "references" / "7.safetensors").exists()
    data = shoes.parent / "shoes.csv"
    data.rename(tmp_path / "moved.csv")
    try:
        again = mmt("score", copy, tmp_path / "new.csv", "--samples", "7")
        assert (again.status, again.out) == (0, done.out)
        assert "ranks: " not in again.err
        refused = mmt("score", copy, tmp_path / "new.csv", "--samples", "8")
        assert refused.status == 2
        assert_facts(refused.err, "shoes.csv", "ranks: ", "training rows cannot be read; ", "--ranks table")
        own = mmt("score", copy, tmp_path / "new.csv", "--samples", "8", "--ranks", "table", "--top", "3")
        assert own.status == 0, own.err
        rows = {line.split()[0] for line in own.out.splitlines() if line.strip()[:1].isdigit()}
        assert rows > {"8", "21"}
    finally:
        (tmp_path / "moved.csv").rename(data)


def test_what_is_refused(run: TrainedRun, tmp_path: Path) -> None:
    frame = table(3)
    for options, fault in (
        ({"samples": 0}, "samples: 0 does not fit; give a whole number of 1 or more"),
        ({"top": -1}, "top: -1 does not fit; give a whole number of 0 or more"),
        ({"ranks": "valid"}, "ranks: 'valid' does not fit; choose train or table"),
        ({"keep": ["idd"]}, "has no column 'idd' to keep"),
    ):
        with pytest.raises(UserError) as error:
            run.score(frame, **options)
        assert_facts(str(error.value), fault)
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert_refused(mmt("score", run.folder, tmp_path / "t.csv", "--keep", "id"), ["--keep: ", "; add --out FILE"])


MODALITIES: Mapping[str, Any] = {"size": Numeric(), "sort": Label(), "age": Numeric()}
ROWS_OF_ALL = {
    "size": [float(n % 7) for n in range(40)],
    "sort": ["ab"[n % 2] for n in range(40)],
    "age": [float(n % 5) for n in range(40)],
}
FEW = pd.DataFrame({"size": [1.0, 2.0, np.nan], "sort": ["a", "b", "a"], "age": [2.0, np.nan, np.nan]})


def scored(model: Any, folder: Path) -> tuple[pd.DataFrame, str]:
    run = untrained(dict(MODALITIES), folder, lambda line: None, model, train=ROWS_OF_ALL)
    with pytest.warns(DataWarning) as notes:
        scores = run.score(FEW, samples=20)
    return scores, "\n".join(str(note.message) for note in notes)


def test_a_cvae_scores_its_target_given_the_conditions(tmp_path: Path) -> None:
    scores, notes = scored(CVAE(latent_dim=2), tmp_path)
    assert_facts(notes, "left out: sort: the model decodes given sort", "left out: age", "lack sort, age: 2")
    assert [column for column in scores if column.endswith("_rank")] == ["size_rank"]
    assert scores["size_log_prob"].notna().tolist() == [True, False, False]
    assert scores["log_likelihood"].notna().tolist() == [True, False, False]


def test_a_model_of_one_modality_scores_rows_alone(tmp_path: Path) -> None:
    scores, notes = scored(VAE(latent_dim=2), tmp_path)
    assert_facts(notes, "left out: size: the model infers z only from size", "sort: the model does not decode sort")
    assert list(scores) == ["log_likelihood", "log_likelihood_error", "suspicion"]
    assert scores["log_likelihood"].notna().tolist() == [True, True, False]
    assert scores["suspicion"].isna().all()


def test_a_model_without_prior_scores_cells_alone(tmp_path: Path) -> None:
    scores, notes = scored(MMVM(latent_dim=2), tmp_path)
    assert_facts(notes, "nothing else to infer z from: 1", "log_likelihood is empty", "no p(z)")
    assert scores["log_likelihood"].isna().all()
    assert scores["sort_log_prob"].notna().tolist() == [True, True, False]


@pytest.mark.parametrize("model", [MVAE(latent_dim=2), BiVCCA(latent_dim=2)], ids=["mvae", "bivcca"])
def test_each_of_two_is_scored_given_the_other(model: Any, tmp_path: Path) -> None:
    two = {name: MODALITIES[name] for name in ("size", "sort")}
    run = untrained(two, tmp_path, lambda line: None, model, train={name: ROWS_OF_ALL[name] for name in two})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        scores = run.score(FEW[["size", "sort"]], samples=20)
    for name in two:
        assert scores[f"{name}_log_prob"].notna().tolist() == [True, True, False]
