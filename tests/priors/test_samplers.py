"""Samplers: a mixture that is fitted to z, against its closed form and known z, and its file in the run folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributions

from copying import Copying, Ignoring, copying_run
from facts import assert_facts
from mmtoolkit import TrainedRun, UserError
from mmtoolkit.priors import samplers
from mmtoolkit.priors.fitted_mixture import FittedMixture, fit_mixture
from mmtoolkit.priors.samplers import sampler_of
from mmtoolkit.runs.folder import read_results
from runs import SMALL, assert_refused, mmt, sets
from toys import randn

pytest.importorskip("sklearn")

WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([[-4.0, 0.0], [3.0, 2.0]], dtype=torch.float64)
COVARIANCES = torch.tensor([[[1.0, 0.8], [0.8, 1.0]], [[0.5, -0.3], [-0.3, 2.0]]], dtype=torch.float64)


def two() -> FittedMixture:
    return FittedMixture(WEIGHTS, MEANS, torch.linalg.cholesky(COVARIANCES)).double()


def density(z: Tensor) -> Tensor:
    parts = distributions.MultivariateNormal(MEANS, COVARIANCES)
    chosen = distributions.Categorical(WEIGHTS)
    log_prob: Tensor = distributions.MixtureSameFamily(chosen, parts).log_prob(z)
    return log_prob


def covariance(z: Tensor) -> Tensor:
    return torch.cov(z.T)


def test_the_density_is_that_of_the_mixture_and_integrates_to_one() -> None:
    z = 4 * randn(5, 7, 2)
    torch.testing.assert_close(two().log_prob(z), density(z))
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    total = two().log_prob(grid).exp().sum() * float(axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=1e-6)


def test_draws_have_the_moments_and_depend_on_their_noise_alone() -> None:
    mixture, noise = two(), randn(100_000, 2, seed=4)
    z = mixture.sample(noise)
    mean = WEIGHTS @ MEANS
    within = (WEIGHTS[:, None, None] * COVARIANCES).sum(0)
    apart = MEANS - mean
    expected = within + torch.einsum("c,ci,cj->ij", WEIGHTS, apart, apart)
    torch.testing.assert_close(mixture.mean, mean)
    torch.testing.assert_close(mixture.variance, expected.diagonal())
    assert (z.mean(0) - mean).abs().max() < 5 * math.sqrt(float(expected.diagonal().max()) / len(z))
    torch.testing.assert_close(covariance(z), expected, atol=0.15, rtol=0)
    left = z[z[:, 0] < -1]  # the first component, all but alone
    assert len(left) / len(z) == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(covariance(left), COVARIANCES[0], atol=0.05, rtol=0)
    torch.testing.assert_close(mixture.sample(noise[17]), z[17])
    torch.testing.assert_close(mixture.sample(noise[:6].view(2, 3, 2)), z[:6].view(2, 3, 2))


def test_the_fit_finds_two_gaussians() -> None:
    z = two().sample(randn(20_000, 2, seed=5))
    mixture, notes = fit_mixture(z, 2, 0, "here")
    assert notes == []
    order = mixture.weights.argsort()
    torch.testing.assert_close(mixture.weights[order].double(), WEIGHTS, atol=0.02, rtol=0)
    torch.testing.assert_close(mixture.means[order].double(), MEANS, atol=0.05, rtol=0)
    scales = mixture.scales[order].double()
    torch.testing.assert_close(scales @ scales.mT, COVARIANCES, atol=0.06, rtol=0)
    torch.testing.assert_close(mixture.sample(randn(50_000, 2).float()).mean(0), z.mean(0).float(), atol=0.05, rtol=0)


def test_a_fit_of_few_rows_has_a_volume() -> None:
    mixture, _ = fit_mixture(torch.eye(4), 4, 0, "here")
    assert mixture.log_prob(torch.eye(4)).isfinite().all()
    with pytest.raises(UserError) as error:
        fit_mixture(torch.eye(4), 5, 0, "sampler mixture")
    assert_facts(str(error.value), "sampler mixture: ", "4 rows", "5 Gaussians", "; take fewer")


# Of a run.


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    """z of a row is three times the code of its class, and two numbers more from N(0, 1) that no unit shares."""
    (tmp_path / "schema.yaml").touch()
    return copying_run(tmp_path, Copying, private=2)


def test_the_shared_part_is_drawn_from_the_fit_and_the_rest_from_the_prior(run: TrainedRun) -> None:
    sampler = sampler_of(run, "mixture", 3, "here")
    noise = randn(2000, 5).float()
    z = sampler.sample(noise)
    codes = 3 * torch.eye(3)
    assert (torch.cdist(z[:, :3], codes).min(1).values < 0.2).all()
    assert torch.equal(z[:, 3:], noise[:, 3:])
    assert sampler.fitted.latent_dim == 3
    assert torch.equal(sampler.sample(noise.unsqueeze(0)), z.unsqueeze(0))
    assert torch.equal(noise, randn(2000, 5).float())


def test_it_is_fitted_once_and_again_if_the_weights_changed(run: TrainedRun, tmp_path: Path) -> None:
    lines: list[str] = []
    run.say = lines.append
    noise = randn(20, 5).float()
    first = sampler_of(run, "mixture", 3, "here").sample(noise)
    assert len(lines) == 1
    assert torch.equal(sampler_of(run, "mixture", 3, "here").sample(noise), first)  # from its file
    assert len(lines) == 1
    sampler_of(run, "mixture", 2, "here")
    assert len(lines) == 2
    assert {path.name for path in (tmp_path / "samplers").iterdir()} == {
        "mixture_2.safetensors",
        "mixture_3.safetensors",
    }
    with torch.no_grad():
        next(run.model.parameters()).add_(1)
    assert torch.equal(sampler_of(run, "mixture", 3, "here").sample(noise), first)
    assert len(lines) == 3
    with open(tmp_path / "samplers" / "mixture_3.safetensors", "r+b") as file:
        file.truncate(40)
    assert torch.equal(sampler_of(run, "mixture", 3, "here").sample(noise), first)


def test_at_most_so_many_rows_teach(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "_MOST_ROWS", 40)
    lines: list[str] = []
    run.say = lines.append
    sampler_of(run, "mixture", 2, "here")
    assert_facts(lines[0], "2 Gaussians", "40 training rows")


def test_a_run_samples_with_it(run: TrainedRun) -> None:
    drawn = run.sample(300, sampler="mixture", components=3)
    assert torch.equal(drawn["a"], drawn["b"])
    assert drawn["a"].unique().tolist() == [0, 1, 2]
    assert torch.equal(run.sample(300, sampler="mixture", components=3)["a"], drawn["a"])
    assert not torch.equal(run.sample(300, seed=1, sampler="mixture", components=3)["a"], drawn["a"])
    assert not torch.equal(run.sample(300)["a"], drawn["a"])
    with pytest.raises(UserError) as error:
        run.sample(3, given={"a": "x"}, sampler="mixture")
    assert_facts(str(error.value), "sampler mixture: ", "a", "given", "; leave out one")


def test_a_model_without_a_prior_has_none(run: TrainedRun) -> None:
    run.model.prior = None
    with pytest.raises(UserError) as error:
        run.sample(3, sampler="mixture")
    assert_facts(str(error.value), "sampler mixture: ", "no p(z)", "; remove")


def test_what_is_fitted_to_the_prior_itself_is_like_it(own_cache: Path, tmp_path: Path) -> None:
    sampler = sampler_of(copying_run(tmp_path, Ignoring), "mixture", 1, "here")
    assert (sampler.fitted.mean.abs() < 0.5).all()
    assert ((sampler.fitted.variance - 1).abs() < 0.7).all()
    assert not (tmp_path / "samplers").exists()


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "out.csv"
    coherence = "evaluate=[{kind: coherence, label: label, sampler: mixture, components: 2, draws: 100}]"
    done = mmt("run", "fashion_mini", *sets(*SMALL, coherence), "--out", folder, "--no-figures")
    assert done.status == 0, done.err
    metrics = [result["metric"] for result in read_results(folder)["scores"][0]["results"]]
    assert metrics == ["coherence_1_given", "joint_coherence", "joint_coherence_mixture"]
    assert (folder / "judges" / "0_image_by_1_label.safetensors").exists()
    assert (folder / "samplers" / "mixture_2.safetensors").exists()
    again = mmt("evaluate", folder, "--json")
    assert json.loads(again.out)["scores"] == read_results(folder)["scores"]
    assert "judge of" not in again.err  # nor is anything trained
    done = mmt("sample", folder, "-n", "5", "--sampler", "mixture", "--components", "2", "--out", out)
    assert done.status == 0, done.err
    assert len(out.read_text().splitlines()) == 6
    for words, facts in (
        (("--components", "2"), ("--components: ", "--sampler mixture", "; add")),
        (("--sampler", "mixture", "--given", "label"), ("--sampler: ", "label", "; leave out")),
        (("--sampler", "mixture", "--given", "label=Bag"), ("sampler mixture: ", "label", "; leave out")),
    ):
        assert_refused(mmt("sample", folder, *words, "--out", tmp_path / "no.png"), facts)
    for command in ("check", "run"):  # before training
        done = mmt(command, "fashion_mini", *sets(*SMALL, "evaluate=[{kind: coherence, label: image}]"))
        assert done.status == 2
        assert_facts(done.err.splitlines()[-1], "evaluate, coherence: label: image", "no classes", "; name")
