"""Predictions in detail and their calibration, against loops over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from mmt_attributes import Attributes, Label, Numeric
from mmt_binary import Binary
from mmt_text import Text
from mmtoolkit import TrainedRun
from mmtoolkit.evaluators import Prediction
from mmtoolkit.evaluators.points import PointScores
from toys import EXAMPLES, Vector
from untrained import untrained

WORDS = ["", "a", "ab", "ba", "bba", "ab", "b", None, "aba", "ab"]
TABLE: dict[str, list[Any]] = {
    "number": [0.5, -1.0, 2.0, None, 0.1, 1.5, -0.3, 0.9, -2.0, 0.0],
    "word": WORDS,
    "pet": ["cat", "dog", "cat", "cat", None, "dog", "cat", "cat", "dog", "cat"],
    "male": ["1", "0", "1", None, "1", "0", "0", "1", "1", "0"],
    "old": ["1", None, "1", None, "0", "0", "0", "1", None, "0"],
    "rare": [None, None, None, None, None, "1", None, None, None, None],
    "height": [1.7, None, 1.8, 1.6, 1.5, None, 1.9, None, 1.7, 1.8],
    "weight": [70.0, 60.0, None, 55.0, 50.0, None, 90.0, 80.0, None, 75.0],
}
MODALITIES = {
    "number": Numeric(),
    "word": Text(length=3, alphabet=("a", "b")),
    "pet": Label(classes=("cat", "dog")),
    "male": Binary(values=("0", "1")),
    "face": Attributes(columns=("male", "old", "rare"), values=("0", "1")),
    "body": Numeric(columns=("height", "weight")),
}


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    run = untrained(MODALITIES, tmp_path, train=TABLE)
    for decoder in run.model.decoders:  # far from zero, so that draws of z differ in what they predict
        for parameter in decoder.parameters():
            parameter.requires_grad_(False).mul_(2.0)
    return run


def scores_of(run: TrainedRun, target: str, **options: Any) -> dict[str, dict[str, Any]]:
    """Metric -> result of a target from the number."""
    entries = [{"target": [target], "given": ["number"]}]
    (score,) = run.evaluate([Prediction(entries=entries, **options)], "train")
    return {result["metric"]: result for result in score["results"]}


def rows(run: TrainedRun, target: str) -> list[int]:
    """The rows with the number and the target."""
    numbered, present = (
        run.dataset.splits["train"].present[:, list(run.modalities).index(name)] for name in ("number", target)
    )
    return (numbered & present).nonzero().squeeze(1).tolist()


def posterior_means(run: TrainedRun) -> Any:
    batch = next(iter(run.batches("train")))
    return run.model.decode(run.model.infer(batch, ["number"]).mean, batch, run.model.targets)


def mean_and_error(values: list[float]) -> tuple[float, float | None]:
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def agrees(result: dict[str, Any], values: list[float], baseline: list[float]) -> None:
    mean, error = mean_and_error(values)
    assert result["examples"] == len(values)
    assert result["value"] == pytest.approx(mean, rel=1e-5, abs=1e-7)
    assert result["stderr"] == (None if error is None else pytest.approx(error, rel=1e-5, abs=1e-7))
    assert result["baseline"] == pytest.approx(mean_and_error(baseline)[0], rel=1e-5, abs=1e-7)


# Details.


def test_each_attribute_is_scored_where_it_is_known(run: TrainedRun) -> None:
    results = scores_of(run, "face", details=True)
    assert list(results) == [
        "accuracy",
        "accuracy of male",
        "accuracy of old",
        "accuracy of rare",
        "calibration_error",
    ]
    cell = run.modalities["face"].cell
    point = run.modalities["face"].point(posterior_means(run)["face"])
    frequent = cell(run.baselines["face"])
    for column in ("male", "old", "rare"):
        known = [row for row in rows(run, "face") if TABLE[column][row] is not None]
        agrees(
            results[f"accuracy of {column}"],
            [float(cell(point[row])[column] == TABLE[column][row]) for row in known],
            [float(frequent[column] == TABLE[column][row]) for row in known],
        )
    assert results["accuracy of rare"]["examples"] == 1
    assert results["calibration_error"]["examples"] == results["accuracy"]["examples"] == 9


def test_each_position_is_scored_in_the_texts_that_reach_it(run: TrainedRun) -> None:
    results = scores_of(run, "word", details=True)
    positions = [f"accuracy at position {i}" for i in (1, 2, 3)]
    assert list(results) == ["exact_match", "character_accuracy", *positions, "character_error_rate"]
    written = run.modalities["word"].cell
    point = run.modalities["word"].point(posterior_means(run)["word"])
    frequent = written(run.baselines["word"])
    assert frequent == "ab"
    words = [word or "" for word in WORDS]
    for i, name in enumerate(positions):
        reaching = [row for row in rows(run, "word") if len(words[row]) > i]
        assert reaching
        agrees(
            results[name],
            [float(written(point[row])[i : i + 1] == words[row][i]) for row in reaching],
            [float(frequent[i : i + 1] == words[row][i]) for row in reaching],
        )


def test_each_number_has_its_error_in_its_unit(run: TrainedRun) -> None:
    results = scores_of(run, "body", details=True)
    assert list(results) == [
        "squared_error",
        "absolute_error",
        "squared_error of height",
        "squared_error of weight",
        "absolute_error of height",
        "absolute_error of weight",
    ]
    point = run.modalities["body"].point(posterior_means(run)["body"]).detach()
    for place, column in enumerate(("height", "weight")):
        truth = {row: TABLE[column][row] for row in rows(run, "body") if TABLE[column][row] is not None}
        mean = sum(cell for cell in TABLE[column] if cell is not None) / sum(c is not None for c in TABLE[column])
        off = [float(point[row, 0, place]) - cell for row, cell in truth.items()]
        base = [mean - cell for cell in truth.values()]
        agrees(results[f"absolute_error of {column}"], [abs(x) for x in off], [abs(x) for x in base])
        agrees(results[f"squared_error of {column}"], [x * x for x in off], [x * x for x in base])


def test_details_are_averaged_over_draws(run: TrainedRun) -> None:
    results = scores_of(run, "face", details=True, samples=6)
    batch, face = next(iter(run.batches("train"))), run.modalities["face"]
    noise = torch.randn(6, batch.size, 3, generator=run.generator)
    with torch.no_grad():
        z = run.model.infer(batch, ["number"]).rsample(noise)
        points = [face.point(run.model.decode(draw, batch, ["face"])["face"]) for draw in z]
    known = [row for row in rows(run, "face") if TABLE["old"][row] is not None]
    shares = [sum(face.cell(p[row])["old"] == TABLE["old"][row] for p in points) / 6 for row in known]
    assert 0 < sum(shares) < len(shares)
    assert len(set(shares)) > 2  # draws differ
    assert results["accuracy of old"]["value"] == pytest.approx(sum(shares) / len(known))


@pytest.mark.parametrize("target", ["number", "pet", "male"])
def test_single_values_have_no_details(target: str, run: TrainedRun) -> None:
    assert scores_of(run, target, details=True) == scores_of(run, target)


def test_details_are_left_out_unless_asked_for(run: TrainedRun) -> None:
    assert list(scores_of(run, "face")) == ["accuracy", "calibration_error"]
    assert list(scores_of(run, "word")) == ["exact_match", "character_accuracy", "character_error_rate"]


def test_a_part_that_no_scored_row_has_is_no_number(own_cache: Path, tmp_path: Path) -> None:
    table = {"number": [1.0, 2.0, None], "a": ["0", "1", "0"], "b": [None, None, "1"]}
    modalities = {"number": Numeric(), "face": Attributes(columns=("a", "b"), values=("0", "1"))}
    results = scores_of(untrained(modalities, tmp_path, train=table), "face", details=True)
    nothing = {"value": None, "stderr": None, "examples": 0, "baseline": None}
    assert results["accuracy of b"].items() >= nothing.items()
    assert results["accuracy of a"]["examples"] == 2


@EXAMPLES
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=3, max_size=3), min_size=1, max_size=8))
def test_the_mean_over_what_is_known_is_that_of_the_columns(cells: list[list[float | None]]) -> None:
    """Each known entry counts once: in its column, and in its row as one of those known."""
    face = Attributes(columns=("a", "b", "c"), values=("0", "1"))
    x = torch.tensor([[[v or 0.0 for v in row], [float(v is not None) for v in row]] for row in cells])
    point = torch.ones_like(x)
    details = face.detailed_scores(point, x)
    for k, name in enumerate(face.names):
        known = [row[k] for row in cells if row[k] is not None]
        assert details[f"accuracy of {name}"].tolist() == known  # yes is said of all
    counts = x[:, 1].sum(1)
    total = sum(float(values.sum()) for values in details.values())
    assert float((face.scores(point, x)["accuracy"] * counts).sum()) == pytest.approx(total)


def test_a_modality_has_no_details_by_default() -> None:
    x = torch.zeros(3, 2)
    assert Vector().detailed_scores(x, x) == {}
    scores = PointScores(Vector(), torch.zeros(2), details=True)
    nothing = dict.fromkeys(("metric", "better", "value", "stderr", "baseline"))
    assert scores.results() == [{**nothing, "examples": 0}]


# Which way a score is better.


class Silent(Vector):
    """A vector of a plugin written for 0.1.0: it does not say which way its own scores are better."""

    kind: Literal["silent"] = "silent"  # type: ignore[assignment]

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        return {"error": super().scores(point, x)["squared_error"], "errors": (point != x).float().sum(1)}

    def metrics(self) -> dict[str, Metric]:
        return {"worst": Low(), "hits": High(), "length": Undirected()}


class Undirected(MeanMetric):
    """A mean that, as torchmetrics' own, does not say whether high is better."""

    def update(self, average: Any, x: Tensor) -> None:  # type: ignore[override]
        super().update(x)


class High(Undirected):
    higher_is_better = True  # type: ignore[assignment]


class Low(Undirected):
    higher_is_better = False  # type: ignore[assignment]


def test_a_score_without_a_stated_direction_has_none() -> None:
    scores = PointScores(Silent(), torch.zeros(2))
    scores.add(Silent().decoder(2)(torch.zeros(3, 2)), torch.ones(3, 2), torch.arange(3))
    directions = {result["metric"]: result["better"] for result in scores.results()}
    assert directions == {"error": None, "errors": None, "worst": "low", "hits": "high", "length": None}


@pytest.mark.parametrize("target", MODALITIES)
def test_every_score_of_ours_says_which_way_it_is_better(target: str, run: TrainedRun) -> None:
    """Each column and position too."""
    low = {"squared_error", "absolute_error", "calibration_error", "character_error_rate"}
    low |= {f"{error} of {column}" for error in low for column in ("height", "weight")}
    results = scores_of(run, target, details=True)
    assert {metric: result["better"] for metric, result in results.items()} == {
        metric: "low" if metric in low else "high" for metric in results
    }


# Calibration.


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = 15) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    total = 0.0
    for b in range(bins + 1):  # what is sure has a bin of its own
        inside = [i for i, c in enumerate(confidence) if b / bins <= c < (b + 1) / bins]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            total += len(inside) * abs(accuracy - sum(confidence[i] for i in inside) / len(inside))
    return total / len(confidence)


def of_labels(p: list[Any], x: Tensor, row: int) -> list[tuple[float, bool]]:
    mean = torch.stack([draw.probs[row] for draw in p]).mean(0)
    return [(float(mean.max()), int(mean.argmax()) == int(x[row]))]


def of_binaries(p: list[Any], x: Tensor, row: int) -> list[tuple[float, bool]]:
    return [(sum(float(draw.probs[row]) for draw in p) / len(p), bool(x[row] == 1))]


def of_attributes(p: list[Any], x: Tensor, row: int) -> list[tuple[float, bool]]:
    return [
        (sum(float(draw.base.probs[row, k]) for draw in p) / len(p), bool(x[row, 0, k] == 1))
        for k in range(3)
        if x[row, 1, k] == 1
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "statements"), [("pet", of_labels), ("male", of_binaries), ("face", of_attributes)])
@pytest.mark.parametrize("samples", [None, 1, 5])
def test_calibration_reads_probabilities_averaged_over_draws(
    samples: int | None, target: str, statements: Callable[..., Any], run: TrainedRun
) -> None:
    batch = next(iter(run.batches("train")))
    with torch.no_grad():
        q = run.model.infer(batch, ["number"])
        z = q.mean[None]
        if samples:
            z = q.rsample(torch.randn(samples, batch.size, 3, generator=run.generator))
        p = [run.model.decode(draw, batch, [target])[target] for draw in z]
    x = torch.zeros(batch.size, *run.modalities[target].event_shape())
    x[batch.rows(target)] = batch.value(target).float()
    pairs = [statement for row in rows(run, target) for statement in statements(p, x, row)]
    confidence, right = zip(*pairs, strict=True)
    results = scores_of(run, target, **({"samples": samples} if samples else {}))["calibration_error"]
    assert results["value"] == pytest.approx(expected_calibration_error(confidence, right), abs=1e-6)
    assert results["stderr"] is results["baseline"] is None


def test_what_is_sure_and_wrong_in_half_of_the_draws_is_unsure_on_average() -> None:
    """Draws that disagree: calibrated on average where it would not be draw by draw."""
    pets = Label(classes=("cat", "dog"))
    sure = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4)  # 2 draws of 4 rows
    x = torch.tensor([0, 1, 0, 1])
    p = torch.distributions.Categorical(probs=sure, validate_args=False)
    errors = {}
    for draws, truth in ((2, x), (1, x.repeat(2))):
        metric = pets.metrics()["calibration_error"]
        metric.update(pets.average(p, draws), truth)
        errors[draws] = float(metric.compute())
    assert errors == {2: pytest.approx(0.0), 1: pytest.approx(0.5)}
