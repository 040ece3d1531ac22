"""Pooling functions against loops over rows, sets and experts, and the exact Hölder mixture against its definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from mmtoolkit.core.pooling import Pooling, barycentre, hoelder, hoelder_mixture, weighted_product
from mmtoolkit.core.posterior import Gaussian, product_of_experts
from toys import EXAMPLES, bools, randn

S, U, B, D = 3, 4, 3, 2
BY_UNIT = torch.tensor([0.2, 1.0, 3.0, 0.7], dtype=torch.float64)
BY_DIMENSION = torch.stack([BY_UNIT, BY_UNIT.flip(0)], dim=1)
LOGVARS = [-1e30, -200.0, -88.0, -60.0, -1.0, 0.0, 1.0, 60.0, 88.0, 1e30]
GARBAGE = [math.nan, math.inf, -math.inf, 1e300]


def weights_for(experts: Gaussian) -> Tensor:
    return torch.linspace(0.5, 2, len(experts.mean), dtype=torch.float64)


POOLINGS: dict[str, Pooling] = {
    "product": product_of_experts,
    "weighted product": lambda experts, members: weighted_product(experts, members, weights_for(experts)),
    "barycentre": barycentre,
    "weighted barycentre": lambda experts, members: barycentre(experts, members, weights_for(experts)),
    "hoelder": hoelder,
    "weighted hoelder": lambda experts, members: hoelder(experts, members, weights_for(experts)),
}
EACH = pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS)


def experts_of(seed: int = 0, scale: float = 1.5) -> tuple[Tensor, Tensor]:
    return randn(U, B, D, seed=seed), scale * randn(U, B, D, seed=seed + 1)


def number(x: Tensor) -> float:
    return float(x.item())


def assert_is_the_loop(
    pool: Pooling, seed: int, members: Tensor, one: Callable[[list[int], Gaussian, int], list[tuple[float, float]]]
) -> None:
    """Each set of each row is what `one` makes of its members, as (mean, variance) of each dimension."""
    experts = Gaussian(*experts_of(seed))
    q = pool(experts, members)
    assert q.mean.shape == (S, B, D)
    for s in range(S):
        for b in range(B):
            inside = [m for m in range(U) if members[s, m, b]]
            expected = one(inside, experts, b) if inside else [(0.0, 1.0)] * D
            for d, (mean, variance) in enumerate(expected):
                assert number(q.mean[s, b, d]) == pytest.approx(mean, rel=1e-9, abs=1e-11)
                assert number(q.variance[s, b, d]) == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize("weights", [BY_UNIT, BY_DIMENSION, 1e-3 * BY_UNIT.float()])
@EXAMPLES
@given(members=bools(S, U, B), seed=st.integers(0, 1000))
def test_a_weighted_product_adds_weighted_precisions(weights: Tensor, members: Tensor, seed: int) -> None:
    columns = weights.double().view(U, -1).expand(U, D)

    def one(inside: list[int], experts: Gaussian, b: int) -> list[tuple[float, float]]:
        actual = []
        for d in range(D):
            total = sum(number(columns[m, d]) for m in inside)
            precision = weighted = 0.0
            for m in inside:
                own = number(columns[m, d]) / total * math.exp(-number(experts.logvar[m, b, d]))
                precision += own
                weighted += own * number(experts.mean[m, b, d])
            actual.append((weighted / precision, 1 / precision))
        return actual

    assert_is_the_loop(lambda e, m: weighted_product(e, m, weights), seed, members, one)


@pytest.mark.parametrize("weights", [None, BY_UNIT, BY_DIMENSION])
@EXAMPLES
@given(members=bools(S, U, B), seed=st.integers(0, 1000))
def test_a_barycentre_averages_means_and_standard_deviations(
    weights: Tensor | None, members: Tensor, seed: int
) -> None:
    columns = (torch.ones(U).double() if weights is None else weights).view(U, -1).expand(U, D)

    def one(inside: list[int], experts: Gaussian, b: int) -> list[tuple[float, float]]:
        actual = []
        for d in range(D):
            total = sum(number(columns[m, d]) for m in inside)
            shares = {m: number(columns[m, d]) / total for m in inside}
            mean = sum(share * number(experts.mean[m, b, d]) for m, share in shares.items())
            std = sum(share * math.exp(number(experts.logvar[m, b, d]) / 2) for m, share in shares.items())
            actual.append((mean, std**2))
        return actual

    assert_is_the_loop(lambda e, m: barycentre(e, m, weights), seed, members, one)


def mixture_by_hand(
    inside: list[int], experts: Gaussian, b: int, weights: list[float]
) -> list[tuple[float, list[float], list[float]]]:
    """The weight, mean and variance of each part of (sum_m w_m √q_m)²."""
    mean, var = experts.mean[:, b].tolist(), experts.variance[:, b].tolist()
    parts = [(weights[m] ** 2, mean[m], var[m]) for m in inside]
    for i, j in combinations(inside, 2):
        overlap, means, variances = 1.0, [], []
        for d in range(len(mean[i])):
            total = var[i][d] + var[j][d]
            overlap *= math.sqrt(2 * math.sqrt(var[i][d] * var[j][d]) / total)
            overlap *= math.exp(-((mean[i][d] - mean[j][d]) ** 2) / (4 * total))
            means.append((mean[i][d] * var[j][d] + mean[j][d] * var[i][d]) / total)
            variances.append(2 * var[i][d] * var[j][d] / total)
        parts.append((2 * weights[i] * weights[j] * overlap, means, variances))
    scale = sum(weight for weight, _, _ in parts)
    return [(weight / scale, means, variances) for weight, means, variances in parts]


@pytest.mark.parametrize("weights", [None, BY_UNIT])
@EXAMPLES
@given(members=bools(S, U, B), seed=st.integers(0, 1000))
def test_hoelder_pooling_has_the_moments_of_the_mixture(weights: Tensor | None, members: Tensor, seed: int) -> None:
    plain = [1.0] * U if weights is None else weights.tolist()

    def one(inside: list[int], experts: Gaussian, b: int) -> list[tuple[float, float]]:
        parts = mixture_by_hand(inside, experts, b, plain)
        actual = []
        for d in range(D):
            mean = sum(share * means[d] for share, means, _ in parts)
            square = sum(share * (variances[d] + means[d] ** 2) for share, means, variances in parts)
            actual.append((mean, square - mean**2))
        return actual

    assert_is_the_loop(lambda e, m: hoelder(e, m, weights), seed, members, one)


@pytest.mark.parametrize("weights", [None, BY_UNIT])
@EXAMPLES
@given(members=bools(U, B), seed=st.integers(0, 1000))
def test_the_density_of_the_hoelder_mixture_is_the_square_of_the_sum_of_roots(
    weights: Tensor | None, members: Tensor, seed: int
) -> None:
    experts, z = Gaussian(*experts_of(seed)), 2 * randn(7, B, D, seed=9)
    q = hoelder_mixture(experts, members, weights)
    plain = torch.ones(U).double() if weights is None else weights
    roots = (0.5 * experts.log_prob(z.unsqueeze(1))).exp()  # (7, U, B)
    unnormalised = 2 * (roots * members * plain.unsqueeze(1)).sum(1).log()
    difference = q.log_prob(z) - unnormalised
    for b in range(B):
        if members[:, b].any():  # proportional
            assert_close(difference[:, b], difference[:1, b].expand(7), rtol=0, atol=1e-9)
        else:
            prior = torch.distributions.Normal(0.0, 1.0).log_prob(z[:, b]).sum(-1)
            assert_close(q.log_prob(z)[:, b], prior, rtol=1e-14, atol=0)
            assert not q.mean[b].any()
    assert_close(q.shares.sum(0), torch.ones(B).double(), rtol=1e-12, atol=0)
    matched = hoelder(experts, members.unsqueeze(0), weights)
    assert_close(matched.mean[0], q.mean, rtol=1e-10, atol=1e-12)
    assert_close(matched.variance[0], q.variance, rtol=1e-10, atol=1e-12)


def test_the_hoelder_mixture_integrates_to_one() -> None:
    mean, logvar = randn(U, B, 1, seed=1), randn(U, B, 1, seed=2)
    q = hoelder_mixture(Gaussian(mean, logvar), torch.ones(U, B, dtype=torch.bool))
    z = torch.linspace(-30, 30, 60_001, dtype=torch.float64).view(-1, 1, 1).expand(-1, B, 1)
    assert_close(q.log_prob(z).exp().sum(0) * 0.001, torch.ones(B).double(), rtol=1e-8, atol=0)


def test_a_hoelder_mixture_ignores_absent_experts_and_shows_broken_ones() -> None:
    mean, logvar = experts_of()
    members = torch.tensor([[True, False, True], [True, True, True], [False, True, False], [True, False, False]])
    dirty_mean, dirty_logvar = (torch.where(members.unsqueeze(-1), x, math.nan) for x in (mean, logvar))
    actual = []
    for m, v in ((mean, logvar), (dirty_mean, dirty_logvar)):
        m, v = m.clone().requires_grad_(), v.clone().requires_grad_()
        q = hoelder_mixture(Gaussian(m, v), members)
        strata, noise = q.strata(), randn(q.shares.numel(), D)
        value = (strata.kl(noise) * q.shares.flatten()).sum()
        value.backward()
        actual.append([value, m.grad, v.grad, q.mean, q.variance])
    for a, b in zip(*actual, strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
        assert b.isfinite().all()
    mean[0, 0, 0] = math.nan
    q = hoelder_mixture(Gaussian(mean, logvar), members)
    assert q.mean.isnan().all(-1).tolist() == [True, False, False]
    assert q.log_prob(randn(B, D)).isnan().tolist() == [True, False, False]
    assert q.rsample(randn(B, D)).isnan().all(-1).tolist() == [True, False, False]


# What every pooling function promises.


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_member_is_exactly_the_prior(pool: Pooling, dtype: torch.dtype) -> None:
    mean, logvar = (x.to(dtype) for x in experts_of())
    members = torch.zeros(S, U, B, dtype=torch.bool)
    for inside in (members, members[:1]):
        q = pool(Gaussian(mean, logvar), inside)
        assert not q.mean.any()
        assert not q.logvar.any()
    members[0, 1, 2] = True  # and beside sets that have one
    q = pool(Gaussian(mean, logvar), members)
    assert not q.mean[1:].any()
    assert not q.logvar[1:].any()
    assert not q.logvar[0, :2].any()
    assert q.mean[0, 2].all()


def pooled_with_gradients(pool: Pooling, mean: Tensor, logvar: Tensor, members: Tensor, chosen: Tensor) -> list[Tensor]:
    mean, logvar = mean.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = pool(Gaussian(mean, logvar), members)
    weights = randn(2, *q.mean.shape, seed=5)
    (weights[0] * q.mean + weights[1] * q.logvar)[chosen].sum().backward()
    assert mean.grad is not None
    assert logvar.grad is not None
    return [q.mean.detach()[chosen], q.logvar.detach()[chosen], mean.grad, logvar.grad]


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("garbage", GARBAGE)
@EXAMPLES
@given(members=bools(S, U, B))
def test_what_an_absent_cell_holds_changes_no_bit(pool: Pooling, garbage: float, members: Tensor) -> None:
    mean, logvar = experts_of()
    absent = ~members.any(0).unsqueeze(-1)
    everything = torch.ones(S, B, dtype=torch.bool)
    clean = pooled_with_gradients(pool, mean, logvar, members, everything)
    dirty = pooled_with_gradients(
        pool, mean.masked_fill(absent, garbage), logvar.masked_fill(absent, -garbage), members, everything
    )
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)
        assert a.isfinite().all()


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e100])
@EXAMPLES
@given(members=bools(S, U, B))
def test_sets_without_an_expert_ignore_it_bit_for_bit(pool: Pooling, garbage: float, members: Tensor) -> None:
    mean, logvar = experts_of()
    dirty_mean, dirty_logvar = mean.clone(), logvar.clone()
    dirty_mean[0, 0], dirty_logvar[0, 0] = garbage, garbage
    untouched = torch.ones(S, B, dtype=torch.bool)
    untouched[:, 0] = ~members[:, 0, 0]
    clean = pooled_with_gradients(pool, mean, logvar, members, untouched)
    dirty = pooled_with_gradients(pool, dirty_mean, dirty_logvar, members, untouched)
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)


@EACH
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["mean", "logvar"])
def test_a_member_that_is_not_finite_spoils_just_its_own_sets(pool: Pooling, garbage: float, place: str) -> None:
    mean, logvar = experts_of()
    {"mean": mean, "logvar": logvar}[place][1, 2, 0] = garbage
    members = randn(S, U, B, seed=7) > 0
    members[0, 1, 2], members[1, 1, 2] = True, False
    q = pool(Gaussian(mean, logvar), members)
    spoilt = torch.zeros(S, B, dtype=torch.bool)
    spoilt[:, 2] = members[:, 1, 2]
    assert torch.equal(q.mean.isnan().all(-1), spoilt)
    assert torch.equal(q.kl().isnan(), spoilt)


def assert_finite_with_gradients(pool: Pooling, mean: Tensor, logvar: Tensor) -> None:
    mean, logvar = mean.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = pool(Gaussian(mean, logvar), torch.ones(1, *mean.shape[:2], dtype=torch.bool))
    for output in (q.mean, q.logvar, q.variance, q.kl()):
        assert output.isfinite().all()
    (q.mean.sum() + q.logvar.sum() + q.kl().sum()).backward()
    for grad in (mean.grad, logvar.grad):
        assert grad is not None
        assert grad.isfinite().all()


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_variances_give_finite_values_and_gradients(pool: Pooling, dtype: torch.dtype) -> None:
    logvar = torch.cartesian_prod(*2 * [torch.tensor(LOGVARS, dtype=dtype)]).T.unsqueeze(-1)
    mean = torch.full_like(logvar, -1.5)
    mean[1] = 2.0
    assert_finite_with_gradients(pool, mean, logvar)
    assert_finite_with_gradients(pool, mean.transpose(1, 2), logvar.transpose(1, 2))


@EACH
@EXAMPLES
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=U, max_size=U))
def test_any_finite_log_variance_gives_finite_values_and_gradients(pool: Pooling, logvars: list[float]) -> None:
    logvar = torch.tensor(logvars).reshape(U, 1, 1)
    assert_finite_with_gradients(pool, torch.arange(U).to(logvar).view(U, 1, 1), logvar)


@pytest.mark.parametrize("pool", [product_of_experts, barycentre, hoelder])
@EXAMPLES
@given(members=bools(S, U, B), order=st.permutations(range(U)))
def test_the_order_of_experts_does_not_matter(pool: Pooling, members: Tensor, order: list[int]) -> None:
    mean, logvar = experts_of()
    q, permuted = pool(Gaussian(mean, logvar), members), pool(Gaussian(mean[order], logvar[order]), members[:, order])
    assert_close(permuted.mean, q.mean, rtol=1e-10, atol=1e-10)
    assert_close(permuted.logvar, q.logvar, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in POOLINGS if name != "product"])  # which grows more certain
@EXAMPLES
@given(members=bools(S, U, B))
def test_identical_experts_leave_a_mean_of_experts_as_it_is(name: str, members: Tensor) -> None:
    pool = POOLINGS[name]
    mean, logvar = (x[:1].expand(U, B, D) for x in experts_of())
    q = pool(Gaussian(mean, logvar), members)
    some = members.any(1)
    assert_close(q.mean[some], mean[:1].expand(S, B, D)[some], rtol=1e-10, atol=1e-12)
    assert_close(q.logvar[some], logvar[:1].expand(S, B, D)[some], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weight", [1e-6, 1e-12, 1e-30, 0.0])
def test_a_lone_member_of_small_weight_stays_as_it_is(weight: float) -> None:
    weights = torch.tensor([1.0, weight])
    experts = Gaussian(torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([[[0.0]], [[59.0]]]))
    members = torch.tensor([[False, True]]).view(1, 2, 1)
    for pool in (weighted_product, barycentre, hoelder):
        q = pool(experts, members, weights)
        assert number(q.mean) == pytest.approx(2.0)
        assert number(q.logvar) == pytest.approx(59.0)


@EXAMPLES
@given(members=bools(S, U, B), order=st.permutations(range(U)))
def test_weights_go_with_their_experts(members: Tensor, order: list[int]) -> None:
    mean, logvar = experts_of()
    for pool in (weighted_product, barycentre, hoelder):
        q = pool(Gaussian(mean, logvar), members, BY_UNIT)
        permuted = pool(Gaussian(mean[order], logvar[order]), members[:, order], BY_UNIT[order])
        assert_close(permuted.mean, q.mean, rtol=1e-10, atol=1e-10)
        assert_close(permuted.logvar, q.logvar, rtol=1e-10, atol=1e-10)


def test_weights_are_learned_from_the_members_alone() -> None:
    members = torch.ones(2, U, B, dtype=torch.bool)
    members[:, 3] = False
    for pool in (weighted_product, barycentre, hoelder):
        weights = BY_UNIT.clone().requires_grad_()
        q = pool(Gaussian(*experts_of()), members, weights)
        (q.mean.sum() + q.logvar.sum()).backward()
        assert weights.grad is not None
        assert weights.grad[:3].all()
        assert weights.grad[3] == 0


@EACH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(pool: Pooling, dtype: torch.dtype) -> None:
    mean, logvar = (x.to(dtype) for x in experts_of())
    members = torch.ones(S, U, B, dtype=torch.bool)
    q, raised = pool(Gaussian(mean, logvar), members), pool(Gaussian(mean.float(), logvar.float()), members)
    assert q.mean.dtype == q.logvar.dtype == torch.float32
    assert torch.equal(q.mean, raised.mean)
    assert torch.equal(q.logvar, raised.logvar)


@EACH
def test_autocast_does_not_lower_the_result(pool: Pooling) -> None:
    mean, logvar = (x.float() for x in experts_of())
    members = randn(S, U, B, seed=7) > 0
    plain = pool(Gaussian(mean, logvar), members)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = pool(Gaussian(mean, logvar), members)
    assert torch.equal(q.mean, plain.mean)
    assert torch.equal(q.logvar, plain.logvar)
    assert pool(Gaussian(mean.double(), logvar.double()), members).mean.dtype == torch.float64
