"""The models of tests/extensions/mixtures.py against explicit formulas in float64: bounds, missing cells."""

from __future__ import annotations

import math
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from mmtoolkit import VAE, Batch, Observed, UserError, build, load_plugins
from mmtoolkit.evaluators.importance import estimate
from toys import EXAMPLES, Category, Vector, batch_of, bools, randn, seeded, some_values

PLUGIN = Path(__file__).parents[1] / "extensions" / "mixtures.py"
COMPONENTS = load_plugins([PLUGIN]).components
MMVAE: Any = COMPONENTS["model", "mmvae"]
MoPoE: Any = COMPONENTS["model", "mopoe"]
D = 2
MODALITIES = {"a": Vector(weight=0.7), "b": Vector(size=3), "c": Category(weight=2.0)}


def made(model: type, modalities: Any = MODALITIES) -> Any:
    return build(model(latent_dim=D), modalities, seed=0).double()


def some(present: Tensor, seed: int = 0) -> Batch:
    return batch_of(some_values(MODALITIES, len(present), seed), present)


def value_of(batch: Batch, name: str, row: int) -> Tensor:
    return batch.value(name)[(batch.rows(name) == row).nonzero()[0]]


def log_joint(network: Any, batch: Batch, row: int, z: Tensor) -> Tensor:
    """sum_i λ_i log p(x_i | z) of what a row has, z (D,)."""
    total = torch.zeros((), dtype=torch.float64)
    for m, name in enumerate(MODALITIES):
        if batch.present[row, m]:
            p = network.decoders.of(name)(z.unsqueeze(0))
            total = total + MODALITIES[name].weight * p.log_prob(value_of(batch, name, row)).sum()
    return total


def experts_of(network: Any, batch: Batch, row: int, names: list[str]) -> dict[str, Normal]:
    found = {}
    for name in names:
        if batch.present[row, list(MODALITIES).index(name)]:
            mean, logvar = network.encoders.of(name)(value_of(batch, name, row))[0].chunk(2)
            found[name] = Normal(mean, (logvar / 2).exp())
    return found


def product(experts: list[Normal]) -> Normal:
    """Of Gaussians alone, without the prior."""
    precision = sum(1 / expert.variance for expert in experts)
    return Normal(sum(expert.mean / expert.variance for expert in experts) / precision, precision**-0.5)


def products_of(experts: dict[str, Normal]) -> list[Normal]:
    """Of all non-empty sets, in the order of the numbers whose bits are their members."""
    names = list(MODALITIES)
    sets = chain.from_iterable(combinations([n for n in names if n in experts], k) for k in range(1, len(names) + 1))
    ordered = sorted(sets, key=lambda members: sum(2 ** names.index(name) for name in members))
    return [product([experts[name] for name in members]) for members in ordered]


def log_mean(logs: list[Tensor]) -> Tensor:
    return torch.stack(logs).exp().mean(0).log()


@EXAMPLES
@given(present=bools(5, 3), beta=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_mmvae_bound_is_a_loop_over_rows_and_experts(present: Tensor, beta: float) -> None:
    network, batch, noise = made(MMVAE), some(present), randn(3, 5, D, seed=7)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(5):
        experts = experts_of(network, batch, row, list(MODALITIES))
        for name, expert in experts.items():
            z = expert.mean + expert.stddev * noise[list(MODALITIES).index(name), row]
            log_q = log_mean([other.log_prob(z).sum() for other in experts.values()])
            log_p = Normal(0.0, 1.0).log_prob(z).sum()
            total = total + (log_joint(network, batch, row, z) - beta * (log_q - log_p)) / len(experts)
    loss, parts = network(batch, beta, noise=noise)
    assert_close(loss, -total / max(int(present.any(1).sum()), 1), rtol=1e-10, atol=1e-10)
    assert list(parts) == ["log p(a)", "log p(b)", "log p(c)", "KL"]
    rebuilt = beta * parts["KL"] - sum(MODALITIES[name].weight * parts[f"log p({name})"] for name in MODALITIES)
    assert_close(rebuilt, loss.detach())


@EXAMPLES
@given(present=bools(5, 3), beta=st.sampled_from([0.4, 1.0]))
def test_the_mopoe_bound_is_a_loop_over_rows_and_sets(present: Tensor, beta: float) -> None:
    network, batch, noise = made(MoPoE), some(present), randn(1, 5, D, seed=7)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(5):
        parts = products_of(experts_of(network, batch, row, list(MODALITIES)))
        if not parts:
            continue
        u = Normal(0.0, 1.0).cdf(noise[0, row, 0]) * len(parts)
        own = noise[0, row].clone()
        if len(parts) > 1:
            own[0] = Normal(0.0, 1.0).icdf(u - u.floor())
        part = parts[int(u)]
        z = part.mean + part.stddev * own
        means = [torch.distributions.kl_divergence(p, Normal(0.0, 1.0)).sum() for p in parts]
        told = part.log_prob(z).sum() - log_mean([p.log_prob(z).sum() for p in parts])
        total = total + log_joint(network, batch, row, z) - beta * (sum(means) / len(means) - told)
    loss, _ = network(batch, beta, noise=noise)
    assert_close(loss, -total / max(int(present.any(1).sum()), 1), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("model", "of"), [(MMVAE, lambda e: list(e.values())), (MoPoE, products_of)])
@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"], []])
@EXAMPLES
@given(present=bools(5, 3))
def test_the_posterior_mixes_what_is_given_and_there(model: type, of: Any, asked: list[str], present: Tensor) -> None:
    network, batch, z = made(model), some(present), randn(4, 5, D, seed=3)
    q = network.infer(batch, asked)
    for row in range(5):
        parts = of(experts_of(network, batch, row, asked)) or [Normal(torch.zeros(D).double(), 1.0)]
        log_q = log_mean([part.log_prob(z[:, row]).sum(-1) for part in parts])
        assert_close(q.log_prob(z)[:, row], log_q, rtol=1e-9, atol=1e-9)
        assert_close(q.mean[row], sum(part.mean for part in parts) / len(parts), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", [MMVAE, MoPoE])
def test_a_row_that_has_nothing_has_the_prior_and_adds_nothing(model: type) -> None:
    network = made(model)
    present = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    batch, noise = some(present), randn(network.terms, 3, D, seed=1)
    q = network.infer_all(batch)
    assert not q.mean[1].any()
    assert_close(q.variance[1], torch.ones(D).double(), rtol=0, atol=0)
    assert torch.equal(q.rsample(noise)[:, 1], noise[:, 1])
    assert q.kl(noise)[1] == 0
    loss, _ = network(batch, 1.0, noise=noise)
    without, _ = network(batch.take(torch.tensor([0, 2])), 1.0, noise=noise[:, [0, 2]])
    assert_close(loss, without, rtol=1e-12, atol=0)
    nothing, parts = network(some(torch.zeros(2, 3, dtype=torch.bool)))
    assert nothing == 0
    assert all(part == 0 for part in parts.values())


@pytest.mark.parametrize("model", [MMVAE, MoPoE])
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -1e300])
def test_what_stands_in_a_missing_cell_changes_no_bit(model: type, garbage: float) -> None:
    present = torch.tensor([[True, True, False], [False, True, True], [True, False, True], [False, False, True]])
    values = some_values(MODALITIES, 4)
    dirty = dict(values)
    for m, name in enumerate(("a", "b")):
        dirty[name] = values[name].clone()
        dirty[name][~present[:, m]] = garbage
    found = []
    for cells in (values, dirty):
        network = made(model)
        noise = randn(network.terms, 4, D, seed=1)
        loss, _ = network(batch_of(cells, present), 0.5, noise=noise)
        loss.backward()
        bound = network.bound(batch_of(cells, present), noise[0])
        found.append([loss, bound, *(p.grad for p in network.parameters())])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
        assert a.isfinite().all()


def test_mopoe_of_one_modality_is_the_vae() -> None:
    one = {"a": MODALITIES["b"]}
    vae, mopoe = made(VAE, one), made(MoPoE, one)
    present = torch.tensor([True, False, True, True])
    batch = Batch({"a": Observed(randn(4, 3, seed=1), present)})
    noise = randn(1, 4, D, seed=2)
    losses = [network(batch, 0.3, noise=noise)[0] for network in (vae, mopoe)]
    assert_close(losses[1], losses[0], rtol=1e-12, atol=0)
    for loss in losses:
        loss.backward()
    for p, r in zip(vae.parameters(), mopoe.parameters(), strict=True):
        assert p.grad.any()
        assert_close(r.grad, p.grad, rtol=1e-9, atol=1e-12)
    assert_close(mopoe.bound(batch, noise[0]), vae.bound(batch, noise[0]))


@pytest.mark.parametrize("model", [MMVAE, MoPoE])
def test_the_bound_of_validation_takes_all_its_randomness_from_the_noise(model: type) -> None:
    network, batch = made(model), some(torch.ones(4, 3, dtype=torch.bool))
    noise = randn(4, D, seed=1)
    torch.manual_seed(1)
    first = network.bound(batch, noise)
    torch.manual_seed(2)
    assert torch.equal(network.bound(batch, noise), first)
    q = network.infer_all(batch)
    log_probs = network.log_prob(q.rsample(noise), batch, network.targets)
    assert_close(first, sum(log_probs.values()) - q.kl(noise), rtol=1e-12, atol=0)


def test_mopoe_takes_ten_modalities_and_no_more() -> None:
    many = {f"m{i}": Vector() for i in range(11)}
    ten = build(MoPoE(latent_dim=D), {f"m{i}": Vector() for i in range(10)})
    assert isinstance(ten.sets, Tensor)
    assert ten.sets.shape == (1023, 10)
    assert len(ten.sets.unique(dim=0)) == 1023
    assert ten.sets.any(1).all()
    batch = Batch({f"m{i}": Observed(torch.randn(3, 2), torch.rand(3) < 0.9) for i in range(10)})
    loss, _ = ten(batch)
    loss.backward()
    assert loss.isfinite()
    with pytest.raises(UserError) as raised:
        build(MoPoE(latent_dim=D), many)
    said = "model: mopoe mixes all sets of up to 10 modalities, and there are 11; join some, or use mmvae"
    assert raised.value.faults == [said]


@pytest.mark.parametrize("model", [MMVAE, MoPoE])
def test_importance_sampling_with_a_mixture_finds_the_likelihood(model: type) -> None:
    linear = {"a": Vector(size=2), "b": Vector(size=3)}  # x = W z + bias + noise: its log p has a closed form
    network = made(model, linear).eval()
    values = {name: randn(20, linear[name].size, seed=seed) for seed, name in enumerate(linear)}
    batch = batch_of(values, torch.ones(20, 2, dtype=torch.bool))
    weight = torch.cat([network.decoders.of(name).weight for name in linear]).detach()
    bias = torch.cat([network.decoders.of(name).bias for name in linear]).detach()
    exact = MultivariateNormal(bias, weight @ weight.T + torch.eye(5).double()).log_prob(
        torch.cat([*values.values()], 1)
    )
    [found] = estimate(network, batch, ("a", "b"), [("a", "b")], 20_000, seeded(), 2**24)
    assert (found.ess > 100).all()
    assert_close(found.log_p.mean(), exact.mean(), rtol=0, atol=5 * float((1 / found.ess).mean() / 20) ** 0.5)
