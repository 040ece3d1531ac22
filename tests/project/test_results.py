"""The catalogue's results: the files, the script that writes them, the tables of the documentation."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

import pairs
import record
from mmt_attributes import Label, Numeric
from mmtoolkit.catalogue import shipped
from mmtoolkit.catalogue.results import Result, RowByRow, read_result, result_files, row_by_row
from mmtoolkit.evaluators import LogLikelihood
from mmtoolkit.study.file import Score as StudyScore
from mmtoolkit.study.file import Study, axis_text
from mmtoolkit.study.grid import Cell, read_study
from runs import mmt
from untrained import untrained

STUDY = """\
name: tables-mnist
base: fashion_mini
set:
  data.rows: {train: 60, valid: 20, test: 20}
  train: {epochs: 2, batch_size: 30}
  evaluate: [{kind: log_likelihood, samples: 3, entries: [{target: [image], proposal: [image]}]}]
axes:
  model:
    jmvae: {model.kind: jmvae}
    mvae: {model.kind: mvae}
reference: {published: wu_goodman_2018, by: model, column: mnist}
scores:
  - {name: log p, kind: log_likelihood, target: [image], proposal: [image], reference: [table2, log p(x)]}
"""


@cache
def study_and_runs(name: str) -> tuple[Study, list[Cell]]:
    return read_study(name)


@pytest.mark.parametrize("path", result_files().values(), ids=result_files())
def test_a_result_agrees_with_its_study_and_with_what_is_published(path: Path) -> None:
    result = read_result(path)
    study, cells = study_and_runs(result.study)
    labels = [{axis: axis_text(label) for axis, label in cell.labels.items()} for cell in cells]
    assert result.run in labels
    assert result.command.startswith(f"mmt study {result.study}")
    assert {score.name for score in result.scores} <= {score.name for score in study.expanded_scores}
    assert result.resolved["train"]["epochs"] == result.epochs.trained
    assert result.epochs.planned == cells[labels.index(result.run)].schema.train.epochs
    for score in result.scores:
        if score.difference is not None:
            assert score.value is not None
            assert score.published is not None
            assert score.difference == pytest.approx(score.value - score.published, abs=1e-9)
    assert "/" not in str(result.resolved["data"]), "a result names a place of files"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study that stands for one of the catalogue."""
    path = tmp_path / "tables-mnist.yaml"
    path.write_text(STUDY)
    monkeypatch.setattr(shipped, "studies", lambda: {"tables-mnist": path})
    return path


@pytest.mark.slow
def test_a_study_of_runs_is_recorded(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mmt("study", study, "--out", out, "--set", "train.epochs=1").status == 0
    (tmp_path / "results").mkdir()
    names = [path.name for path in record.record(out, tmp_path / "results")]
    assert names == ["tables-mnist-jmvae-seed-0.yaml", "tables-mnist-mvae-seed-0.yaml"]
    result = read_result(tmp_path / "results" / names[1])
    assert (result.study, result.run, result.seed) == ("tables-mnist", {"model": "mvae"}, 0)
    assert (result.epochs.trained, result.epochs.planned, result.epochs.kept) == (1, 2, 1)
    assert result.command == "mmt study tables-mnist --set train.epochs=1"
    assert result.rows == {"train": 60, "valid": 20, "test": 20}
    assert result.seconds > 0
    (score,) = result.scores
    assert score.published is not None
    assert score.published == shipped.published("wu_goodman_2018")["table2"]["log p(x)"]["mvae"][1]
    assert score.value is not None
    assert score.difference == score.value - score.published
    assert score.stderr is not None
    assert score.stderr > 0
    assert "root" not in result.resolved["data"]
    compared = pairs.pairs(out, count=15, samples=3, steps=2)
    assert RowByRow.model_validate(compared).rows == 15
    means = {(mean["model"], mean["steps"]): mean["value"] for mean in compared["means"]}
    assert means["mvae", 2] > means["mvae", 0]
    steps_of_pairs = [(of["models"], of["steps"]) for of in compared["differences"]]
    assert steps_of_pairs == [(["jmvae", "mvae"], 0), (["jmvae", "mvae"], 2)]
    for of in compared["differences"]:
        assert of["value"] == pytest.approx(means["jmvae", of["steps"]] - means["mvae", of["steps"]])
        assert of["stderr"] > 0


def test_a_conditional_row_by_row_is_that_of_the_evaluator(tmp_path: Path) -> None:
    cells = {"a": [0.1, 2, 3] * 4, "b": ["z", "x", "y"] * 4}
    run = untrained({"a": Numeric(), "b": Label(classes=("x", "y", "z"))}, tmp_path, train=cells, test=cells)
    entry = {"target": ("a",), "given": ("b",), "proposal": ("a", "b")}
    score = StudyScore(name="log p(a | b)", kind="log_likelihood", **entry)
    (values,) = pairs.values_of(run, torch.arange(12), [score], 4000, 0).values()
    (result,) = LogLikelihood.model_validate({"entries": [entry], "samples": 4000}).evaluate(run, "test").results
    assert float(values.mean()) == pytest.approx(result["value"], abs=0.05)


def test_a_run_that_is_not_finished_is_left_out(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.yaml").write_text(STUDY)
    assert record.record(tmp_path / "out", tmp_path) == []
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["jmvae  seed 0", "left out"], ["mvae  seed 0", "left out"]]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "docs")
        return import_module("result_tables")


def result_of(model: str, value: float, published: float, stderr: float | None = 0.1) -> Result:
    score = {"name": "log p(x | y)", "value": value, "published": published, "difference": value - published}
    return Result.model_validate(
        {
            "study": "tables-mnist",
            "run": {"model": model},
            "command": "mmt study tables-mnist",
            "seed": 0,
            "epochs": {"trained": 200, "planned": 500, "kept": 190},
            "rows": {"train": 50000},
            "machine": {"device": "a processor", "threads": 1, "precision": "32-true"},
            "seconds": 7321.0,
            "finished": "2026-12-01T00:00:00+00:00",
            "versions": {"mmtoolkit": "0.2.0", "commit": "0123456789abcdef"},
            "scores": [{**score, "stderr": stderr}],
            "schema": {},
        }
    )


@pytest.mark.parametrize(
    ("ours", "stderr", "verdict"),
    [(-90.0, 0.1, "confirmed"), (-92.0, 0.1, "refuted"), (-91.2, 0.1, "not decided"), (-92.0, None, "the other way")],
)
def test_the_order_of_two_models(
    tables: ModuleType, monkeypatch: pytest.MonkeyPatch, ours: float, stderr: float | None, verdict: str
) -> None:
    two = {"a": result_of("jmvae", -91.0, -90.7, stderr), "b": result_of("mvae", ours, -90.6, stderr)}
    monkeypatch.setattr(tables, "results", lambda: two)
    page = tables.reproduction()
    assert "| mvae | 0 | 200 of 500 | 190 | 50,000 | 2 h 2 min | a processor, 1 thread | 0.2.0, 0123456789 |" in page
    error = "" if stderr is None else " ± 0.10"
    assert f"| log p(x \\| y) | mvae | {ours:.2f}{error} | -90.60 | {ours + 90.6:+.2f} |" in page
    both = "" if stderr is None else " ± 0.14"
    line = f"| log p(x \\| y) | jmvae − mvae | -0.10 | {-91 - ours:+.2f}{both} | {verdict} |"
    assert line in page


def test_an_order_is_decided_row_by_row_where_it_was_compared_so(
    tables: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {"a": result_of("jmvae", -91.0, -90.7), "b": result_of("mvae", -91.2, -90.6)}
    score = {"score": "log p(x | y)"}
    compared = RowByRow.model_validate(
        {
            "study": "tables-mnist",
            **{"rows": 2000, "samples": 1000, "steps": 50, "mmtoolkit": "0.2.0"},
            "means": [
                {**score, "steps": steps, "model": model, "value": value + steps / 100, "stderr": 0.2}
                for steps in (0, 50)
                for model, value in (("jmvae", -91.0), ("mvae", -91.2))
            ],
            "differences": [
                {**score, "steps": steps, "models": ["jmvae", "mvae"], "value": 0.21, "stderr": 0.03}
                for steps in (0, 50)
            ],
        }
    )
    monkeypatch.setattr(tables, "results", lambda: two)
    monkeypatch.setattr(tables, "row_by_row", lambda study: compared)
    page = tables.reproduction()
    assert "| log p(x \\| y) | jmvae − mvae | -0.10 | +0.21 ± 0.03 | refuted |" in page
    assert "| log p(x \\| y) | mvae | -91.20 ± 0.20 | -90.70 ± 0.20 |" in page
    assert "| log p(x \\| y) | jmvae − mvae | +0.21 ± 0.03 | +0.21 ± 0.03 |" in page
    assert "same 2,000 test rows, K = 1,000" in page


def test_the_rows_of_a_study_name_its_scores_and_models() -> None:
    files = sorted((shipped.registry() / "results" / "pairs").glob("*.yaml"))
    assert files
    for path in files:
        compared = row_by_row(path.stem)
        assert compared is not None
        study, cells = study_and_runs(compared.study)
        assert compared.study == path.stem
        models = {axis_text(cell.labels["model"]) for cell in cells}
        assert {mean.model for mean in compared.means} <= models
        assert {mean.score for mean in compared.means} <= {score.name for score in study.expanded_scores}
