"""Refined proposals against linear-Gaussian models, whose likelihoods and posteriors are known in closed form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from linear_gaussian import EXACT, SIZES, TRUTH, WRONG, D, Held, Line, score, whole
from mmtoolkit.components import Modality, Model, Network
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.evaluators import LogLikelihood
from mmtoolkit.evaluators.importance import estimate
from mmtoolkit.evaluators.refinement import refine
from mmtoolkit.models import CVAE, DMVAE, JMVAE, MMVAE, MVAE, MMVAEPlus, MoPoE
from mmtoolkit.training.networks import build
from runs import SMALL, mmt, sets
from toys import Vector, VectorDecoder, batch_of, randn, seeded

NAMES = tuple(SIZES)
STEPS = 150
HOLES = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.bool)


def line_of(network: Network, name: str) -> tuple[Tensor, Tensor]:
    """W (D, size) and b (size,) of a decoder of z whose mean is z W + b."""
    points = torch.cat([torch.zeros(1, network.latent_dim), torch.eye(network.latent_dim)]).double()
    batch = whole({other: torch.zeros(len(points), size).double() for other, size in SIZES.items()})
    with torch.no_grad():
        mean = network.decode(points, batch, [name])[name].mean
    return mean[1:] - mean[0], mean[0]


def exact(network: Network, values: Mapping[str, Tensor], present: Tensor) -> tuple[Tensor, Gaussian]:
    """Log p of what each row has, and the means and variances of its true posterior."""
    lines = [line_of(network, name) for name in NAMES]
    log_p, means, variances = [], [], []
    for row, has in enumerate(present.tolist()):
        w = torch.cat([w for (w, _), known in zip(lines, has, strict=True) if known], 1)
        b = torch.cat([b for (_, b), known in zip(lines, has, strict=True) if known])
        x = torch.cat([values[name][row] for name, known in zip(NAMES, has, strict=True) if known])
        log_p.append(MultivariateNormal(b, w.T @ w + torch.eye(len(x)).double()).log_prob(x))
        covariance = torch.linalg.inv(torch.eye(len(w)).double() + w @ w.T)
        means.append(covariance @ w @ (x - b))
        variances.append(covariance.diagonal())
    return torch.stack(log_p), Gaussian(torch.stack(means), torch.stack(variances).log())


def orthogonal(model: Model) -> Network:
    """Untrained networks whose decoders have orthogonal columns: the true posterior's dimensions are independent."""
    network = build(model, {name: Vector(size=size) for name, size in SIZES.items()}, seed=0).double().eval()
    for place, name in enumerate(NAMES):
        decoder = network.decoders.of(name)
        assert isinstance(decoder, VectorDecoder)
        columns = torch.linalg.qr(randn(decoder.out_features, decoder.in_features, seed=place))[0]
        with torch.no_grad():
            decoder.weight.copy_(columns * (1 + place))
            decoder.bias.copy_(randn(decoder.out_features, seed=place + 9))
    return network


@pytest.mark.parametrize(
    "model",
    [
        MVAE(latent_dim=D),
        *(
            pytest.param(model, marks=pytest.mark.slow)
            for model in (
                JMVAE(latent_dim=D),
                MMVAE(latent_dim=D),
                MMVAE(latent_dim=D, experts="laplace"),
                MoPoE(latent_dim=D),
                DMVAE(latent_dim=1, private_dim=1),
                MMVAEPlus(latent_dim=1, private_dim=1),
            )
        ),
    ],
    ids=["gaussian", "joint", "mixture", "laplace", "subsets", "private", "private-mixture"],
)
def test_from_any_posterior_of_untrained_encoders_the_proposal_becomes_the_true_posterior(model: Model) -> None:
    network = orthogonal(model)
    values = {name: 2 * randn(len(HOLES), size, seed=place) for place, (name, size) in enumerate(SIZES.items())}
    batch = batch_of(values, HOLES)
    log_p, truth = exact(network, values, HOLES)
    q = refine(network, batch, network.infer_all(batch), NAMES, 300, 1)
    torch.testing.assert_close(q.mean, truth.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(q.logvar, truth.logvar, atol=1e-3, rtol=0)
    z = q.rsample(randn(5, *q.mean.shape))
    of_values = torch.stack(list(network.log_prob(z.flatten(0, 1), batch, NAMES).values())).sum(0)
    log_weights = network.need_prior().log_prob(z) + of_values.view(z.shape[:2]) - q.log_prob(z)
    torch.testing.assert_close(log_weights, log_p.expand(5, -1), atol=0.01, rtol=0)


@pytest.mark.slow
def test_conditionals_and_marginals_become_exact() -> None:
    values = TRUTH.rows(20)
    entries = [
        {"target": ["a"], "given": ["b", "c"]},
        {"target": ["a"], "given": ["b"], "proposal": ["a"]},
        {"target": ["c"], "proposal": []},
    ]
    run = Held(TRUTH.mvae(0.7), whole(values))
    results = score(run, *entries, samples=5, marginal="posterior", refine=STEPS)
    assert [result.get("refine") for result in results] == [None, STEPS] * 3
    for entry, plain, refined in zip(entries, results[::2], results[1::2], strict=True):
        target, given = entry["target"], entry.get("given", [])
        truth = float((TRUTH.log_p(values, [*target, *given]) - TRUTH.log_p(values, given)).mean())
        assert refined["value"] == pytest.approx(truth, abs=1e-3)
        assert refined["log_weight_variance"] < 1e-4
        assert plain["log_weight_variance"] > 0.05
        assert refined["ess"] == pytest.approx(5, abs=1e-3)
        assert refined["proposal"] == plain["proposal"]
        if given:
            assert refined["marginal_ess"] == pytest.approx(5, abs=1e-3)


def test_the_condition_of_a_cvae_is_read_in_each_step() -> None:
    modalities: dict[str, Modality] = {"a": Line(size=3), "b": Vector(size=2)}
    network = build(CVAE(latent_dim=D), modalities, seed=0).double().eval()
    batch = whole({"a": randn(8, 3), "b": randn(8, 2, seed=1)})
    [plain] = estimate(network, batch, ["a", "b"], [["a"]], 4000, seeded(), 1 << 24)
    [refined] = estimate(network, batch, ["a", "b"], [["a"]], 4000, seeded(1), 1 << 24, steps=200)
    assert refined.ess.mean() > 1.5 * plain.ess.mean()
    torch.testing.assert_close(refined.log_p, plain.log_p, atol=0.1, rtol=0)


def test_a_few_steps_leave_the_estimate_of_p_unbiased() -> None:
    """The draws of the steps and those of the weights are independent, else a refined proposal would fit the latter."""
    values = TRUTH.rows(300)
    for steps in (1, 4):
        [few] = estimate(TRUTH.mvae(0.5), whole(values), ["a"], [["a"]], 100, seeded(), 1 << 30, steps)
        ratios = (few.log_p - TRUTH.log_p(values, ["a"])).exp()
        assert few.variance.mean() > 0.02
        assert abs(ratios.mean() - 1) < 3 * ratios.std() / 300**0.5 < 0.03


def test_a_row_is_refined_as_if_it_were_alone() -> None:
    values = TRUTH.rows(len(HOLES))
    batch = batch_of(values, HOLES)
    together = refine(WRONG, batch, WRONG.infer(batch, ["a", "c"]), ["a", "b"], 5, 3)
    for row in range(len(HOLES)):
        alone = batch.take(torch.tensor([row]))
        q = refine(WRONG, alone, WRONG.infer(alone, ["a", "c"]), ["a", "b"], 5, 3)
        torch.testing.assert_close(q.mean, together.mean[row : row + 1])
        torch.testing.assert_close(q.logvar, together.logvar[row : row + 1])
    other = refine(WRONG, batch, WRONG.infer(batch, ["a", "c"]), ["a", "b"], 5, 4)
    assert abs(other.mean - together.mean).max() > 1e-4


@pytest.mark.slow
def test_batches_and_memory_change_no_number() -> None:
    batch = batch_of(TRUTH.rows(len(HOLES)), HOLES)
    entry = {"target": ["a", "b"], "given": ["c"]}
    options: dict[str, Any] = {"samples": 4, "marginal": "posterior", "refine": STEPS}
    values = [
        score(Held(WRONG, batch, at_once=size), entry, **options, memory=memory)[1]["value"]
        for size, memory in ((6, 100), (2, 100), (6, 1))
    ]
    assert values == pytest.approx([values[0]] * 3, abs=1e-3)


def test_the_figures_without_refinement_stay_as_they_are() -> None:
    batch = batch_of(TRUTH.rows(len(HOLES)), HOLES)
    without = score(Held(WRONG, batch), samples=20, prior_samples=30)
    both = score(Held(WRONG, batch), samples=20, prior_samples=30, refine=3)
    assert both[::2] == without
    assert both[1::2] == score(Held(WRONG, batch), samples=20, prior_samples=30, refine=3)[1::2]


def test_networks_gradients_and_the_global_generator_stay_as_they_are() -> None:
    network = orthogonal(MVAE(latent_dim=D)).train()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    network.eval()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    state = torch.get_rng_state()
    score(Held(network, whole(TRUTH.rows(5))), samples=3, prior_samples=3, refine=3)
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    for parameter in network.parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, torch.ones_like(parameter))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_row_whose_bound_does_not_rise_stays_where_it_started() -> None:
    """The one step of 0.1 goes too far from a start that is nearly right, and not from one that is far off."""
    batch = whole(TRUTH.rows(2))
    truth = EXACT.infer(batch, NAMES)
    assert isinstance(truth, Gaussian)
    start = Gaussian(truth.mean + torch.tensor([[0.01], [1.0]]).double(), truth.logvar)
    q = refine(EXACT, batch, start, NAMES, 1, 0)
    assert torch.equal(q.mean[0], start.mean[0])
    assert torch.equal(q.logvar[0], start.logvar[0])
    torch.testing.assert_close(q.mean[1], start.mean[1] - 0.1, atol=1e-6, rtol=0)


class Recurrent(Vector):
    """Numbers whose decoder has a recurrent layer, which notes whether cuDNN was to compute it."""

    def decoder(self, size: int) -> nn.Module:
        return RecurrentDecoder(size, self.size)


class RecurrentDecoder(VectorDecoder):
    def __init__(self, size: int, out: int) -> None:
        super().__init__(size, out)
        self.gru = nn.GRU(size, size, batch_first=True)
        self.cudnn: list[bool] = []

    def forward(self, z: Tensor) -> Distribution:  # type: ignore[override]
        if torch.is_grad_enabled():
            self.cudnn.append(torch.backends.cudnn.enabled)
        return super().forward(self.gru(z.unsqueeze(1))[0].squeeze(1))


@pytest.mark.parametrize("kind", [Recurrent, Vector])
def test_cudnn_which_has_no_gradient_of_recurrent_layers_in_evaluation_is_off_for_them(kind: type[Vector]) -> None:
    network = build(MVAE(latent_dim=D), {"a": kind(size=3)}, seed=0).double().eval()
    batch = whole({"a": randn(4, 3)})
    usual = torch.backends.cudnn.enabled
    refine(network, batch, network.infer_all(batch), ["a"], 2, 0)
    decoder = network.decoders.of("a")
    if isinstance(decoder, RecurrentDecoder):
        assert decoder.cudnn == [False, False]
    assert torch.backends.cudnn.enabled == usual


def test_the_note_names_refinement_as_the_remedy() -> None:
    run, entry = Held(TRUTH.mvae(3.0), whole(TRUTH.rows(50))), {"target": ["a"], "proposal": NAMES}

    def note(steps: int) -> str:
        options = {"samples": 200, "entries": [entry], "refine": steps}
        [note] = LogLikelihood.model_validate(options).evaluate(run, "test").notes
        assert note.startswith("effective sample size under 10 in ")
        return note

    assert note(0).endswith(
        "(all): the values are bounds rather than estimates; use more samples or refine: 50, which "
        "fits the proposal to each row"
    )
    assert note(1).endswith("use more samples or more steps of refine")
    assert "(log p(a), z from a, b, c):" in note(40)  # the refined one is well


@pytest.mark.slow
def test_a_trained_run_gains_by_refinement_and_reports_both_figures(tmp_path: Path) -> None:
    many, one = (
        f"{{kind: log_likelihood, samples: {samples}, prior_samples: 100, refine: 50, entries: {entries}}}"
        for samples, entries in (
            (30, "[{target: [image]}, {target: [image], given: [label]}]"),
            (1, "[{target: [image]}]"),  # the bound
        )
    )
    options = sets(*SMALL, "data.rows.test=40", f"evaluate=[{many}, {one}]")
    ended = mmt("run", "fashion_mini", "--out", tmp_path / "run", "--json", *options)
    assert ended.status == 0, ended.err
    by_many, by_one = (score_["results"] for score_ in json.loads(ended.out)["scores"])
    for plain, refined in (by_many[:2], by_many[2:]):
        assert refined["value"] > plain["value"]
        assert refined["ess"] > plain["ess"]
        assert refined["log_weight_variance"] < 0.7 * plain["log_weight_variance"]
        assert refined["marginal_ess"] == plain["marginal_ess"]  # of draws from the prior
    plain, refined = by_one
    assert refined["value"] > plain["value"] + 1
    report = (tmp_path / "run" / "report.html").read_text()
    assert "log p(image | label), z from image, label, refined in 50 steps" in report
