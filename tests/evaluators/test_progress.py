"""Progress lines of a long evaluation."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import Classifier, Elbo, Evaluator, Imputation, LogLikelihood, Prediction, TrainedRun
from mmtoolkit.base import meter
from mmtoolkit.evaluators.classifier import Task
from mmtoolkit.evaluators.progress import metered_batches
from untrained import untrained

ROWS = 1100


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines, by a clock that advances 20 seconds each time it is read."""
    seconds = itertools.count(0, 20)
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    return []


@pytest.fixture
def run(lines: list[str], tmp_path: Path) -> TrainedRun:
    cells = {"a": [str(row % 3) for row in range(ROWS)], "b": [float(row) for row in range(ROWS)]}
    run = untrained({"a": Label(), "b": Numeric()}, tmp_path, lines.append, train=cells, test=cells)
    lines.clear()
    return run


@pytest.mark.parametrize(
    "evaluator",
    [
        Elbo(),
        Prediction(),
        LogLikelihood(samples=2, prior_samples=2),
        Imputation(rows=1000, neighbours=0),
    ],
    ids=lambda evaluator: evaluator.kind,
)
def test_evaluators_report_rows(evaluator: Evaluator, run: TrainedRun, lines: list[str]) -> None:
    evaluator.evaluate(run, "test")
    total = {"imputation": "1,000"}.get(evaluator.kind, "1,100")
    assert lines
    assert all(re.fullmatch(rf"{evaluator.kind}: [\d,]+ of {total} rows, about \d+ s left", line) for line in lines)


def test_a_classifier_reports_steps(run: TrainedRun, lines: list[str]) -> None:
    Classifier(entries=(Task(target=("a",), given=("b",)),), steps=4).evaluate(run, "test")
    start, *steps = lines
    assert_facts(start, "classifier: a from b: ", "4 steps", "1,100 training rows")
    assert steps == [f"classifier: a from b: {n} of 4 steps, about {20 * (4 - n)} s left" for n in (1, 2, 3)]


def test_requested_rows_are_counted(run: TrainedRun, lines: list[str]) -> None:
    sizes = [batch.size for batch in metered_batches(run, "test", "mine", torch.arange(6).split(2))]
    assert sizes == [2, 2, 2]
    assert lines == ["mine: 2 of 6 rows, about 40 s left", "mine: 4 of 6 rows, about 20 s left"]
