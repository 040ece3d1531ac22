"""Mixtures and their strata against explicit formulas, quadrature and long averages in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Distribution, Normal
from torch.testing import assert_close

from mmtoolkit.core.laplace import Laplace
from mmtoolkit.core.mixtures import Mixture, Stratum, choose
from mmtoolkit.core.posterior import Gaussian, Posterior
from toys import EXAMPLES, bools, randn

S, B, D = 3, 4, 2
VALID = torch.tensor([[True, False, True, True], [False, True, True, True], [False, True, True, False]])
FAMILIES = pytest.mark.parametrize("family", [Gaussian, Laplace])
Family = type[Gaussian] | type[Laplace]


def shares_of(seed: int = 3) -> Tensor:
    """Rows of 1, 2, 3 and 2 parts with unequal shares."""
    return torch.where(VALID, randn(S, B, seed=seed), -torch.inf).softmax(0)


def mixture(d: int = D, family: Family = Gaussian) -> Mixture:
    return Mixture(family(2 * randn(S, B, d, seed=1), 0.7 * randn(S, B, d, seed=2)), shares_of())


def parts_of(q: Mixture, row: int) -> list[tuple[float, Distribution]]:
    """The share and the distribution of each part that a row has."""
    actual: list[tuple[float, Distribution]] = []
    for s in range(S):
        if VALID[s, row]:
            part = q.parts
            if isinstance(part, Gaussian):
                p: Distribution = Normal(part.mean[s, row], (part.logvar[s, row] / 2).exp())
            else:
                assert isinstance(part, Laplace)
                p = torch.distributions.Laplace(part.mean[s, row], part.logscale[s, row].exp())
            actual.append((float(q.shares[s, row]), p))
    return actual


def grid(n: int, rows: int = 1) -> Tensor:
    """Noise (n, rows, 1) in equal steps of probability: a mean over it is an integral."""
    steps = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    points: Tensor = torch.special.ndtri(steps)
    return points.view(n, 1, 1).expand(n, rows, 1)


def line() -> Tensor:
    return torch.linspace(-60, 60, 120_001, dtype=torch.float64).view(-1, 1, 1).expand(-1, B, 1)


@FAMILIES
def test_a_mixture_is_a_posterior(family: Family) -> None:
    assert isinstance(mixture(family=family), Posterior)
    assert isinstance(mixture(family=family).strata(), Posterior)


@FAMILIES
@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
@pytest.mark.parametrize("at_once", [1, 50, 2**20])
def test_the_density_is_the_weighted_sum_of_densities(
    leading: tuple[int, ...], at_once: int, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmtoolkit.core.mixtures._NUMBERS_AT_ONCE", at_once)
    q = mixture(family=family)
    z = 3 * randn(*leading, B, D, seed=3)
    actual = q.log_prob(z)
    assert actual.shape == (*leading, B)
    for row in range(B):
        densities = [share * p.log_prob(z[..., row, :]).sum(-1).exp() for share, p in parts_of(q, row)]
        assert_close(actual[..., row], torch.stack(densities).sum(0).log(), rtol=1e-12, atol=1e-12)


def test_equal_shares_are_those_of_the_valid_parts() -> None:
    q = Mixture.equal(mixture().parts, VALID)
    for row in range(B):
        for s in range(S):
            assert q.shares[s, row].item() == pytest.approx(VALID[s, row].item() / VALID[:, row].sum().item())
    assert torch.equal(q.counts, VALID)


@FAMILIES
@pytest.mark.parametrize("garbage", [9.0, 1e300, -1e300, math.nan, math.inf])
def test_parts_that_do_not_count_leave_no_trace(garbage: float, family: Family) -> None:
    noise, z = randn(5, B, D, seed=4), randn(5, B, D, seed=3)
    actual = []
    for value in (0.0, garbage):
        mean, scale = (torch.where(VALID.unsqueeze(-1), randn(S, B, D, seed=s), value) for s in (1, 2))
        mean.requires_grad_()
        scale.requires_grad_()
        q = Mixture(family(mean, scale), shares_of())
        kept = VALID.flatten().nonzero().squeeze(1)
        strata = q.strata(kept)
        values = [q.mean, q.variance, q.point, q.log_prob(z), q.rsample(noise), q.kl(noise)]
        values += [strata.kl(noise[:, kept % B]), strata.log_prob(z[:, kept % B]), q.take(torch.tensor([2, 0])).mean]
        torch.stack([x.sum() for x in values]).sum().backward()
        actual.append([*values, mean.grad, scale.grad])
    for a, b in zip(*actual, strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
        assert b.isfinite().all()


@FAMILIES
def test_mean_and_variance_are_the_integrals(family: Family) -> None:
    q = mixture(1, family)
    z = line()
    density = q.log_prob(z).exp() * 0.001
    mean = (density * z[..., 0]).sum(0)
    assert_close(density.sum(0), torch.ones(B).double(), rtol=1e-6, atol=0)
    assert_close(q.mean[:, 0], mean, rtol=1e-6, atol=1e-6)
    assert_close(q.variance[:, 0], (density * (z[..., 0] - mean).square()).sum(0), rtol=1e-5, atol=0)


def test_the_point_is_the_mean_of_a_part_where_the_density_is_highest() -> None:
    for q in (mixture(), Mixture.equal(mixture().parts, VALID)):
        for row in range(B):
            alone = q.take(torch.tensor([row]))
            means = [q.parts.mean[s, row] for s in range(S) if q.shares[s, row] > 0]
            densities = [float(alone.log_prob(mean.unsqueeze(0))) for mean in means]
            assert torch.equal(q.point[row], means[densities.index(max(densities))])


@FAMILIES
def test_draws_are_distributed_as_the_density_says(family: Family) -> None:
    n = 60_000
    q = mixture(1, family)
    z = q.rsample(grid(n, B))[..., 0].sort(0).values  # (n, B)
    for row in range(B):
        cdf = torch.stack([share * part.cdf(z[:, row, None])[:, 0] for share, part in parts_of(q, row)]).sum(0)
        steps = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        assert (cdf - steps).abs().max() < 4 / n  # with draws at random it would be some 1/√n


def test_the_part_is_independent_of_the_noise_that_draws_from_it() -> None:
    shares = torch.tensor([[0.25], [0.0], [0.5], [0.25]])
    n = 60_000
    part, noise = choose(shares, torch.cat([grid(n), randn(n, 1, 1)], dim=-1))
    for s, share in enumerate(shares[:, 0].tolist()):
        own = noise[part[:, 0] == s, 0, 0]
        assert len(own) == n * share
        if share:
            assert_close(own, grid(len(own))[:, 0, 0], rtol=0, atol=1e-6)


@EXAMPLES
@given(bools(S, B), st.floats(-45, 45, width=32), st.integers(0, 1000))
def test_a_part_without_share_is_never_chosen(valid: Tensor, value: float, seed: int) -> None:
    valid = valid | ~valid.any(0)
    shares = torch.where(valid, 9 * randn(S, B, seed=seed), -torch.inf).softmax(0).float()
    part, noise = choose(shares, torch.full((2, B, D), value))
    assert shares.gather(0, part).min() > 0
    assert noise.isfinite().all()


def test_a_draw_is_a_function_of_its_own_noise_alone() -> None:
    q, noise = mixture(), randn(2, 3, B, D, seed=5)
    z = q.rsample(noise)
    assert torch.equal(q.rsample(noise[1, 2]), z[1, 2])
    for row in range(B):
        alone = q.take(torch.tensor([row]))
        assert torch.equal(alone.rsample(noise[:, :, row : row + 1]), z[:, :, row : row + 1])


@pytest.mark.parametrize("value", [0.0, 40.0, -40.0, 9.0])
def test_draws_are_finite_whatever_the_noise(value: float) -> None:
    for dtype in (torch.float32, torch.float64):
        q = Mixture(Gaussian(randn(S, B, D).to(dtype), randn(S, B, D).to(dtype)), shares_of().to(dtype))
        z = q.rsample(torch.full((B, D), value, dtype=dtype))
        assert z.dtype == dtype
        assert z.isfinite().all()


@pytest.mark.slow
@FAMILIES
def test_the_kl_divergence_is_the_integral(family: Family) -> None:
    q = mixture(1, family)
    z = line()
    log_q = q.log_prob(z)
    integral = (log_q.exp() * (log_q - Normal(0.0, 1.0).log_prob(z).sum(-1))).sum(0) * 0.001
    assert_close(q.kl(grid(20_000, B)), integral, rtol=0, atol=1e-3)
    torch.manual_seed(0)
    drawn = torch.stack([q.kl() for _ in range(2000)])  # of draws of its own
    error = drawn.std(0) / 2000**0.5
    assert ((drawn.mean(0) - integral).abs() < 4 * error + 2e-6).all()
    assert (error[1:] > 0).all()
    assert error[0] < 1e-12  # one part: nothing is estimated


def test_gradients_through_draws_are_those_of_the_expectation() -> None:
    mean, logvar = (2 * randn(S, B, 1, seed=1)).requires_grad_(), randn(S, B, 1, seed=2).requires_grad_()
    q = Mixture(Gaussian(mean, logvar), shares_of())
    drawn = torch.autograd.grad(q.rsample(grid(60_000, B)).sin().mean(0).sum(), [mean, logvar])
    # E sin(z) = exp(-variance / 2) sin(mean) for a Gaussian z.
    exact = (q.shares.unsqueeze(-1) * torch.exp(-logvar.exp() / 2) * mean.sin()).sum()
    for actual, expected in zip(drawn, torch.autograd.grad(exact, [mean, logvar]), strict=True):
        assert_close(actual, expected, rtol=0, atol=1e-3)


@FAMILIES
def test_gradients_of_the_divergence_are_those_of_the_integral_in_parts_and_shares(family: Family) -> None:
    mean, scale = (2 * randn(S, B, 1, seed=1)).requires_grad_(), (0.7 * randn(S, B, 1, seed=2)).requires_grad_()
    logits = randn(S, B, seed=3).requires_grad_()
    inputs = [mean, scale, logits]

    def of_now() -> Mixture:
        return Mixture(family(mean, scale), torch.where(VALID, logits, -torch.inf).softmax(0))

    q, z = of_now(), line()
    log_q = q.log_prob(z)
    integral = (log_q.exp() * (log_q - Normal(0.0, 1.0).log_prob(z).sum(-1))).sum(0) * 0.001
    expected = torch.autograd.grad(integral.sum(), inputs)
    by_strata = (of_now().strata().kl(grid(60_000, S * B)) * strata_shares(of_now())).sum()
    for estimate in (of_now().kl(grid(60_000, B)).sum(), by_strata):
        for actual, truth in zip(torch.autograd.grad(estimate, inputs), expected, strict=True):
            assert_close(actual, truth, rtol=6e-3, atol=6e-3)


def strata_shares(q: Mixture) -> Tensor:
    return q.shares.flatten()


@FAMILIES
def test_strata_weighted_by_their_shares_are_the_mixture(family: Family) -> None:
    q = mixture(1, family)
    strata, noise = q.strata(), grid(20_000, S * B)
    assert_close(strata.log_prob(strata.mean), q.log_prob(q.parts.mean).flatten(), rtol=1e-12, atol=0)
    for f in (torch.sin, torch.tanh, torch.square):
        weighted = (f(strata.rsample(noise))[..., 0].mean(0) * strata_shares(q)).view(S, B).sum(0)
        z = line()
        integral = (q.log_prob(z).exp() * f(z[..., 0])).sum(0) * 0.001
        assert_close(weighted, integral, rtol=2e-3, atol=1e-4)
    divergence = (strata.kl(noise) * strata_shares(q)).view(S, B).sum(0)
    assert_close(divergence, q.kl(grid(60_000, B)), rtol=0, atol=2e-3)
    assert strata.kl().shape == (S * B,)


@FAMILIES
def test_a_stratum_is_the_part_with_the_density_of_the_whole(family: Family) -> None:
    q, places = mixture(family=family), torch.tensor([11 - 1, 2, 6, 2])  # (part, row): (2, 2), (0, 2), (1, 2), (0, 2)
    strata = q.strata(places)
    noise, z = randn(3, 4, D, seed=7), randn(3, 4, D, seed=8)
    for n, place in enumerate(places.tolist()):
        s, row = divmod(place, B)
        share_free = q.parts[s].take(torch.tensor([row]))
        assert torch.equal(strata.rsample(noise)[:, n], share_free.rsample(noise[:, n : n + 1])[:, 0])
        assert torch.equal(strata.mean[n], q.parts.mean[s, row])
        assert torch.equal(strata.variance[n], q.parts.variance[s, row])
        assert torch.equal(strata.point[n], q.parts.point[s, row])
        expected = q.log_prob(z[:, n : n + 1].expand(-1, B, -1))[:, row]
        assert_close(strata.log_prob(z)[:, n], expected, rtol=1e-13, atol=0)
    assert isinstance(strata, Stratum)


def test_detached_parts_and_shares_get_no_gradient() -> None:
    mean, shares = randn(S, B, D).requires_grad_(), shares_of().requires_grad_()
    q, noise = Mixture(Gaussian(mean, mean), shares), randn(S * B, D, seed=1)
    for part in (q.detached(), q.strata().detached()):
        rows = len(part.mean)
        assert not part.kl(noise[:rows]).requires_grad
        assert not part.log_prob(noise[:rows]).requires_grad
        assert not part.rsample(noise[:rows]).requires_grad
    assert q.kl(noise[:B]).requires_grad


@FAMILIES
def test_one_part_is_that_part_and_the_noise_is_unchanged(family: Family) -> None:
    part = family(randn(1, B, D, seed=1), randn(1, B, D, seed=2))
    alone, noise, z = part[0], randn(3, B, D, seed=3), randn(3, B, D, seed=4)
    q = Mixture.equal(part, torch.ones(1, B, dtype=torch.bool))
    assert torch.equal(q.rsample(noise), alone.rsample(noise))
    assert_close(q.log_prob(z), alone.log_prob(z), rtol=1e-14, atol=0)
    assert_close(q.kl(noise), alone.kl(), rtol=1e-14, atol=0)
    assert_close(q.mean, alone.mean, rtol=0, atol=0)
    assert_close(q.variance, alone.variance, rtol=1e-14, atol=0)


def test_a_thousand_parts() -> None:
    parts = Gaussian(randn(1023, B, D, seed=1), randn(1023, B, D, seed=2))
    q = Mixture.equal(parts, torch.ones(1023, B, dtype=torch.bool))
    z = randn(2, B, D, seed=3)
    each = torch.stack([parts[s].log_prob(z) for s in range(1023)])
    assert_close(q.log_prob(z), each.logsumexp(0) - math.log(1023), rtol=1e-12, atol=0)
    part, _ = choose(q.shares, grid(102_300, B).expand(-1, -1, D))
    assert (part[:, 0].bincount(minlength=1023) - 100).abs().max() <= 1  # a draw may stand on the border of two


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(dtype: torch.dtype) -> None:
    q = Mixture(Gaussian(randn(S, B, D).to(dtype), randn(S, B, D, seed=1).to(dtype)), shares_of().to(dtype))
    assert q.shares.dtype == q.mean.dtype == q.log_prob(randn(B, D).to(dtype)).dtype == torch.float32
    z = randn(B, D).float()
    plain = [q.mean, q.variance, q.log_prob(z), q.kl(z)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = [q.mean, q.variance, q.log_prob(z), q.kl(z)]
    for a, b in zip(within, plain, strict=True):
        assert torch.equal(a, b)


@FAMILIES
@pytest.mark.parametrize("complete", [True, False])
def test_origins_say_which_part_a_draw_may_come_from(complete: bool, family: Family) -> None:
    q = mixture(family=family)
    places = torch.arange(S * B)[q.counts.flatten()]
    strata = q.strata(None if complete else places)
    pairs = S * B if complete else len(places)
    z = randn(2, pairs, D, seed=8)
    log_odds, siblings = strata.origins(z)
    assert log_odds.shape == (2, S, pairs)
    assert_close(log_odds.exp().sum(1), torch.ones(2, pairs).double(), rtol=1e-12, atol=0)
    for n in range(pairs):
        row = (n if complete else int(places[n])) % B
        for s in range(S):
            if not q.counts[s, row]:
                assert (log_odds[:, s, n] == -math.inf).all()
                continue
            part = q.parts[s].take(torch.tensor([row]))
            joint = part.log_prob(z[:, n : n + 1])[:, 0] + q.shares[s, row].log()
            assert_close(log_odds[:, s, n], joint - strata.log_prob(z)[:, n], rtol=1e-10, atol=1e-10)
            other = int(siblings[s, n])
            assert (other if complete else int(places[other])) == s * B + row
