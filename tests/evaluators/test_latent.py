"""What z holds of each modality: probes against closed forms and scikit-learn, on z that is known."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facts import assert_facts
from mmt_attributes import Attributes, Label, Numeric, TimeOfDay
from mmtoolkit import VAE, Batch, Latent, Network, TrainedRun, UserError, build
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.evaluators.jackknife import jackknife
from mmtoolkit.evaluators.latent import ProbeEntry
from mmtoolkit.evaluators.probes import Rows, accuracy_of_probe, nmi_of_clusters, r2_of_probe
from toys import Vector, seeded
from untrained import untrained

PETS = ("cat", "dog", "owl")
MODALITIES = {
    "point": Vector(size=3),
    "pet": Label(classes=PETS),
    "size": Numeric(modelled=False),
    "face": Attributes(columns=("old", "rare"), values=("0", "1"), modelled=False),
    "colour": Label(classes=("red", "blue"), modelled=False),
}


class Known(Network):
    """Infers z = the point itself; from the pet alone it infers nothing."""

    def forward(self, batch: Batch, *options: Any, **more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def subsets(self) -> None:
        return None

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        mean = torch.zeros(batch.size, 3)
        if "point" in given:
            mean[batch.rows("point")] = batch.value("point")
        return Gaussian(mean, torch.zeros_like(mean))


class Split(Known):
    """Shares the first two numbers of z alone."""

    @property
    def shared(self) -> slice:
        return slice(0, 2)


def table(rows: int, seed: int) -> dict[str, Any]:
    """Points whose first number tells the pet, and whose last tells size and one attribute; the colour is chance."""
    draw = np.random.default_rng(seed)
    point = draw.normal(size=(rows, 3))
    pet = draw.integers(0, 3, size=rows)
    point[:, 0] = 8 * (pet - 1.0) + draw.normal(size=rows)
    return {
        "point": [[float(x) for x in row] for row in point],
        "pet": [PETS[k] for k in pet],
        "size": [3 + 2 * float(x) + float(e) for x, e in zip(point[:, 2], draw.normal(size=rows), strict=True)],
        "old": [str(int(x > 0)) for x in point[:, 2]],
        "rare": [None if x else "0" for x in draw.random(rows) < 0.3],
        "colour": [("red", "blue")[int(x)] for x in draw.random(rows) < 0.3],
    }


def known_run(folder: Path, network: type[Network] = Known, train: int = 400, test: int = 300) -> TrainedRun:
    run = untrained(MODALITIES, folder, train=table(train, 0), test=table(test, 1))
    seen = {name: run.modalities[name] for name in ("point", "pet")}
    return replace(run, model=network(seen, 3).eval())


def scores_of(run: TrainedRun, split: str = "test", **options: Any) -> tuple[dict[Any, dict[str, Any]], list[str]]:
    """(target, given, metric) -> result; and the notes."""
    (score,) = run.evaluate([Latent(**options)], split)
    by_key = {(r["target"][0], tuple(r["given"]), r["metric"]): r for r in score["results"]}
    assert len(by_key) == len(score["results"])
    return by_key, score["notes"]


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    return known_run(tmp_path)


def test_a_probe_finds_what_z_holds_and_nothing_else(run: TrainedRun) -> None:
    results, _ = scores_of(run)
    point = ("point",)
    assert results["pet", point, "accuracy"]["value"] > 0.99
    assert results["pet", point, "nmi"]["value"] > 0.95
    assert results["size", point, "r2"]["value"] == pytest.approx(0.8, abs=0.06)  # variance 4 of 5
    assert results["face", point, "accuracy"]["value"] > 0.95
    colour = results["colour", point, "accuracy"]
    assert abs(colour["value"] - 0.7) < 4 * colour["stderr"] + 0.02
    assert results["colour", point, "nmi"]["value"] < 0.05
    blind = results["pet", ("pet",), "accuracy"]  # whose z is 0 everywhere
    assert blind["value"] == blind["baseline"]
    assert results["pet", ("pet",), "nmi"]["value"] == 0.0
    assert {result["better"] for result in results.values()} == {"high"}
    assert {result["rows"] for result in results.values()} == {400}
    assert {result["examples"] for result in results.values()} == {300}


def test_the_default_entries_are_each_unit_and_everything(run: TrainedRun) -> None:
    results, notes = scores_of(run)
    givens = (("point",), ("pet",), ("point", "pet"))
    assert {(target, given) for target, given, _ in results} == {
        (target, given) for target in ("pet", "size", "face", "colour") for given in givens
    }
    (note,) = notes
    assert_facts(note, "left out: ", "point", "neither classes nor quantities")


def test_the_baseline_is_the_most_frequent_training_class(run: TrainedRun) -> None:
    results, _ = scores_of(run, clusters=False)
    assert "nmi" not in {metric for _, _, metric in results}
    train, test = table(400, 0), table(300, 1)
    usual = max(PETS, key=train["pet"].count)
    assert results["pet", ("point",), "accuracy"]["baseline"] == pytest.approx(test["pet"].count(usual) / 300)
    assert results["size", ("point",), "r2"]["baseline"] == 0.0


def test_only_the_shared_part_of_z_is_read(own_cache: Path, tmp_path: Path) -> None:
    results, _ = scores_of(known_run(tmp_path, Split))
    assert results["pet", ("point",), "accuracy"]["value"] > 0.99
    assert abs(results["size", ("point",), "r2"]["value"]) < 0.05  # it stands in the third number


def test_scores_are_the_same_again_and_in_any_company(run: TrainedRun) -> None:
    once, _ = scores_of(run, rows=150)
    torch.manual_seed(5)
    np.random.seed(5)
    again, notes = scores_of(run, rows=150)
    assert once == again
    assert_facts(notes[-1], "150 rows", "400 of train", "300 of test", "raise rows")
    entry = ProbeEntry(target=("size",), given=("point",))
    alone, _ = scores_of(run, rows=150, entries=(entry,))
    assert alone == {("size", ("point",), "r2"): once["size", ("point",), "r2"]}
    assert once["size", ("point",), "r2"]["rows"] == once["size", ("point",), "r2"]["examples"] == 150


def test_rows_without_the_target_or_the_given_do_not_count(own_cache: Path, tmp_path: Path) -> None:
    train, test = table(200, 0), table(100, 1)
    train["point"][:50], train["size"][40:80] = [None] * 50, [None] * 40
    test["point"][:30], test["size"][90:] = [None] * 30, [None] * 10
    whole = known_run(tmp_path)
    run = untrained(MODALITIES, tmp_path / "holes", train=train, test=test)
    results, _ = scores_of(replace(run, model=whole.model))
    size = results["size", ("point",), "r2"]
    assert (size["rows"], size["examples"]) == (120, 60)
    z, y = torch.tensor(train["point"][80:]).double(), torch.tensor(train["size"][80:]).double()
    z_test, y_test = torch.tensor(test["point"][30:90]).double(), torch.tensor(test["size"][30:90]).double()
    assert size["value"] == pytest.approx(_ridge_r2(z, y, z_test, y_test), rel=1e-6)


def _ridge_r2(z: Tensor, y: Tensor, z_scored: Tensor, y_scored: Tensor) -> float:
    """R² of ridge regression by its normal equations, on z with one scale."""
    mean, std = z.mean(0), ((z - z.mean(0)).square().sum() / z.numel()).sqrt()
    centre, scale = y.mean(), y.std(correction=0)
    x = (z - mean) / std
    weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]).double(), x.T @ ((y - centre) / scale))
    predicted = (z_scored - mean) / std @ weights * scale + centre
    return float(1 - (y_scored - predicted).square().sum() / (y_scored - y_scored.mean()).square().sum())


def _rows(z: Tensor, numbers: Tensor, known: Tensor | None = None) -> Rows:
    return Rows(z, numbers, torch.ones_like(numbers, dtype=torch.bool) if known is None else known)


def test_r2_is_that_of_ridge_regression_averaged_over_parts_that_vary() -> None:
    z, z_scored = (torch.randn(60, 2, generator=seeded(k)).double() for k in (1, 2))
    numbers, numbers_scored = (
        torch.stack([x[:, 0] + 0.3 * x[:, 1].cos(), x[:, 1] * 1e9, torch.ones(60).double()], 1) for x in (z, z_scored)
    )
    result = r2_of_probe(_rows(z, numbers), _rows(z_scored, numbers_scored))
    by_part = [_ridge_r2(z, numbers[:, k], z_scored, numbers_scored[:, k]) for k in (0, 1)]
    assert result["value"] == pytest.approx(sum(by_part) / 2, rel=1e-9)
    constant = r2_of_probe(_rows(z, numbers[:, 2:]), _rows(z_scored, numbers_scored[:, 2:]))
    assert (constant["value"], constant["stderr"], constant["examples"]) == (None, None, 60)


def test_the_standard_error_of_r2_is_how_much_it_varies_over_samples() -> None:
    z = torch.randn(4000, 1, generator=seeded(0)).double()
    y = z + torch.randn(4000, 1, generator=seeded(1)).double()
    learned = _rows(z[:1000], y[:1000])
    results = [r2_of_probe(learned, _rows(z[k : k + 60], y[k : k + 60])) for k in range(1000, 4000, 60)]
    values, errors = ([result[key] for result in results] for key in ("value", "stderr"))
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.25)


def test_unknown_parts_are_neither_learned_from_nor_scored() -> None:
    z = torch.linspace(-1, 1, 40).double().unsqueeze(1)
    numbers = (torch.cat([z, -z], 1) > 0).double()
    known = torch.ones(40, 2, dtype=torch.bool)
    known[::2, 1] = False
    spoilt = torch.where(known, numbers, 7.0)  # a class that no known cell has
    clean = accuracy_of_probe(_rows(z, spoilt, known), _rows(z, spoilt, known))
    assert clean["value"] == 1.0
    assert clean["examples"] == 40
    nothing = accuracy_of_probe(_rows(z, numbers, torch.zeros_like(known)), _rows(z, numbers))
    assert (nothing["value"], nothing["examples"]) == (None, 0)


def test_accuracy_has_the_standard_error_of_a_mean() -> None:
    z = torch.tensor([[-1.0], [1.0]] * 10).double()
    numbers = (z > 0).double()
    wrong = numbers.clone()
    wrong[:4] = 1 - wrong[:4]
    result = accuracy_of_probe(_rows(z, numbers), _rows(z, wrong))
    assert result["value"] == 0.8
    assert result["stderr"] == pytest.approx(math.sqrt(0.8 * 0.2 / 19))


def test_clusters_that_are_the_classes_have_all_their_information() -> None:
    classes = torch.arange(60) % 3
    z = 10.0 * classes.double().unsqueeze(1) + 0.1 * torch.randn(60, 1, generator=seeded()).double()
    rows = _rows(z, classes.double().unsqueeze(1))
    result = nmi_of_clusters(rows, rows, 0)
    assert result["value"] == pytest.approx(1.0)
    assert result["stderr"] == 0.0
    merged = _rows(z, (classes > 0).double().unsqueeze(1))  # of two, so one cluster has two or three's halves
    value = nmi_of_clusters(rows, merged, 0)["value"]
    h3, h2 = math.log(3), -(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3)
    assert value == pytest.approx(h2 / ((h3 + h2) / 2))


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = torch.randn(5000, generator=seeded()).double()
    error = jackknife(5000, lambda places: float(x[places].mean()))
    groups = torch.stack([x[k::10].mean() for k in range(10)])  # the error of a mean of ten means
    assert error == pytest.approx(float(groups.std()) / math.sqrt(10), rel=1e-9)
    assert jackknife(19, lambda places: 1.0) is None


# What cannot be probed.


def test_too_few_rows_are_named(own_cache: Path, tmp_path: Path) -> None:
    train = {**table(6, 0), "size": [1.0, *[None] * 5]}
    run = replace(untrained(MODALITIES, tmp_path, train=train, test=table(5, 1)), model=known_run(tmp_path / "k").model)
    results, notes = scores_of(run, entries=(ProbeEntry(target=("size",), given=("point",)),))
    (result,) = results.values()
    assert (result["value"], result["rows"], result["examples"]) == (None, 1, 5)
    assert_facts(notes[0], "size from point", "one training row", "needs 2")


def test_entries_that_cannot_be_are_refused(run: TrainedRun) -> None:
    def faults(target: str, given: str) -> str:
        evaluator = Latent(entries=(ProbeEntry(target=(target,), given=(given,)),))
        evaluator.check(tuple(run.modalities))
        with pytest.raises(UserError) as raised:
            evaluator.check_model(run.model)
        return raised.value.faults[0]

    assert_facts(faults("pet", "size"), "evaluate, latent: pet from size: ", "size is not modelled", "; change")
    assert_facts(faults("point", "pet"), "point from pet: ", "neither classes nor quantities")
    vae = build(VAE(latent_dim=2), {name: run.modalities[name] for name in ("point", "pet")}, seed=0)
    with pytest.raises(UserError, match="does not infer z from pet"):
        Latent(entries=(ProbeEntry(target=("pet",), given=("pet",)),)).check_model(vae)
    with pytest.raises(ValueError, match="no given; name"):
        Latent(entries=(ProbeEntry(target=("pet",), given=()),)).check(("point", "pet"))


def test_an_hour_is_left_out(own_cache: Path, tmp_path: Path) -> None:
    hours = {"hour": ["08:00", "12:30", "23:59"], "size": [1.0, 2.0, 3.0]}
    run = untrained({"hour": TimeOfDay(), "size": Numeric()}, tmp_path, train=hours, test=hours)
    results, notes = scores_of(run)
    assert {target for target, _, _ in results} == {"size"}
    assert_facts(notes[0], "hour", "neither classes nor quantities")


def test_z_that_is_not_finite_has_no_score(run: TrainedRun) -> None:
    class Broken(Known):
        def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
            q = super().posterior(batch, given)
            return Gaussian(q.mean + math.nan, q.logvar)

    broken = Broken(run.model.units, 3).eval()
    results, notes = scores_of(replace(run, model=broken))
    assert {result["value"] for result in results.values()} == {None}
    assert_facts(notes[1], "pet from point", "not finite", "diverged")


def test_it_says_how_to_install_scikit_learn(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError) as raised:
        Latent().check_model(run.model)
    assert_facts(str(raised.value), "evaluate, latent ", "scikit-learn", "pip install 'mmtoolkit[sklearn]'", "remove")
