"""The log-likelihood against linear-Gaussian models, whose likelihoods and posteriors are known in closed form."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from facts import assert_facts
from linear_gaussian import EXACT, SIZES, TRUTH, WRONG, D, Held, Line, LineEncoder, score, subsets, whole
from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Modality
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.evaluators import LogLikelihood
from mmtoolkit.evaluators.complete import some_rows
from mmtoolkit.evaluators.estimates import MeanEstimate
from mmtoolkit.evaluators.importance import Estimate, estimate, estimate_left_out
from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA
from mmtoolkit.training.networks import build
from runs import SMALL, mmt, sets
from toys import EXAMPLES, Category, Vector, VectorDecoder, batch_of, bools, randn, seeded

LARGE = 1 << 30
PAIRS = [(t, g) for t in subsets(SIZES) for g in subsets(SIZES) if t and not set(t) & set(g)]


def test_with_the_true_posterior_the_log_likelihood_is_exact_and_has_no_variance() -> None:
    values = TRUTH.rows(20)
    entries = [{"target": t, "given": g} for t, g in PAIRS]
    results = score(Held(EXACT, whole(values)), *entries, samples=5, marginal="posterior")
    assert [(tuple(r["target"]), tuple(r["given"])) for r in results] == PAIRS
    for result, (target, given_) in zip(results, PAIRS, strict=True):
        truth = TRUTH.log_p(values, {*target, *given_}) - TRUTH.log_p(values, given_)
        assert result["better"] == "high"
        assert result["value"] == pytest.approx(float(truth.mean()), abs=1e-9)
        assert result["stderr"] == pytest.approx(float(truth.std() / math.sqrt(20)), abs=1e-9)
        assert result["log_weight_variance"] < 1e-20
        assert result["ess"] == pytest.approx(5)
        assert result["proposal"] == [n for n in SIZES if n in (*target, *given_)]
        assert (result["examples"], result["samples"], result["incomplete"]) == (20, 5, 0)
        assert result["marginal"] == ("posterior" if given_ else None)
        assert result["marginal_ess"] == (pytest.approx(5) if given_ else None)


def spread(estimated: Estimate, samples: int) -> Tensor:
    """The squared standard error of each row's log-mean by the delta method: var(w) / (K mean(w)²) = 1/ess - 1/K."""
    return (1 / estimated.ess - 1 / samples).clamp(min=0)


def close(estimates: Sequence[Estimate], signs: Sequence[int], truth: Tensor, samples: Sequence[int]) -> None:
    value = sum(sign * e.log_p for sign, e in zip(signs, estimates, strict=True))
    error = torch.stack([spread(e, k) for e, k in zip(estimates, samples, strict=True)]).sum().sqrt() / len(truth)
    assert isinstance(value, Tensor)
    assert error < 0.02  # else it would agree with anything
    assert abs(value.mean() - truth.mean()) < 3 * error + 1e-9


def precision(names: Collection[str]) -> Tensor:
    """That of the true posterior given some modalities, in each dimension: (D,)."""
    return 1 + sum((TRUTH.weights[name].square().sum(0) for name in names), start=torch.zeros(D))


@pytest.mark.parametrize("target", SIZES)
def test_a_cell_given_the_rest_of_its_row_agrees_with_the_truth(target: str) -> None:
    values, k = TRUTH.rows(40), 4000
    for hidden in ("", next(name for name in SIZES if name != target)):
        rest = [name for name in SIZES if name not in (target, hidden)]
        batch = whole(values).only([*rest, target])
        estimated = estimate_left_out(EXACT, batch, target, k, seeded(1), LARGE)
        truth = TRUTH.log_p(values, {*rest, target}) - TRUTH.log_p(values, rest)
        close([estimated], [1], truth, [k])
        errors = (estimated.log_p - truth) / estimated.stderr(k)
        assert 0.7 < errors.square().mean().sqrt() < 1.3
        by_chunks = estimate_left_out(EXACT, batch, target, k, seeded(3), 1 << 19)
        close([by_chunks], [1], truth, [k])


def test_the_standard_error_is_that_of_the_mean_weight() -> None:
    log_weights = randn(50, 7, seed=3)
    weights = log_weights.exp()
    explicit = weights.std(0) / math.sqrt(50) / weights.mean(0)
    torch.testing.assert_close(Estimate.of(log_weights).stderr(50), explicit)
    assert Estimate.of(log_weights[:1]).stderr(1).isnan().all()


@pytest.mark.slow
@pytest.mark.parametrize("proposal", list(subsets(SIZES)), ids="".join)
def test_any_proposal_agrees_with_the_truth_within_three_standard_errors(proposal: tuple[str, ...]) -> None:
    """Where the weights have a variance: it is infinite if the proposal is twice as precise as the true posterior."""
    values = TRUTH.rows(100)
    targets = [t for t in subsets(SIZES) if t]
    agreed = 0
    for place, network in enumerate((EXACT, WRONG)):
        narrow = 1 / network.infer(whole(values), proposal).variance[0]
        estimates = estimate(network, whole(values), proposal, targets, 4000, seeded(place), LARGE)
        for target, one in zip(targets, estimates, strict=True):
            truth = TRUTH.log_p(values, target)
            if (narrow < 1.5 * precision(target)).all():
                close([one], [1], truth, [4000])
                agreed += 1
            else:  # the few draws that it would take are not among 4,000
                assert one.log_p.mean() < truth.mean() + 0.01
    assert agreed >= 2


@pytest.mark.parametrize("marginal", ["prior", "posterior"])
def test_a_conditional_agrees_with_the_truth_by_either_marginal(marginal: str) -> None:
    values = TRUTH.rows(60)
    [result] = score(
        Held(WRONG, whole(values)),
        {"target": ["a", "b"], "given": ["c"], "proposal": ["a"]},
        samples=4000,
        prior_samples=3000,
        marginal=marginal,
    )
    truth = TRUTH.log_p(values, SIZES) - TRUTH.log_p(values, ["c"])
    assert result["value"] == pytest.approx(float(truth.mean()), abs=0.02)
    assert result["marginal"] == marginal
    ours = estimate(WRONG, whole(values), ["a"], [list(SIZES)], 4000, seeded(), LARGE)
    other = estimate(WRONG, whole(values), ["c"] if marginal == "posterior" else [], [["c"]], 3000, seeded(1), LARGE)
    close([*ours, *other], [1, -1], truth, [4000, 3000])


def test_the_variance_of_a_conditional_is_that_of_the_joint() -> None:
    joint, conditional = score(
        Held(WRONG, whole(TRUTH.rows(20))),
        {"target": ["a", "b"], "proposal": ["a"]},
        {"target": ["a"], "given": ["b"], "proposal": ["a"]},
        samples=50,
    )
    assert conditional["log_weight_variance"] == joint["log_weight_variance"] > 0.01
    assert conditional["ess"] == joint["ess"]


def test_the_bias_shrinks_as_draws_grow() -> None:
    values = TRUTH.rows(4000)
    truth = TRUTH.log_p(values, ["a", "b"]).mean()
    bias = [
        float(truth - estimate(WRONG, whole(values), ["a"], [["a", "b"]], k, seeded(k), LARGE)[0].log_p.mean())
        for k in (1, 4, 16, 64, 256)
    ]
    assert all(more > 1.5 * less for more, less in pairwise(bias))
    assert bias[0] > 0.5
    assert abs(bias[-1]) < 0.05


def test_one_draw_gives_the_evidence_lower_bound() -> None:
    values = TRUTH.rows(4000)
    [estimated] = estimate(WRONG, whole(values), ["a"], [["a"]], 1, seeded(100), LARGE)
    q = WRONG.infer(whole(values), ["a"])
    w, b = TRUTH.weights["a"], TRUTH.offsets["a"]
    squares = (values["a"] - q.mean @ w.T - b).square().sum(1) + (q.variance @ (w * w).T).sum(1)
    bound = -0.5 * squares - 1.5 * math.log(2 * math.pi) - q.kl()
    assert abs(estimated.log_p - bound).mean() > 0.1
    assert abs((estimated.log_p - bound).mean()) < 3 * (estimated.log_p - bound).std() / math.sqrt(4000)
    assert estimated.variance.isnan().all()
    assert (estimated.ess - 1).abs().max() < 1e-9


def test_an_estimate_is_what_explicit_sums_give() -> None:
    w = torch.rand(6, 3, generator=seeded(), dtype=torch.float64)
    estimated = Estimate.of(w.log())
    for row in range(3):
        one = w[:, row]
        assert estimated.log_p[row] == pytest.approx(math.log(sum(one) / 6))
        assert estimated.ess[row] == pytest.approx(float(sum(one) ** 2 / sum(one * one)))
        mean = sum(one.log()) / 6
        assert estimated.variance[row] == pytest.approx(float(sum((one.log() - mean) ** 2) / 5))


def test_weights_of_any_size_stay_finite() -> None:
    for shift in (-1e5, 1e5):
        estimated = Estimate.of(randn(50, 4) + shift)
        plain = Estimate.of(randn(50, 4))
        assert torch.allclose(estimated.log_p - shift, plain.log_p, atol=1e-8)
        assert torch.allclose(estimated.ess, plain.ess, rtol=1e-6)


class Mixture:
    """An equal mixture of two Gaussians: a posterior of another family."""

    def __init__(self, parts: Sequence[Gaussian]) -> None:
        self.parts = parts

    @property
    def mean(self) -> Tensor:
        return torch.stack([part.mean for part in self.parts]).mean(0)

    @property
    def variance(self) -> Tensor:
        squares = torch.stack([part.variance + part.mean.square() for part in self.parts]).mean(0)
        return squares - self.mean.square()

    def rsample(self, noise: Tensor) -> Tensor:
        # A draw's part must not depend on its noise, so that it has noise of its own.
        second = torch.rand(noise.shape[:-1], generator=seeded(5)) < 0.5
        first, other = (part.rsample(noise) for part in self.parts)
        return torch.where(second.unsqueeze(-1), other, first)

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.stack([part.log_prob(z) for part in self.parts]).logsumexp(0) - math.log(len(self.parts))

    def kl(self, noise: Tensor | None = None) -> Tensor:
        raise AssertionError("importance sampling needs no divergence")

    @property
    def point(self) -> Tensor:
        raise AssertionError("importance sampling needs no point")

    def detached(self) -> Posterior:
        raise AssertionError("importance sampling needs no gradient")


def test_a_posterior_of_another_family_gives_the_same_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TRUTH.mvae()
    exact = type(network).infer

    def infer(self: Any, batch: Batch, given_: Collection[str]) -> Posterior:
        q = exact(self, batch, given_)
        assert isinstance(q, Gaussian)
        return Mixture([Gaussian(q.mean + 0.5, q.logvar + 0.3), Gaussian(q.mean - 0.5, q.logvar + 0.3)])

    monkeypatch.setattr(type(network), "infer", infer)
    values = TRUTH.rows(100)
    [estimated] = estimate(network, whole(values), list(SIZES), [list(SIZES)], 4000, seeded(), LARGE)
    close([estimated], [1], TRUTH.log_p(values, SIZES), [4000])
    assert estimated.variance.min() > 1e-3


# Missing cells


@EXAMPLES
@given(bools(9, 3), st.sampled_from(PAIRS))
def test_what_a_row_lacks_is_left_out_of_it(present: Tensor, pair: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    target, given_ = pair
    values = TRUTH.rows(9)
    [result] = score(
        Held(EXACT, batch_of(values, present)), {"target": target, "given": given_}, samples=3, marginal="posterior"
    )
    truths, incomplete = [], 0
    for row in range(9):
        has = {name for m, name in enumerate(SIZES) if present[row, m]}
        if not has & set(target) or (given_ and not has & set(given_)):
            continue
        one = {name: x[row : row + 1] for name, x in values.items()}
        there = TRUTH.log_p(one, has & {*target, *given_}) - TRUTH.log_p(one, has & set(given_))
        truths.append(float(there))
        incomplete += not {*target, *given_} <= has
    assert result["examples"] == len(truths)
    assert result["incomplete"] == incomplete
    assert result["value"] == (pytest.approx(sum(truths) / len(truths), abs=1e-9) if truths else None)
    if not truths:
        assert [result[key] for key in ("stderr", "ess", "log_weight_variance")] == [None] * 3


def test_a_row_that_lacks_the_proposal_is_incomplete() -> None:
    present = torch.tensor([[True, True, False], [True, False, False]])
    [result] = score(Held(EXACT, batch_of(TRUTH.rows(2), present)), {"target": ["a"], "proposal": ["b"]}, samples=3)
    assert (result["examples"], result["incomplete"]) == (2, 1)


# Draws, decodes and memory


class Counting:
    """How many rows a module read, and the most at once."""

    def __init__(self, module: nn.Module) -> None:
        self.rows = self.most = 0
        module.register_forward_pre_hook(self.add)

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.rows += len(inputs[0])
        self.most = max(self.most, len(inputs[0]))


def test_all_targets_of_a_proposal_cost_one_decode() -> None:
    network = TRUTH.mvae()
    counts = {name: Counting(network.decoders.of(name)) for name in SIZES}
    entries = [{"target": t, "given": g, "proposal": p} for t, g in PAIRS for p in (["a"], ["a", "b"])]
    score(Held(network, whole(TRUTH.rows(14))), *entries, samples=30, marginal="posterior")
    # Both proposals want everything; q(z | given) for the marginal of the given alone, where it is neither of them.
    decoded_for = [set(SIZES), set(SIZES), {"b"}, {"c"}, {"a", "c"}, {"b", "c"}]
    for name, count in counts.items():
        passes = sum(name in names for names in decoded_for)
        batches = 2
        assert count.rows == 14 * 30 * passes + batches * passes, name  # and a row to measure on


def test_what_is_decoded_at_once_keeps_to_the_memory() -> None:
    network = TRUTH.mvae()
    count = Counting(network.decoders.of("a"))
    values = TRUTH.rows(10)
    exact = TRUTH.log_p(values, ["a"])
    most = []
    for memory in (1, 2_000, 20_000, LARGE):
        count.most = 0
        [estimated] = estimate(network, whole(values), ["a"], [["a"]], 40, seeded(), memory)
        assert torch.allclose(estimated.log_p, exact)
        most.append(count.most)
    assert most[0] == 1
    assert most[0] < most[1] < most[2] < most[3] == 400
    a_draw = 8 * 4 * 3  # the copies of a value
    assert most[1] * a_draw <= 2_000
    assert most[2] * a_draw <= 20_000


def test_the_same_seed_gives_the_same_numbers() -> None:
    batch = whole(TRUTH.rows(10))
    entry = {"target": ["a"], "given": ["b"], "proposal": ["c"]}
    first, again, other = (score(Held(WRONG, batch, seed), entry, samples=20)[0] for seed in (0, 0, 1))
    assert first == again
    assert first["value"] != other["value"]


def test_some_rows_are_drawn_by_the_seed_and_scored_alone() -> None:
    batch, entry = whole(TRUTH.rows(40)), {"target": ["a"], "proposal": ["a"]}
    drawn = some_rows(torch.arange(40), 12, "likelihood rows", "test", 3)
    assert len(drawn.unique()) == 12
    (some,) = score(Held(EXACT, batch, 3), entry, samples=20, rows=12)
    (alone,) = score(Held(EXACT, batch.take(drawn), 3), entry, samples=20)
    assert (some["examples"], some["value"]) == (12, pytest.approx(alone["value"], rel=1e-12))
    scores = LogLikelihood(entries=(entry,), samples=20, rows=12).evaluate(Held(EXACT, batch, 3), "test")
    assert_facts(scores.notes[0], "12 of 40 rows", "at random", "; raise rows")
    assert score(Held(EXACT, batch), entry, samples=20, rows=40) == score(Held(EXACT, batch), entry, samples=20)


def test_rows_with_the_same_given_share_the_draws_from_the_prior() -> None:
    modalities: dict[str, Modality] = {"x": Vector(size=2), "y": Category(classes=3)}
    network = build(MVAE(latent_dim=D), modalities, seed=0).double().eval()
    y = torch.tensor([0, 2, 2, 0, 1, 1, 0, 2, 1, 0] * 3)
    batch = whole({"x": randn(30, 2), "y": y})
    count = Counting(network.decoders.of("y"))
    [result] = score(Held(network, batch), {"target": ["x"], "given": ["y"]}, samples=10, prior_samples=2000)
    joint, prior = 30 * 10, 3 * 2000
    assert joint + prior < count.rows <= joint + prior + 20
    assert result["marginal"] == "prior"
    # E_p(z) p(y | z) by quadrature: a grid over both dimensions of z.
    grid = torch.linspace(-6, 6, 241, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid)
    p = network.decode(z, batch.take(torch.tensor([0])), ["y"])["y"].probs  # type: ignore[attr-defined]
    weight = torch.exp(-0.5 * z.square().sum(1))
    exact = ((p * weight.unsqueeze(1)).sum(0) / weight.sum()).log().detach()
    value = score(Held(network, batch), {"target": ["y"], "proposal": []}, samples=20_000)[0]["value"]
    assert value == pytest.approx(float(exact[y].mean()), abs=0.01)


# Other models


def test_a_cvae_is_scored_given_its_condition() -> None:
    modalities: dict[str, Modality] = {"a": Line(size=3), "b": Vector(size=2)}
    network = build(CVAE(latent_dim=D), modalities, seed=0).double().eval()
    decoder, encoder = network.decoders.of("a"), network.encoders.of("a")
    assert isinstance(decoder, VectorDecoder)
    assert isinstance(encoder, LineEncoder)
    w, shift, offset = TRUTH.weights["a"], randn(3, 2, seed=3), TRUTH.offsets["a"]
    precision = (w * w).sum(0) + 1
    with torch.no_grad():
        decoder.weight.copy_(torch.cat([w, shift], dim=1))
        decoder.bias.copy_(offset)
        scaled = w.T / precision.unsqueeze(1)
        encoder.weight[:D] = torch.cat([scaled, -scaled @ shift], dim=1)
        encoder.weight[D:] = 0
        encoder.bias[:D] = -(scaled @ offset)
        encoder.bias[D:] = -precision.log()
    y = randn(12, 2, seed=4)
    x = randn(12, D, seed=5) @ w.T + y @ shift.T + offset + randn(12, 3, seed=6)
    run = Held(network, batch_of({"a": x, "b": y}, torch.tensor([[True, True]] * 10 + [[True, False], [False, True]])))
    evaluator = LogLikelihood(samples=4)
    scores = evaluator.evaluate(run, "test")
    [result] = scores.results
    covariance = w @ w.T + torch.eye(3, dtype=torch.float64)
    truth = MultivariateNormal(y @ shift.T + offset, covariance).log_prob(x)[:10]
    assert (result["target"], result["given"], result["proposal"]) == (["a"], ["b"], ["a", "b"])
    assert result["value"] == pytest.approx(float(truth.mean()), abs=1e-6)
    assert result["log_weight_variance"] < 1e-12
    assert (result["examples"], result["marginal"], result["marginal_ess"]) == (10, None, None)
    assert any(re.fullmatch(r"left out: log p\(a\), z from a: .*given b.*", note) for note in scores.notes)


def test_jmvae_and_bivcca_and_vae_agree_with_the_truth_under_each_of_their_proposals() -> None:
    two = {name: TRUTH.modalities()[name] for name in ("a", "b")}
    values = {name: x for name, x in TRUTH.rows(100).items() if name in two}
    for model, count in ((JMVAE(latent_dim=D), 6), (BiVCCA(latent_dim=D), 3), (VAE(latent_dim=D), 1)):
        network = build(model, two, seed=0).double().eval()
        for name in network.targets:
            TRUTH.set_decoder(network.decoders.of(name), name)
            TRUTH.set_encoder(network.encoders.of(name), name, 1, 0.2)
        if model.kind == "jmvae":
            for parameter in network.get_submodule("joint").parameters():
                nn.init.constant_(parameter, 0.0)  # its proposal is then the prior
        scores = LogLikelihood(samples=4000).evaluate(Held(network, whole(values)), "test")
        assert len(scores.results) == count
        assert len(scores.results) + sum(note.startswith("left out") for note in scores.notes) == 6
        for result in scores.results:
            joint = {*result["target"], *result["given"]}
            truth = TRUTH.log_p(values, joint) - TRUTH.log_p(values, result["given"])
            assert result["value"] == pytest.approx(float(truth.mean()), abs=0.03)


def test_the_default_entries_are_those_of_the_papers_tables() -> None:
    results = score(Held(EXACT, whole(TRUTH.rows(3))), samples=2)
    x, y = ["a"], ["b", "c"]
    sets_ = [(x, []), ([*x, *y], []), (x, y)]
    assert [(r["target"], r["given"], r["proposal"]) for r in results] == [
        (target, given_, proposal) for proposal in (x, [*x, *y]) for target, given_ in sets_
    ]


def test_auto_takes_the_prior_for_few_numbers_and_the_posterior_for_many() -> None:
    for size, marginal in ((64, "prior"), (65, "posterior")):
        modalities: dict[str, Modality] = {"x": Vector(size=2), "y": Vector(size=size)}
        network = build(MVAE(latent_dim=D), modalities, seed=0).double().eval()
        batch = whole({"x": randn(4, 2), "y": randn(4, size)})
        [result] = score(Held(network, batch), {"target": ["x"], "given": ["y"]}, samples=5, prior_samples=5)
        assert result["marginal"] == marginal


# Notes and errors


def test_a_note_warns_where_few_draws_decide() -> None:
    batch = whole(TRUTH.rows(50))
    for wrong, warns in ((0.0, False), (3.0, True)):
        evaluator = LogLikelihood(samples=200)
        notes = evaluator.evaluate(Held(TRUTH.mvae(wrong), batch), "test").notes
        assert any("effective sample size under 10" in note for note in notes) == warns
    one = LogLikelihood.model_validate({"samples": 200, "entries": [{"target": ["a"], "given": ["b"]}]})
    for prior_samples, warns in ((200, False), (12, True)):
        wide = Held(EXACT, batch)
        notes = one.model_copy(update={"prior_samples": prior_samples}).evaluate(wide, "test").notes
        assert bool(notes) == warns


def test_the_mean_is_the_same_batch_by_batch() -> None:
    joint, marginal = estimate(WRONG, whole(TRUTH.rows(30)), ["a"], [["a", "b"], ["a"]], 50, seeded(), LARGE)
    at_once, by_batch = MeanEstimate(50, 50), MeanEstimate(50, 50)
    at_once.update(joint, marginal)
    for rows in (torch.arange(10), torch.arange(10, 30)):
        by_batch.update(joint.take(rows), marginal.take(rows))
    scores = at_once.compute()
    assert by_batch.compute() == {key: pytest.approx(score) for key, score in scores.items()}
    log_p = (joint.log_p - marginal.log_p).double()
    assert scores["value"] == pytest.approx(float(log_p.mean()))
    assert scores["stderr"] == pytest.approx(float(log_p.std()) / 30**0.5)
    assert scores["ess"] == pytest.approx(float(joint.ess.double().mean()))
    assert scores["marginal_ess"] == pytest.approx(float(marginal.ess.double().mean()))
    assert scores["log_weight_variance"] == pytest.approx(float(joint.variance.double().mean()))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"target": ["a"], "given": ["a"]}, "'a' as target and as given; leave it out"),
        ({"target": []}, "no target; name one of a, b, c"),
        ({"target": ["d"]}, "'d', .*modality; .*a, b, c"),
        ({"target": ["a"], "proposal": ["d"]}, "'d', .*modality; .*a, b, c"),
    ],
)
def test_entries_that_name_nothing_sound_are_refused(entry: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        score(Held(EXACT, whole(TRUTH.rows(3))), entry)


def test_a_model_says_what_it_cannot_give() -> None:
    two = {name: TRUTH.modalities()[name] for name in ("a", "b")}
    batch = whole({name: x for name, x in TRUTH.rows(3).items() if name in two})

    def fault(model: Any, entry: dict[str, Any], **options: Any) -> str:
        with pytest.raises(UserError) as caught:
            score(Held(build(model, two, seed=0).double().eval(), batch), entry, **options)
        return str(caught.value)

    remedy = "; change or remove"
    text = fault(VAE(latent_dim=D), {"target": ["b"], "proposal": ["a"]})
    assert_facts(text, "evaluate, log_likelihood: log p(b), z from a: ", "not decode b", remedy)
    text = fault(VAE(latent_dim=D), {"target": ["a"], "given": ["b"], "proposal": ["a"]})
    assert_facts(text, "log p(a | b), z from a: ", "not decode b", remedy)
    text = fault(BiVCCA(latent_dim=D), {"target": ["a", "b"]})
    assert_facts(text, "log p(a, b), z from a, b: ", "not infer z from a, b together", remedy)
    text = fault(CVAE(latent_dim=D), {"target": ["a"], "proposal": []})
    assert_facts(text, "log p(a), z from the prior: ", "given b", remedy)
    three = LogLikelihood.model_validate(
        {"entries": [{"target": ["a"], "given": ["b", "c"], "proposal": ["a"]}], "marginal": "posterior"}
    )
    with pytest.raises(UserError, match=r"infer z from b, c together, .*marginal: posterior.*; change or remove"):
        three.check_model(build(JMVAE(latent_dim=D), TRUTH.modalities(), seed=0))


def test_bad_options_are_refused_before_training(tmp_path: Path) -> None:
    for option, fact in (
        ("{samples: 0}", "evaluate.0.samples"),
        ("{refine: -1}", "evaluate.0.refine"),
        ("{marginal: uniform}", "evaluate.0.marginal"),
        ("{entries: [{target: [image], proposals: [image]}]}", "evaluate.0.entries.0.proposals"),
        ("{entries: [{target: [picture]}]}", "picture"),
    ):
        value = option.replace("{", "{kind: log_likelihood, ", 1)
        ended = mmt("run", "fashion_mini", "--out", tmp_path / "run", *sets(f"evaluate=[{value}]"))
        assert ended.status == 2
        assert fact in ended.err
        assert "Traceback" not in ended.err
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_prints_the_papers_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [*SMALL, "evaluate=[{kind: log_likelihood, samples: 20, prior_samples: 50}]"]
    ended = mmt("run", "fashion_mini", "--out", tmp_path / "run", *sets(*options), "--json")
    assert ended.status == 0
    [score_] = json.loads(ended.out)["scores"]
    assert len(score_["results"]) == 6
    for result in score_["results"]:
        assert result["examples"] == 80
        assert -2000 < result["value"] < -100
        assert result["stderr"] > 0
        assert 1 <= result["ess"] <= 20
        assert result["log_weight_variance"] > 0
    by_image, by_both = score_["results"][:3], score_["results"][3:]
    for x, xy, x_given_y in (by_image, by_both):
        assert xy["value"] < x["value"]  # a label costs something
        assert xy["value"] < x_given_y["value"]
    monkeypatch.setenv("COLUMNS", "160")  # all columns stand in one table
    table = mmt("evaluate", tmp_path / "run")
    assert "".join(table.out.split()).count("logp(image|") == 2
