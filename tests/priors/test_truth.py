"""Models with another prior against linear-Gaussian models with a mixture prior, whose likelihoods are known."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from mmtoolkit import (
    CVAE,
    JMVAE,
    MVAE,
    VAE,
    Batch,
    BiVCCA,
    Elbo,
    Gaussian,
    LogLikelihood,
    MixturePrior,
    Modality,
    Model,
    Network,
    NormalPrior,
    Observed,
    OrPrior,
    Prior,
    StudentTPrior,
    build,
    product_of_experts,
)
from mmtoolkit.evaluators.importance import Estimate, estimate
from mmtoolkit.testing.stand_ins import StandInRun
from toys import Vector, VectorDecoder, batch_of, randn, seeded, some_values

D = 2
SIZES = {"a": 3, "b": 2}
SCALES = {"a": (0.7, 1.3), "b": (1.1, 0.4)}
LARGE = 1 << 30


class Line(Vector):
    """Real numbers x = W z + b + noise of unit variance, read by a linear encoder."""

    kind: Literal["line"] = "line"  # type: ignore[assignment]

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return LineEncoder(self.size + extra, width)

    def example_cells(self) -> list[Any]:
        return randn(8, self.size, seed=3).float().tolist()


class LineEncoder(nn.Linear):
    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return super().forward(x if c is None else torch.cat([x, c.to(x)], dim=1))


LINES: dict[str, Modality] = {name: Line(size=size) for name, size in SIZES.items()}


class Truth:
    """z from a mixture of three Gaussians, x = W z + b + noise of unit variance."""

    def __init__(self) -> None:
        self.weights = {
            name: torch.linalg.qr(randn(size, D, seed=place))[0] * torch.tensor(SCALES[name], dtype=torch.float64)
            for place, (name, size) in enumerate(SIZES.items())
        }
        self.offsets = {name: randn(size, seed=10 + place) for place, (name, size) in enumerate(SIZES.items())}
        self.means, self.logvars, self.logits = 2 * randn(3, D, seed=20), randn(3, D, seed=21), randn(3, seed=22)

    def rows(self, count: int) -> dict[str, Tensor]:
        with torch.no_grad():
            z = self.network().need_prior().sample(randn(count, D, seed=1))
        return {
            name: z @ w.T + self.offsets[name] + randn(count, len(w), seed=2 + place)
            for place, (name, w) in enumerate(self.weights.items())
        }

    def log_p(self, values: Mapping[str, Tensor], names: Collection[str]) -> Tensor:
        """log sum_c w_c N(x; W m_c + b, W V_c Wᵀ + I) of some modalities together: (B,)."""
        names = [name for name in values if name in names]
        if not names:
            return torch.zeros(len(next(iter(values.values()))), dtype=torch.float64)
        w = torch.cat([self.weights[name] for name in names])
        b = torch.cat([self.offsets[name] for name in names])
        x = torch.cat([values[name] for name in names], 1)
        each = [
            MultivariateNormal(w @ mean + b, w @ logvar.exp().diag() @ w.T + torch.eye(len(w)).double()).log_prob(x)
            for mean, logvar in zip(self.means, self.logvars, strict=True)
        ]
        return (torch.stack(each) + self.logits.log_softmax(0)[:, None]).logsumexp(0)

    def network(self) -> Network:
        """An MVAE whose experts are the likelihoods of z, so that the product lacks the prior alone."""
        network = build(MVAE(latent_dim=D, prior=MixturePrior(components=3)), LINES, seed=0).double().eval()
        prior: Any = network.prior
        with torch.no_grad():
            prior.means.copy_(self.means)
            prior.logvars.copy_(self.logvars)
            prior.logits.copy_(self.logits)
            for name, w in self.weights.items():
                decoder, encoder = network.decoders.of(name), network.encoders.of(name)
                assert isinstance(decoder, VectorDecoder)
                assert isinstance(encoder, LineEncoder)
                decoder.weight.copy_(w)
                decoder.bias.copy_(self.offsets[name])
                precision = (w * w).sum(0)
                scaled = w.T / precision.unsqueeze(1)
                encoder.weight[:D], encoder.weight[D:] = scaled, 0
                encoder.bias[:D], encoder.bias[D:] = -(scaled @ self.offsets[name]), -precision.log()
        return network


TRUTH = Truth()


def whole(values: Mapping[str, Tensor]) -> Batch:
    rows = len(next(iter(values.values())))
    return Batch({name: Observed(x, torch.ones(rows, dtype=torch.bool)) for name, x in values.items()})


def subsets(names: Collection[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


def close(estimates: Sequence[Estimate], signs: Sequence[int], truth: Tensor, samples: Sequence[int]) -> None:
    """Within three standard errors of the mean over rows, by the delta method: var(log mean w) = 1/ess - 1/K."""
    value = torch.stack([sign * e.log_p for sign, e in zip(signs, estimates, strict=True)]).sum(0)
    spread = torch.stack([(1 / e.ess - 1 / k).clamp(min=0) for e, k in zip(estimates, samples, strict=True)])
    error = spread.sum().sqrt() / len(truth)
    assert error < 0.03  # else it would agree with anything
    assert abs(value.mean() - truth.mean()) < 3 * error + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("proposal", [("a",), ("b",), ("a", "b")])
def test_log_likelihoods_are_those_of_the_mixture(proposal: tuple[str, ...]) -> None:
    values, network, k = TRUTH.rows(60), TRUTH.network(), 3000
    targets = [t for t in subsets(SIZES) if set(proposal) <= set(t)]  # else the weights have no bound
    estimates = estimate(network, whole(values), proposal, targets, k, seeded(), LARGE)
    for target, estimated in zip(targets, estimates, strict=True):
        close([estimated], [1], TRUTH.log_p(values, target), [k])
    alone = [(name,) for name in SIZES]
    prior = dict(zip(alone, estimate(network, whole(values), (), alone, 20_000, seeded(1), LARGE), strict=True))
    for name in SIZES:  # by draws from the prior
        close([prior[name,]], [1], TRUTH.log_p(values, [name]), [20_000])
    joint = dict(zip(targets, estimates, strict=True))["a", "b"]
    conditional = TRUTH.log_p(values, SIZES) - TRUTH.log_p(values, ["b"])
    close([joint, prior["b",]], [1, -1], conditional, [k, 20_000])


def test_the_evaluator_scores_joint_and_conditional_likelihoods() -> None:
    values = TRUTH.rows(40)

    class Held(StandInRun):
        def batches(self, split: str, rows: Any = None, redraw: bool = False) -> Iterator[Batch]:
            return whole(values).split(7)

    run = Held(LINES, TRUTH.network())
    for marginal in ("prior", "posterior"):
        options = {"samples": 4000, "prior_samples": 20_000, "marginal": marginal, "memory": 1000}
        for result in LogLikelihood.model_validate(options).evaluate(run, "test").results:
            given, target = result["given"], result["target"]
            truth = TRUTH.log_p(values, {*target, *given}) - TRUTH.log_p(values, given)
            assert result["value"] == pytest.approx(float(truth.mean()), abs=0.03)


@pytest.mark.slow
def test_the_elbo_with_the_true_posterior_is_the_likelihood_less_its_gap() -> None:
    # E_q[log p(x, z) - log q(z)] = log p(x) - KL(q || p(z | x)), here by a sum over a grid of z.
    values, network = TRUTH.rows(6), TRUTH.network()
    axis = torch.linspace(-15, 15, 601, dtype=torch.float64)
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).flatten(0, 1)
    with torch.no_grad():
        q: Any = network.infer_all(whole(values))
        assert isinstance(q, Gaussian)
        noise = randn(20_000, 6, D, seed=4)
        batch = whole(values)
        drawn = q.rsample(noise)
        log_p = sum(network.log_prob(drawn.flatten(0, 1), batch, SIZES).values()).view(20_000, 6)  # type: ignore[union-attr]
        bound = log_p.mean(0) - network.need_prior().kl(q, noise)
        cell = float(axis[1] - axis[0]) ** 2
        log_q = q.log_prob(z.unsqueeze(1))
        joint = sum(network.log_prob(z.repeat_interleave(6, 0), batch, SIZES).values()).view(-1, 6)  # type: ignore[union-attr]
        joint = joint + network.need_prior().log_prob(z).unsqueeze(1)
        exact = (log_q.exp() * (joint - log_q)).sum(0) * cell
        single = torch.stack([network.bound(batch, one) for one in noise[:500]]).mean(0)
    torch.testing.assert_close(bound, exact, rtol=0, atol=0.05)
    torch.testing.assert_close(single, exact, rtol=0, atol=0.3)
    assert (exact < TRUTH.log_p(values, SIZES)).all()


# A mixture of one component, fixed at N(0, I), is the normal prior in all models that take no product with it.

Case = tuple[type[Model], dict[str, Any]]
MODELS: dict[str, Case] = {
    "vae": (VAE, {}),
    "cvae": (CVAE, {}),
    "bivcca": (BiVCCA, {}),
    "jmvae": (JMVAE, {"width": 4}),
}


EVERY: dict[str, Case] = {**MODELS, "mvae": (MVAE, {})}


def network_of(name: str, prior: Prior) -> Network:
    cls, options = MODELS[name]
    torch.manual_seed(0)
    network = build(cls.model_validate({"latent_dim": D, "prior": prior, **options}), LINES).double()
    module: Any = network.prior
    if isinstance(prior, MixturePrior):
        with torch.no_grad():
            module.means.zero_()
    return network


def pair_of(name: str) -> tuple[Network, Network]:
    """The same weights with the normal prior, and with the mixture."""
    normal, mixture = network_of(name, NormalPrior()), network_of(name, MixturePrior(components=1))
    mixture.load_state_dict(normal.state_dict(), strict=False)
    return normal.eval(), mixture.eval()


PRESENT = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [0, 0]]) > 0


@pytest.mark.parametrize("name", MODELS)
def test_one_component_gives_the_numbers_of_the_normal_prior(name: str) -> None:
    normal, mixture = pair_of(name)
    batch = batch_of(some_values(LINES, 5), PRESENT)
    for given in [(), *(tuple(n for n in LINES if n in s) for s in normal.subsets() or ())]:
        targets = [list(normal.targets)]
        with torch.no_grad():
            q, other = normal.infer(batch, given), mixture.infer(batch, given)
            noise = randn(3, 5, D, seed=5)
            for one, two in (
                (q.mean, other.mean),
                (q.variance, other.variance),
                (q.rsample(noise), other.rsample(noise)),
                (q.log_prob(noise), other.log_prob(noise)),
            ):
                torch.testing.assert_close(two, one, rtol=1e-6, atol=1e-6)
        (first,) = estimate(normal, batch, given, targets, 200, seeded(), LARGE)
        (second,) = estimate(mixture, batch, given, targets, 200, seeded(), LARGE)
        torch.testing.assert_close(second.log_p, first.log_p, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(second.ess, first.ess, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_an_estimated_divergence_leaves_the_mean_elbo_and_loss(name: str) -> None:
    normal, mixture = pair_of(name)
    batch = batch_of(some_values(LINES, 5), PRESENT)
    terms = 2 if name == "bivcca" else 1
    with torch.no_grad():
        noise = randn(500, terms, 5, D, seed=6)
        losses, others = (torch.stack([net(batch, 1.0, noise=one)[0] for one in noise]) for net in (normal, mixture))
        bounds, other_bounds = (
            torch.stack([net.bound(batch, one[0]) for one in noise])[:, PRESENT.any(1)] for net in (normal, mixture)
        )
    for one, two in ((losses, others), (bounds, other_bounds)):
        difference = two - one
        assert (difference.mean(0).abs() < 4 * difference.std(0) / math.sqrt(len(noise)) + 1e-6).all()
    assert losses.std() > 0

    run, other = (StandInRun(LINES, network.float()) for network in (normal, mixture))
    for first, second in zip(
        Elbo(samples=100).evaluate(run, "test").results, Elbo(samples=100).evaluate(other, "test").results, strict=True
    ):
        if first["value"] is not None:
            assert second["value"] == pytest.approx(first["value"], abs=0.1)


# Other models, row by row.


def test_the_product_has_no_prior_expert() -> None:
    network = build(MVAE(latent_dim=D, prior=StudentTPrior()), LINES, seed=0).double()
    batch = batch_of(some_values(LINES, 5), PRESENT)
    with torch.no_grad():
        q = network.infer_all(batch)
        product = product_of_experts(network.experts(batch), PRESENT.T[None], prior=False)
    torch.testing.assert_close(q.mean[:4], product.mean[0, :4], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.variance[:4], product.variance[0, :4], rtol=1e-12, atol=1e-12)
    assert torch.equal(q.mean[4], network.need_prior().mean)
    assert torch.equal(q.variance[4], network.need_prior().variance)


@pytest.mark.parametrize("name", EVERY)
def test_rows_that_have_nothing_have_the_prior(name: str) -> None:
    cls, options = EVERY[name]
    prior = MixturePrior(components=3)
    network = build(cls.model_validate({"latent_dim": D, "prior": prior, **options}), LINES, seed=0).double().eval()
    batch, noise = batch_of(some_values(LINES, 5), PRESENT), randn(2, 5, D, seed=7)
    sets: list[tuple[str, ...]] = [tuple(sorted(s)) for s in network.subsets() or [frozenset(LINES)]]
    with torch.no_grad():
        module = network.need_prior()
        for given in [(), *sets]:
            q = network.infer(batch, given)
            for row in range(5):
                one = network.infer(batch.take(torch.tensor([row])), given)
                if one is not q and isinstance(one, OrPrior):
                    assert not one.informed.any()
                    expected = module.sample(noise[:, row])
                    assert torch.equal(q.mean[row], module.mean)
                    assert torch.equal(q.log_prob(noise)[:, row], module.log_prob(noise[:, row]))
                    assert module.kl(q, noise)[row] == 0
                else:
                    expected = one.rsample(noise[:, [row]])[:, 0]
                    torch.testing.assert_close(q.mean[row], one.mean[0], rtol=1e-12, atol=1e-12)
                torch.testing.assert_close(q.rsample(noise)[:, row], expected, rtol=1e-12, atol=1e-12)
                has = PRESENT[row] & torch.tensor([n in given for n in LINES])
                told = bool(has.all()) if name == "cvae" else bool(has.any())
                if name == "vae":
                    told = bool(has[0])
                assert isinstance(one, OrPrior) == (not told), (given, row)


@pytest.mark.parametrize("name", EVERY)
def test_training_learns_the_prior(name: str) -> None:
    cls, options = EVERY[name]
    options = {"latent_dim": D, "prior": {"kind": "mixture", "components": 3}, **options}
    network = build(cls.model_validate(options), LINES, seed=0).double()
    batch = batch_of(some_values(LINES, 5), PRESENT)
    torch.manual_seed(1)
    network(batch, 1.0)[0].backward()
    for parameter in network.need_prior().parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_the_normal_prior_adds_nothing_to_the_weights() -> None:
    for name, (cls, options) in EVERY.items():
        model = cls.model_validate({"latent_dim": D, **options})
        assert model.model_dump()["prior"] == {"kind": "normal", "scale": 1.0}
        network = build(model, LINES, seed=0)
        learned = build(cls.model_validate({"latent_dim": D, "prior": "mixture", **options}), LINES, seed=0)
        assert not [key for key in network.state_dict() if key.startswith("prior")], name
        for part in ("encoders", "decoders"):  # the prior is built after them
            pairs = zip(getattr(network, part).parameters(), getattr(learned, part).parameters(), strict=True)
            assert all(torch.equal(one, other) for one, other in pairs), name
