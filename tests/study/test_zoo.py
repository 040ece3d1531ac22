"""Studies of any schema: a base of the user's own, words for its modalities, skill, and numbers of training."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.study.file import Score, Study
from mmtoolkit.study.grid import Cell, read_study
from mmtoolkit.study.process import Outcome, RunOutput
from mmtoolkit.study.table import numbers_of_run
from runs import mmt, sets

SHOP = """\
name: shop
data: {kind: table, path: shop.csv, split: {train: 0.6, valid: 0.2, test: 0.2}}
modalities:
  colour: {kind: label}
  price: {kind: numeric}
  sold: {kind: binary}
  shelf: {kind: label, modelled: false}
model: {kind: mvae, latent_dim: 2}
train: {epochs: 3, batch_size: 50}
"""
QUICK = "evaluate=[{kind: imputation, neighbours: 0}, {kind: log_likelihood, samples: 5, prior_samples: 10}]"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A schema on a table of 200 rows."""
    draw = np.random.default_rng(0)
    with (tmp_path / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["colour", "price", "sold", "shelf"])
        for _ in range(200):
            red = draw.random() < 0.5
            writer.writerow(
                [
                    "red" if red else "blue",
                    5 * red + draw.normal(),
                    "yes" if red else "no",
                    draw.choice(["left", "right"]),
                ]
            )
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return path


def score(**options: Any) -> Score:
    return Score.model_validate({"name": "score", "kind": "prediction", **options})


# Words for modalities.


def test_words_stand_for_the_modalities_that_the_model_learns(shop: Path) -> None:
    study, cells = read_study("zoo", base=shop)
    assert study.base == str(shop)
    assert {cell.schema.name for cell in cells} == {"shop"}
    assert [(s.name, s.target, s.given) for s in study.scores] == [
        ("skill: colour", ("colour",), ("price", "sold")),
        ("skill: price", ("price",), ("colour", "sold")),
        ("skill: sold", ("sold",), ("colour", "price")),
        ("joint log-likelihood", ("colour", "price", "sold"), ()),
        ("rows a second", (), ()),
    ]


def test_a_study_that_was_read_is_written_without_words(shop: Path, tmp_path: Path) -> None:
    study, cells = read_study("zoo", base=shop)
    path = tmp_path / "again.yaml"
    path.write_text(study.to_yaml())
    again, same = read_study(path)
    assert again.scores == study.scores
    assert [cell.folder for cell in same] == [cell.folder for cell in cells]


def test_each_word() -> None:
    names = ("a", "b", "c")
    whole = score(target="all", given="all").expanded(names)
    assert [(s.name, s.target, s.given) for s in whole] == [("score", names, names)]
    others = score(each=["b"], given="others").expanded(names)
    assert [(s.name, s.target, s.given) for s in others] == [("score: b", ("b",), ("a", "c"))]
    rest = score(target=["a", "b"], given="others", proposal="all").expanded(names)
    assert rest[0].proposal == names
    assert [(s.target, s.given) for s in rest] == [(("a", "b"), ("c",))]
    plain = score(target=["a"], given=["b"])
    assert plain.expanded(names) == [plain]


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ("kind: elbo, target: label", ("scores.0.target: 'label'", "list of modalities", "write [NAME], or all")),
        ("kind: elbo, target: [label], given: most", ("scores.0.given: 'most'", "list of modalities")),
        ("kind: elbo, target: others", ("scores.0.target: 'others'",)),
        ("target: all", ("scores.0: ", "kind", "history", "one of the two")),
        ("kind: elbo, history: seconds, target: all", ("scores.0: ", "kind", "history", "one of the two")),
        ("history: seconds, target: all", ("scores.0: ", "whole run", "remove target")),
    ],
)
def test_faults_of_scores(options: str, facts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"name: tiny\nbase: fashion_mini\nscores:\n  - {{name: one, {options}}}\n")
    with pytest.raises(UserError) as raised:
        read_study(path)
    line = next(line for line in raised.value.faults if line.startswith(f"{path}:4: "))
    assert_facts(line, *facts)


def test_a_base_that_is_not_there_or_has_a_fault(shop: Path) -> None:
    shop.write_text(SHOP.replace("epochs", "epoch"))
    refused = mmt("study", "zoo", "--base", shop)
    assert refused.status == 2
    assert_facts(refused.err, f"--base: {shop}:9: train.epoch: ", "unknown key", "'epochs'")
    assert_facts(mmt("study", "zoo", "--base", "fashion_mni").err, "--base: ", "fashion_mni", "'fashion_mini'")
    with pytest.raises(UserError, match=r"--base: .*nowhere\.yaml: there is no such file"):
        read_study("zoo", base="nowhere.yaml")


# Skill and history.


def number(options: dict[str, Any], results: list[dict[str, Any]], history: list[dict[str, Any]] | None = None) -> Any:
    """The number of one score of a run with these results of `prediction`, or the reason why there is none."""
    _, cells = read_study("zoo")
    schema = cells[0].schema
    evaluator = next(one for one in schema.evaluate if one.kind == "imputation")
    study = Study(name="tiny", base="fashion_mini", scores=(Score.model_validate({"name": "one", **options}),))
    cell = Cell({}, 0, "run", "run", "fashion_mini", (), schema)
    scores = [{"kind": "imputation", "options": evaluator.model_dump(mode="json"), "results": results}]
    numbers, absent = numbers_of_run(study, cell, {"scores": scores}, history or [], {})
    return absent["one"] if absent else (numbers[0].value, numbers[0].stderr)


def result(**facts: Any) -> dict[str, Any]:
    return {"target": ["label"], "given": ["image"], "stderr": 0.01, "examples": 7, **facts}


SKILL = {"kind": "imputation", "target": ["label"], "given": ["image"], "field": "skill"}


def test_skill_is_the_share_of_the_baseline_s_error_that_is_gone() -> None:
    accuracy = result(metric="accuracy", better="high", value=0.7, baseline=0.1)
    assert number(SKILL, [accuracy]) == pytest.approx((1 - 0.3 / 0.9, 0.01 / 0.9))
    squared = result(metric="squared_error", better="low", value=2.0, baseline=8.0)
    assert number(SKILL, [squared]) == pytest.approx((0.75, 0.01 / 8))
    worse = result(metric="squared_error", better="low", value=10.0, baseline=8.0)
    assert number(SKILL, [worse])[0] == pytest.approx(-0.25)
    perfect = result(metric="accuracy", better="high", value=1.0, baseline=1.0)
    assert number(SKILL, [perfect]) == (None, None)


def test_skill_is_of_the_first_metric_with_a_baseline_or_of_that_which_is_named() -> None:
    error = result(metric="calibration_error", better="low", value=0.1, baseline=None)
    accuracy = result(metric="accuracy", better="high", value=0.7, baseline=0.1)
    other = result(metric="squared_error", better="low", value=2.0, baseline=8.0)
    assert number(SKILL, [error, accuracy, other])[0] == pytest.approx(1 - 0.3 / 0.9)
    assert number({**SKILL, "metric": "squared_error"}, [error, accuracy, other])[0] == pytest.approx(0.75)
    assert number(SKILL, [error]) == "no result matches"
    why = "there is no metric 'accurcy'; did you mean 'accuracy'?; there are calibration_error, accuracy"
    assert number({**SKILL, "metric": "accurcy"}, [error, accuracy]) == why


def test_a_number_of_training_is_its_median_over_epochs() -> None:
    history = [{"epoch": epoch, "rows_per_second": speed} for epoch, speed in enumerate((10, 90, 100, 110, 500))]
    assert number({"history": "rows_per_second"}, [], history) == (100, None)
    assert number({"history": "rows"}, [], history) == "no epoch reports such a number"


# The zoo itself.


class InThisProcess:
    """Stands for a process that runs `mmt`, which would import PyTorch anew."""

    interrupted = killed = False

    def __init__(self, arguments: Sequence[str], threads: int, known: Collection[str] = ()) -> None:
        ended = mmt(*arguments)
        output = RunOutput(known)
        for line in ended.err.splitlines():
            output.add(line)
        self.output, self.outcome = output, output.outcome(ended.status, 0.0, "mmt")

    def wait(self) -> Outcome:
        return self.outcome


@pytest.mark.slow
def test_the_zoo_on_a_table_of_one_s_own(shop: Path, monkeypatch: pytest.MonkeyPatch, session_cache: Path) -> None:
    monkeypatch.setattr("mmtoolkit.study.jobs.RunProcess", InThisProcess)
    monkeypatch.setenv("MMT_CACHE", str(session_cache))
    out = shop.parent / "out"
    ended = mmt("study", "zoo", "--base", shop, "--out", out, *sets("train.epochs=2", QUICK))
    assert ended.status == 0, ended.err
    rows = list(csv.DictReader(io.StringIO((out / "table.csv").read_text())))
    study, cells = read_study(out / "study.yaml")
    assert {(row["model"], row["missing"]) for row in rows} == {
        (cell.labels["model"], cell.labels["missing"]) for cell in cells
    }
    assert {row["score"] for row in rows} == {one.name for one in study.scores}
    for cell in cells:
        folder = out / "runs" / cell.folder
        results = json.loads((folder / "results.json").read_text())["scores"]
        (filled,) = (one["results"] for one in results if one["kind"] == "imputation")
        (price,) = (one for one in filled if (one["target"], one["metric"]) == (["price"], "squared_error"))
        speeds = [json.loads(line)["rows_per_second"] for line in (folder / "history.jsonl").read_text().splitlines()]
        values = {
            row["score"]: float(row["value"])
            for row in rows
            if (row["model"], row["missing"]) == (cell.labels["model"], cell.labels["missing"])
        }
        assert values["skill: price"] == pytest.approx(1 - price["value"] / price["baseline"])
        assert values["rows a second"] == pytest.approx(statistics.median(speeds))
        keep = cell.schema.data.supervision
        assert (keep.keep if keep else 1) == (1 if cell.labels["missing"] == "0 %" else 0.8)
    assert (out / "figure.png").is_file()
    refused = mmt("study", "zoo", "--out", out)
    assert_facts(refused.err, f"{out}: ", "another study", "base", "--out FOLDER")


def test_the_zoos_train_their_models_alike() -> None:
    for name, base in (("zoo", "fashion_mini"), ("zoo-polymnist-small", "polymnist-small")):
        study, cells = read_study(name)
        assert study.base == base
        options = [cell.schema.model_dump(mode="json", exclude={"model"}) for cell in cells]
        for one in options:
            one["data"]["supervision"] = None
        assert all(one == options[0] for one in options)
        models = {cell.labels["model"] for cell in cells}
        assert len(cells) == 2 * len(models)
        assert {"mvae", "jmvae"} <= models
