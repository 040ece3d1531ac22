"""What parts of a row contribute: a linear-Gaussian model whose posteriors are known, and what models share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from mmt_attributes import Label, Numeric
from mmt_record import Record
from mmtoolkit import (
    CVAE,
    DMVAE,
    JMVAE,
    MMVAE,
    MMVM,
    MVAE,
    BiVCCA,
    GPoE,
    Modality,
    Model,
    StudentTPrior,
    TrainedRun,
    UserError,
)
from mmtoolkit.core.batch import Batch
from mmtoolkit.using.contributions import Contributions, Explainer
from toys import batch_of, randn
from untrained import untrained

D = 2
# x = SLOPES z + noise of standard deviation STDS, each latent variable on its own.
SLOPES = {name: torch.tensor(x).double() for name, x in {"a": [2, 0.5], "b": [1, -1.5], "c": [0.25, 0.6]}.items()}
STDS = {name: torch.tensor(x).double() for name, x in {"a": [0.5, 1], "b": [2, 0.8], "c": [1, 0.4]}.items()}
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]]) > 0
B = len(PRESENT)


class Pair(Modality):
    """Two numbers, one for each latent variable."""

    kind: Literal["pair"] = "pair"

    def event_shape(self) -> tuple[int, ...]:
        return (D,)

    def parse(self, cell: Any) -> Tensor:
        return torch.tensor(cell)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return nn.Linear(D, width)

    def decoder(self, size: int) -> nn.Module:
        return PairDecoder(size, D)


class PairDecoder(nn.Linear):
    def forward(self, z: Tensor) -> Distribution:  # type: ignore[override]
        normal = distributions.Normal(super().forward(z), 1.0, validate_args=False)
        return distributions.Independent(normal, 1, validate_args=False)


class Level(Pair):
    """One number, and a decoder that predicts it."""

    kind: Literal["level"] = "level"  # type: ignore[assignment]

    def event_shape(self) -> tuple[int, ...]:
        return ()

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return LevelEncoder(1, width)

    def decoder(self, size: int) -> nn.Module:
        return LevelDecoder(size, 1)


class LevelEncoder(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unsqueeze(1))


class LevelDecoder(nn.Linear):
    def forward(self, z: Tensor) -> Distribution:  # type: ignore[override]
        return distributions.Normal(super().forward(z)[:, 0], 1.0, validate_args=False)


VALUES = {name: randn(B, D, seed=seed) for seed, name in enumerate(SLOPES)}


def run_of(model: Model, modalities: Mapping[str, Any], folder: Path, **cells: Any) -> TrainedRun:
    """A run in float64 with untrained weights."""
    run = untrained(modalities, folder, lambda line: None, model, train=cells, test=cells)
    run.model.double()
    return run


def linear_gaussian(folder: Path, names: tuple[str, ...] = ("a", "b", "c"), model: Model | None = None) -> TrainedRun:
    """A run whose experts are the likelihoods of a linear-Gaussian model, so that its q(z | x) is the posterior."""
    model = MVAE(latent_dim=D) if model is None else model
    run = run_of(model, {n: Pair() for n in names}, folder, **{n: [[0.0, 1.0], [2.0, 0.5]] for n in names})
    for name in names:
        slope, std = SLOPES[name], STDS[name]
        encoder: Any = run.model.encoders.of(name)
        encoder.weight.data = torch.cat([torch.diag(1 / slope), torch.zeros(D, D).double()])
        encoder.bias.data = torch.cat([torch.zeros(D).double(), 2 * (std / slope.abs()).log()])
        decoder: Any = run.model.decoders.of(name)
        decoder.weight.data, decoder.bias.data = torch.diag(slope), torch.zeros(D).double()
    return run


def posterior(row: int, given: list[str]) -> MultivariateNormal:
    """p(z | the given values of a row), by conditioning the joint normal distribution of z and all of them."""
    if not given:
        return MultivariateNormal(torch.zeros(D).double(), torch.eye(D).double())
    slopes = torch.cat([torch.diag(SLOPES[name]) for name in given])
    noise = torch.cat([STDS[name].square() for name in given])
    x = torch.cat([VALUES[name][row] for name in given])
    gain = slopes.T @ torch.linalg.inv(slopes @ slopes.T + torch.diag(noise))
    return MultivariateNormal(gain @ x, torch.eye(D).double() - gain @ slopes)


def has(row: int) -> list[str]:
    return [name for m, name in enumerate(SLOPES) if PRESENT[row, m]]


def test_a_linear_gaussian_model_has_the_known_contributions(tmp_path: Path) -> None:
    numbers = Explainer(linear_gaussian(tmp_path)).contributions(batch_of(VALUES, PRESENT)).numbers
    for row in range(B):
        q = posterior(row, has(row))
        variance = q.covariance_matrix.diagonal()
        for name in SLOPES:
            share, shift, kl = (float(numbers[name, measure][row]) for measure in ("share", "shift", "kl"))
            if name not in has(row):
                assert [math.isnan(x) for x in (share, shift, kl)] == [True] * 3
                continue
            p = posterior(row, [other for other in has(row) if other != name])
            own = (SLOPES[name] / STDS[name]).square()
            assert share == pytest.approx(float((own * variance).mean()), rel=1e-12)
            assert shift == pytest.approx(float(((q.mean - p.mean) ** 2 / variance).sum().sqrt()), rel=1e-10)
            assert kl == pytest.approx(float(kl_divergence(q, p)), rel=1e-10)
        parts = torch.stack([numbers[name, "share"][row] for name in (*SLOPES, "prior")])
        assert float(parts.nansum()) == pytest.approx(1, rel=1e-12)
    assert float(numbers["prior", "share"][-1]) == 1  # a row with nothing


def test_effects_are_with_minus_without(tmp_path: Path) -> None:
    """Of a number its change, of anything else that of its log-probability; the target itself is never given."""
    modalities = {"a": Pair(), "b": Pair(), "level": Level()}
    cells = {"a": [[0.0, 1.0], [2.0, 0.5]], "b": [[0.0, 1.0], [2.0, 0.5]], "level": [0.0, 1.0]}
    run = run_of(MVAE(latent_dim=D), modalities, tmp_path, **cells)
    values = {"a": VALUES["a"], "b": VALUES["b"], "level": VALUES["c"][:, 0]}
    batch = batch_of(values, PRESENT)
    of_level = Explainer(run, "level").contributions(batch)
    of_a = Explainer(run, "a").contributions(batch)
    assert of_level.predicted is not None
    assert of_a.predicted is None  # two numbers are no single value
    assert ("level", "effect") not in of_level.numbers

    @torch.no_grad()
    def decoded(given: list[str], target: str) -> Any:
        return run.model.decode(run.model.infer(batch, given).mean, batch, [target])[target]

    level, without_a = decoded(["a", "b"], "level"), decoded(["b"], "level")
    both = PRESENT[:, :2].all(1)
    expected = (level.mean - without_a.mean)[both]
    torch.testing.assert_close(of_level.numbers["a", "effect"][both], expected, rtol=1e-10, atol=0)
    assert of_level.numbers["a", "effect"][~PRESENT[:, 0]].isnan().all()
    assert of_level.predicted[0] == pytest.approx(float(level.mean[0]), rel=1e-6)

    pair, without_b = decoded(["b", "level"], "a"), decoded(["level"], "a")
    expected = (pair.log_prob(pair.mean) - without_b.log_prob(pair.mean))[PRESENT[:, 1] & PRESENT[:, 2]]
    rows = PRESENT[:, 1] & PRESENT[:, 2]
    torch.testing.assert_close(of_a.numbers["b", "effect"][rows], expected, rtol=1e-10, atol=0)


def test_an_ignored_modality_contributes_nothing(tmp_path: Path) -> None:
    run = linear_gaussian(tmp_path)
    encoder: Any = run.model.encoders.of("b")
    encoder.weight.data.zero_()
    encoder.bias.data = torch.tensor([0.0, 0.0, 60.0, 60.0]).double()  # a variance of e^60
    numbers = Explainer(run, "a").contributions(batch_of(VALUES, PRESENT)).numbers
    for measure in ("share", "shift", "kl", "effect"):
        assert float(numbers["b", measure].nan_to_num().abs().max()) < 1e-12
        assert float(numbers["c", measure].nan_to_num().abs().max()) > 1e-3


def test_the_order_of_modalities_changes_nothing(tmp_path: Path) -> None:
    turned = Explainer(linear_gaussian(tmp_path, ("c", "a", "b")), "a")
    own = Explainer(linear_gaussian(tmp_path), "a").contributions(batch_of(VALUES, PRESENT)).numbers
    order = [2, 0, 1]
    batch = batch_of({name: VALUES[name] for name in ("c", "a", "b")}, PRESENT[:, order])
    other = turned.contributions(batch).numbers
    assert own.keys() == other.keys()
    for key, values in own.items():
        torch.testing.assert_close(other[key], values, rtol=1e-10, atol=1e-12, equal_nan=True)


RECORD = Record.model_validate({"columns": {"size": {"kind": "numeric"}, "sort": {"kind": "label"}}})
WITH_RECORD = {"plant": RECORD, "age": Numeric(), "town": Label()}
CELLS: dict[str, list[Any]] = {
    "size": [1.0, None, 3.5, 2.0, None, 0.5],
    "sort": ["u", "v", None, "u", None, "v"],
    "age": [30.0, 20.0, 25.0, None, 41.0, None],
    "town": ["x", "y", "x", "y", None, None],
}


@pytest.mark.parametrize(
    "model",
    [
        MVAE(latent_dim=3),
        MVAE(latent_dim=3, prior=StudentTPrior()),
        GPoE(latent_dim=3),
        MMVAE(latent_dim=3),
        JMVAE(latent_dim=3, width=8),
    ],
    ids=["mvae", "mvae with another prior", "gpoe", "mmvae", "jmvae"],
)
def test_contributions_are_those_of_inference_without_the_part(model: Model, tmp_path: Path) -> None:
    """What a product computes from experts that it encodes once, and others by leaving out, against `infer`."""
    modalities = {"plant": RECORD, "age": Numeric()} if isinstance(model, JMVAE) else WITH_RECORD
    run = run_of(model, modalities, tmp_path, **CELLS)
    (batch,) = run.batches("test")
    explainer = Explainer(run)
    numbers = explainer.contributions(batch).numbers
    names = list(run.model.modalities)
    assert [part.name for part in explainer.parts] == ["plant", "size", "sort", *names[2:]]
    with torch.no_grad():
        q = run.model.infer_all(batch)
        for part in explainer.parts:
            p = run.model.infer_all(batch.only(set(names) - part.members))
            rows = batch.present[:, [names.index(name) for name in part.members]].any(1)
            shift = ((q.mean - p.mean).square() / q.variance).sum(1).sqrt()
            torch.testing.assert_close(numbers[part.name, "shift"][rows], shift[rows].double(), rtol=1e-5, atol=1e-6)
            assert numbers[part.name, "shift"][~rows].isnan().all()
            assert numbers[part.name, "kl"][rows].isfinite().all()
            if not part.whole or run.model.product(batch) is None:
                share = (1 - q.variance / p.variance).mean(1)
                own = numbers[part.name, "share"][rows]
                torch.testing.assert_close(own, share[rows].double(), rtol=1e-5, atol=1e-6)
    if explainer.has_shares_of_prior:
        whole = torch.stack([numbers[name, "share"] for name in ("plant", *names[2:], "prior")])
        torch.testing.assert_close(whole.nansum(0), torch.ones(batch.size).double(), rtol=1e-6, atol=0)


def contributions(model: Model, folder: Path) -> tuple[Explainer, Contributions, Batch]:
    modalities = {"age": Numeric(), "town": Label()}
    modalities |= {} if isinstance(model, BiVCCA) else {"size": Numeric()}
    run = run_of(model, modalities, folder, **CELLS)
    (batch,) = run.batches("test")
    explainer = Explainer(run)
    return explainer, explainer.contributions(batch), batch


def test_where_a_model_cannot_infer_from_the_rest_there_is_no_contribution(tmp_path: Path) -> None:
    """A JMVAE without listed subsets infers z from all three, or from one, but not from two."""
    explainer, answer, batch = contributions(JMVAE(latent_dim=2, width=8), tmp_path)
    whole = batch.present.all(1)
    assert whole.tolist() == [True, False, True, False, False, False]
    for name in ("age", "town", "size"):
        assert answer.numbers[name, "kl"][whole].isnan().all()
    # Of two, it reads the first alone: the second counts for nothing.
    assert batch.present[1].tolist() == [True, True, False]
    assert abs(float(answer.numbers["town", "kl"][1])) < 1e-12
    assert float(answer.numbers["age", "kl"][1]) > 0
    assert f"all but town: {int(whole.sum())}; the contribution of town is missing there" in explainer.notes()[1]


def test_only_what_is_read_contributes(tmp_path: Path) -> None:
    """BiVCCA reads its first modality where a row has both."""
    _, answer, batch = contributions(BiVCCA(latent_dim=2), tmp_path)
    both = batch.present.all(1)
    assert (answer.numbers["town", "shift"][both] == 0).all()
    assert (answer.numbers["age", "shift"][both] > 0).all()


def test_without_a_prior_the_only_value_of_a_row_has_no_contribution(tmp_path: Path) -> None:
    explainer, answer, batch = contributions(MMVM(latent_dim=2), tmp_path)
    alone = batch.present.sum(1) == 1
    assert alone.any()
    for m, name in enumerate(("age", "town", "size")):
        assert answer.numbers[name, "kl"].isnan().tolist() == (~batch.present[:, m] | alone).tolist()
    assert any("cannot infer z from all but" in note for note in explainer.notes())


def test_private_latents_stay_outside(tmp_path: Path) -> None:
    """The shared part of z is explained, whose size the noise of the divergence has."""
    _, answer, batch = contributions(DMVAE(latent_dim=2, private_dim=3, prior=StudentTPrior()), tmp_path)
    for m, name in enumerate(("age", "town", "size")):
        assert answer.numbers[name, "kl"].isfinite().tolist() == batch.present[:, m].tolist()


@pytest.mark.parametrize(
    ("target", "facts"),
    [
        ("agee", ["target agee: there is no such modality", "did you mean 'age'", "size, sort, age, town"]),
        ("plant", ["target plant: is a record; name one of its columns, size, sort"]),
    ],
)
def test_targets_that_are_none(target: str, facts: list[str], tmp_path: Path) -> None:
    run = run_of(MVAE(latent_dim=2), WITH_RECORD, tmp_path, **CELLS)
    with pytest.raises(UserError) as error:
        Explainer(run, target)
    assert all(fact in str(error.value) for fact in facts), str(error.value)


def test_a_target_that_is_not_decoded(tmp_path: Path) -> None:
    run = run_of(CVAE(latent_dim=2), {"age": Numeric(), "town": Label()}, tmp_path, **CELLS)
    with pytest.raises(UserError, match="target town: the model does not decode it; it predicts age"):
        Explainer(run, "town")
    (batch,) = run.batches("test")
    answer = Explainer(run, "age").contributions(batch)  # decoding reads the town, and so nothing is left without it
    assert answer.numbers["town", "effect"].isnan().all()
    assert answer.predicted is not None
    assert [cell is None for cell in answer.predicted] == (~batch.present[:, 1]).tolist()


def test_a_model_that_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(MVAE(latent_dim=2), {"age": Numeric(), "town": Label()}, tmp_path, **CELLS)
    monkeypatch.setattr(type(run.model), "subsets", lambda self: [])
    with pytest.raises(UserError, match="infers z from nothing, so there is nothing to explain; take another model"):
        Explainer(run)
