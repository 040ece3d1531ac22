"""Fréchet distance and precision, recall, density, coverage: against closed forms, loops and known points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import (
    CVAE,
    MVAE,
    VAE,
    Batch,
    Evaluator,
    Frechet,
    Gaussian,
    Network,
    Prdc,
    Run,
    TrainedRun,
    UserError,
    build,
)
from mmtoolkit.evaluators.frechet import frechet_distance
from mmtoolkit.evaluators.generated import GeneratedEntry
from mmtoolkit.evaluators.prdc import prdc
from toys import EXAMPLES, Vector, randn, seeded
from untrained import untrained

# The distance of two Gaussians.


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _with_moments(x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Points with exactly this mean and the covariance root root'."""
    centred = x - x.mean(0)
    whitened = centred @ torch.linalg.inv(torch.linalg.cholesky(centred.T @ centred / (len(x) - 1))).T
    points: Tensor = whitened @ root.T + mean
    return points


def test_the_distance_of_two_known_gaussians_is_their_closed_form() -> None:
    # Axes apart: |m - m'|² + sum (s - s')²
    root, other = torch.diag(torch.tensor([1.0, 2.0, 0.5]).double()), torch.diag(torch.tensor([3.0, 2.0, 0.1]).double())
    mean = torch.tensor([1.0, -2.0, 0.5]).double()
    x = _with_moments(randn(50, 3, seed=0), torch.zeros(3).double(), root)
    y = _with_moments(randn(40, 3, seed=1), mean, other)
    assert frechet_distance(x, y) == pytest.approx(5.25 + 4 + 0 + 0.16, rel=1e-9)
    # Any covariances: tr(S + S' - 2 (S^½ S' S^½)^½)
    root, other = randn(3, 3, seed=2), randn(3, 3, seed=3)
    s, t = root @ root.T, other @ other.T
    exact = 5.25 + s.trace() + t.trace() - 2 * _square_root(_square_root(s) @ t @ _square_root(s)).trace()
    x = _with_moments(randn(50, 3, seed=0), torch.zeros(3).double(), root)
    y = _with_moments(randn(40, 3, seed=1), mean, other)
    assert frechet_distance(x, y) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(("rows", "size"), [(30, 4), (5, 20), (20, 20)])
def test_equal_sets_are_at_distance_0_and_few_rows_take_the_same_formula(rows: int, size: int) -> None:
    x, y = randn(rows, size, seed=0), randn(rows, size, seed=1) @ randn(size, size, seed=2) + 1
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(x, x[torch.randperm(rows, generator=seeded())]) == pytest.approx(0.0, abs=1e-6)
    s, t = (torch.cov(z.T) for z in (x, y))
    root = _square_root(_square_root(s) @ t @ _square_root(s)).trace()
    exact = (x.mean(0) - y.mean(0)).square().sum() + s.trace() + t.trace() - 2 * root
    assert frechet_distance(x, y) == pytest.approx(float(exact), rel=1e-6)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)


# Points and their neighbours.


def _prdc_by_hand(real: Tensor, fake: Tensor, k: int) -> dict[str, list[float]]:
    def distance(a: Tensor, b: Tensor) -> float:
        return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True)))

    def radius(points: Tensor, i: int) -> float:
        return sorted(distance(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    def inside(x: Tensor, points: Tensor, i: int) -> bool:
        return distance(x, points[i]) < radius(points, i) or distance(x, points[i]) == 0

    balls = [[inside(x, real, i) for i in range(len(real))] for x in fake]
    return {
        "precision": [float(any(of)) for of in balls],
        "recall": [float(any(inside(x, fake, j) for j in range(len(fake)))) for x in real],
        "density": [sum(of) / k for of in balls],
        "coverage": [float(any(of[i] for of in balls)) for i in range(len(real))],
    }


@EXAMPLES
@given(n=st.integers(4, 9), m=st.integers(4, 9), k=st.integers(1, 3), whole=st.booleans(), seed=st.integers(0, 99))
def test_prdc_is_that_of_an_explicit_loop(n: int, m: int, k: int, whole: bool, seed: int) -> None:
    real, fake = randn(n, 2, seed=seed), 1.5 * randn(m, 2, seed=seed + 100)
    if whole:  # with equal points, and equal distances
        real, fake = real.round(), fake.round()
    got = prdc(real, fake, k)
    for name, exact in _prdc_by_hand(real, fake, k).items():
        assert got[name].tolist() == pytest.approx(exact), name


def test_prdc_of_points_on_a_line_as_computed_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])  # radii for k = 1: 1, 1, 2, 7
    fake = torch.tensor([[0.5], [2.5], [30.0]])  # radii: 2, 2, 27.5
    got = {name: of.tolist() for name, of in prdc(real, fake, 1).items()}
    assert got == {
        "precision": [1, 1, 0],
        "density": [2, 1, 0],  # 0.5 is near 0 and 1, 2.5 near 3; to 10 it has 7.5, more than 7
        "recall": [1, 1, 1, 1],  # 10 is within 27.5 of 30
        "coverage": [1, 1, 1, 0],
    }


def test_equal_sets_have_ones_and_sets_far_apart_zeros() -> None:
    x = randn(1200, 3)  # more than one chunk
    for name, of in prdc(x, x[torch.randperm(1200, generator=seeded())], 5).items():
        assert float(of.mean()) == pytest.approx(1.0), name
    for name, of in prdc(x, x + 100, 5).items():
        assert float(of.sum()) == 0.0, name
    means = prdc(x, 0.01 * x, 5)  # class means: real enough, and without variety
    assert float(means["precision"].mean()) > 0.95
    assert float(means["recall"].mean()) < 0.05
    with pytest.raises(ValueError, match="5 neighbours need 6 points or more, and there are 5; lower k"):
        prdc(x, x[:5], 5)


# On runs.

MODALITIES = {"point": Vector(size=2), "pair": Vector(size=2), "pet": Label(classes=("cat", "dog")), "size": Numeric()}


def table(rows: int, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    pet = draw.integers(0, 2, size=rows)
    point = draw.normal(size=(rows, 2)) + 4 * pet[:, None]
    return {
        "point": [[float(x) for x in row] for row in point],
        "pair": [[float(x) for x in row] for row in point[:, ::-1] + draw.normal(size=(rows, 2))],
        "pet": [("cat", "dog")[k] for k in pet],
        "size": draw.normal(size=rows).tolist(),
    }


class Copy(Network):
    """Infers z = the point, with no spread, and decodes it as itself; without the point z is from the prior."""

    def forward(self, batch: Batch, *options: Any, **more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def subsets(self) -> None:
        return None

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        mean, logvar = torch.zeros(batch.size, 2), torch.zeros(batch.size, 2)
        if "point" in given:
            mean[batch.rows("point")], logvar[batch.rows("point")] = batch.value("point"), -50.0
        return Gaussian(mean, logvar)


def copying(run: TrainedRun) -> TrainedRun:
    network = Copy(run.modalities, 2)
    with torch.no_grad():
        for decoder in (network.decoders.of("point"), network.decoders.of("pair")):
            decoder.weight.copy_(torch.eye(2))  # type: ignore[operator]
            decoder.bias.zero_()  # type: ignore[operator]
    return replace(run, model=network.eval())


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    return copying(untrained(MODALITIES, tmp_path, train=table(300, 0), test=table(200, 1)))


def scores_of(
    run: TrainedRun, evaluator: Evaluator, split: str = "test"
) -> tuple[dict[Any, dict[str, Any]], list[str]]:
    """(target, given, metric) -> result; and the notes."""
    (score,) = run.evaluate([evaluator], split)
    by_key = {(r["target"][0], tuple(r["given"]), r["metric"]): r for r in score["results"]}
    assert len(by_key) == len(score["results"])
    return by_key, score["notes"]


def test_a_model_that_copies_is_at_distance_0_and_its_prior_is_not(run: TrainedRun) -> None:
    results, notes = scores_of(run, Frechet(features="values"))
    assert results["point", ("point",), "frechet"]["value"] == pytest.approx(0.0, abs=1e-6)
    prior = results["point", (), "frechet"]
    truth = torch.tensor(table(200, 1)["point"]).double()
    noise = torch.cat([torch.randn(200, 2, generator=run.generator)]).double()
    sure = frechet_distance(truth, noise)
    assert prior["value"] == pytest.approx(sure, rel=0.3)  # with other draws of as many
    assert 0 < prior["stderr"] < prior["value"] / 3
    training = torch.tensor(table(300, 0)["point"]).double()
    assert prior["training"] == pytest.approx(frechet_distance(truth, training), abs=0.1)
    assert (prior["better"], prior["examples"], prior["features"]) == ("low", 200, "values")
    givens = {(), ("point",), ("pair",), ("pet",), ("size",)}
    assert {given for target, given, _ in results if target == "point"} == {*givens, ("pair", "pet", "size")}
    assert {target for target, _, _ in results} == {"point", "pair"}
    assert_facts(notes[0], "left out: pet, size: ", "single", "entries")


def test_prdc_of_a_run_is_that_of_its_values(run: TrainedRun) -> None:
    entries = (GeneratedEntry(target=("point",), given=("point",)), GeneratedEntry(target=("point",)))
    results, _ = scores_of(run, Prdc(features="values", k=3, entries=entries))
    for metric in ("precision", "recall", "density", "coverage"):
        assert results["point", ("point",), metric]["value"] == pytest.approx(1.0)
    noise = torch.randn(200, 2, generator=run.generator)  # one batch, so the evaluator's own
    exact = prdc(torch.tensor(table(200, 1)["point"]), noise, 3)
    for metric, of in exact.items():
        result = results["point", (), metric]
        assert result["value"] == pytest.approx(float(of.mean()), abs=1e-6)
        assert result["stderr"] == pytest.approx(float(of.std() / 200**0.5), rel=1e-6, abs=1e-9)
        assert result["better"] == "high"
    assert results["point", (), "coverage"]["training"] > 0.7  # some 7 in 8, as of any two sets alike


def test_scores_are_the_same_again_in_any_company_and_of_bounded_rows(run: TrainedRun) -> None:
    evaluator = Prdc(features="values", rows=80)
    once, _ = scores_of(run, evaluator)
    torch.manual_seed(4)
    assert once == scores_of(run, evaluator)[0]
    entry = GeneratedEntry(target=("pair",), given=("point",))
    alone, _ = scores_of(run, evaluator.model_copy(update={"entries": (entry,)}))
    assert alone == {key: result for key, result in once.items() if key[:2] == ("pair", ("point",))}
    assert {result["examples"] for result in once.values()} == {80}
    of_training, _ = scores_of(run, evaluator, "train")
    assert {result["training"] for result in of_training.values()} == {None}
    drawn, _ = scores_of(run, evaluator.model_copy(update={"predict": "sample"}))
    assert drawn["pair", ("point",), "recall"]["value"] != once["pair", ("point",), "recall"]["value"]


def test_rows_need_the_target_and_any_of_the_given(own_cache: Path, tmp_path: Path) -> None:
    test = table(40, 1)
    test["point"][:10], test["pair"][5:20] = [None] * 10, [None] * 15
    run = copying(untrained(MODALITIES, tmp_path, train=table(50, 0), test=test))
    entries = tuple(GeneratedEntry(target=("point",), given=given) for given in ((), ("pair",), ("pair", "pet")))
    results, notes = scores_of(run, Prdc(features="values", k=21, entries=entries))
    counts = {given: result["examples"] for (_, given, _), result in results.items()}
    assert counts == {(): 30, ("pair",): 20, ("pair", "pet"): 30}
    assert results["point", ("pair",), None]["value"] is None
    assert_facts(notes[-1], "point from pair: ", "20 rows", "need 22", "lower k")


@pytest.mark.parametrize("kind", [Frechet, Prdc])
def test_judges_are_named_and_their_features_are_compared(kind: Any, run: TrainedRun) -> None:
    entries = (GeneratedEntry(target=("point",), given=("point",)), GeneratedEntry(target=("point",)))
    results, notes = scores_of(run, kind(label="pet", entries=entries))
    assert {result["features"] for result in results.values()} == {"judge of pet"}
    (note,) = notes
    assert_facts(note, "features of point: ", "a judge of pet", "% of real rows")
    assert "chance" not in note
    perfect = {"frechet": 0.0, "precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}
    for (_, source, metric), result in results.items():
        if source:
            assert result["value"] == pytest.approx(perfect[metric], abs=1e-4)


def test_a_judge_near_chance_is_warned_of(run: TrainedRun, own_cache: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    cells = {**table(200, 0), "pet": [("cat", "dog")[k] for k in draw.integers(0, 2, size=200)]}
    blind = copying(untrained(MODALITIES, tmp_path / "blind", train=cells, test=cells))
    entry = GeneratedEntry(target=("pair",))
    _, notes = scores_of(blind, Frechet(label="pet", entries=(entry,), rows=50))
    assert_facts(notes[0], "features of pair: ", "a judge of pet", "hardly", "features: values")


class Mean(Frechet):
    """Features of one's own: the mean of a value."""

    kind: Literal["mean"] = "mean"  # type: ignore[assignment]

    def feature_name(self) -> str:
        return "mean of the value"

    def features_of(
        self, run: Run, split: str, names: Sequence[str], rows: Tensor
    ) -> tuple[Mapping[str, Callable[[Tensor], Tensor]], list[str]]:
        return {name: lambda x: x.flatten(1).mean(1, keepdim=True) for name in names}, []


def test_a_plugin_brings_features_of_its_own(run: TrainedRun) -> None:
    results, _ = scores_of(run, Mean(entries=(GeneratedEntry(target=("point",)),)))
    (result,) = results.values()
    truth = torch.tensor(table(200, 1)["point"]).mean(1, keepdim=True)
    noise = torch.randn(200, 2, generator=run.generator).mean(1, keepdim=True)
    assert result["value"] == pytest.approx(frechet_distance(truth, noise), rel=1e-5)
    assert result["features"] == "mean of the value"


# What cannot be.


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ("features: judge needs a label", "name one", "features: values")),
        ({"features": "values", "k": 10, "rows": 10}, ("10 neighbours need 11 rows", "rows is 10", "lower k")),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], facts: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as raised:
        Prdc(**options)
    assert_facts(str(raised.value), *facts)


def test_labels_and_entries_that_do_not_fit_are_refused(run: TrainedRun) -> None:
    names = tuple(run.modalities)
    with pytest.raises(ValueError, match="label: there is no modality 'pets'; the modalities are point"):
        Frechet(label="pets").check(names)
    with pytest.raises(ValueError, match=r"'pet' as target, and it is the label.*; take it out"):
        Frechet(label="pet", entries=(GeneratedEntry(target=("pet",)),)).check(names)
    with pytest.raises(UserError, match=r"evaluate, prdc: label: size .*no classes"):
        Prdc(label="size").check_modalities(run.modalities)


def test_models_that_cannot_generate_a_target_say_so(run: TrainedRun) -> None:
    vae = build(VAE(latent_dim=2, modality="point"), run.modalities, seed=0)
    with pytest.raises(UserError) as raised:
        Frechet(features="values", entries=(GeneratedEntry(target=("pair",)),)).check_model(vae)
    assert_facts(raised.value.faults[0], "evaluate, frechet: pair from nothing: ", "not decode pair", "; change")
    cvae = build(CVAE(latent_dim=2, target="size"), run.modalities, seed=0).eval()
    entries = tuple(GeneratedEntry(target=("size",), given=of) for of in ((), ("point", "pair", "pet")))
    evaluator = Prdc(features="values", entries=entries, unsupported="leave_out")
    results, notes = scores_of(replace(run, model=cvae), evaluator)
    assert {source for _, source, _ in results} == {("point", "pair", "pet")}
    assert_facts(notes[0], "left out: size from nothing: ", "decodes given point, pair, pet")


def test_a_model_without_a_prior_draws_nothing_from_it(run: TrainedRun) -> None:
    model: Any = build(MVAE(latent_dim=2), run.modalities, seed=0).eval()
    model.prior = None
    with pytest.raises(UserError) as raised:
        Frechet(features="values", entries=(GeneratedEntry(target=("point",)),)).check_model(model)
    assert_facts(raised.value.faults[0], "evaluate, frechet: point from nothing: ", "no p(z)", "name what is given")


def test_training_that_diverged_has_no_scores(run: TrainedRun) -> None:
    with torch.no_grad():
        run.model.decoders.of("point").bias.fill_(math.nan)  # type: ignore[operator]
    results, notes = scores_of(run, Frechet(features="values", entries=(GeneratedEntry(target=("point",)),)))
    (result,) = results.values()
    assert result["value"] is None
    assert_facts(notes[-1], "point from nothing", "not finite", "diverged")
