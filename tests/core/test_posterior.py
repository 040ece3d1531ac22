import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from mmtoolkit.core.posterior import Gaussian, Posterior, product_of_experts, product_with_prior
from toys import EXAMPLES, bools, randn

S, M, B, D = 3, 4, 3, 2
LOGVARS = [-1e30, -200.0, -88.0, -60.0, -1.0, 0.0, 1.0, 60.0, 88.0, 1e30]
GARBAGE = [math.nan, math.inf, -math.inf, 1e300]


def experts(seed=0, scale=3.0):
    return randn(M, B, D, seed=seed), scale * randn(M, B, D, seed=seed + 1)


def test_a_mean_and_a_log_variance_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"same shape; mean has \(3, 2\), logvar \(3, 1\)"):
        Gaussian(torch.zeros(3, 2), torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("shape", "present", "text"),
    [
        ((B, D), torch.ones(1, M, B) > 0, r"experts must be \(M, B, D\).*\(3, 2\); write experts\[None\]"),
        ((M, B, D), torch.ones(M, B) > 0, r"M = 4 experts and B = 3 rows; it is \(4, 3\) bool; write present\[None\]"),
        ((M, B, D), torch.ones(S, M, B), r"\(S, M, B\) bool.*it is \(3, 4, 3\) float32; .*present > 0"),
        ((M, B, D), torch.ones(S, B, M) > 0, r"it is \(3, 3, 4\) bool$"),
    ],
)
def test_experts_and_presence_of_other_shapes_are_refused(shape, present, text):
    with pytest.raises(ValueError, match=text):
        product_of_experts(Gaussian(torch.zeros(shape), torch.zeros(shape)), present)


def product_and_gradients(mean, logvar, present, products=None):
    """Values (S, B, D) of a product, and the gradients of a weighted sum over the chosen products (S, B)."""
    mean, logvar = mean.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = product_of_experts(Gaussian(mean, logvar), present)
    products = torch.ones(present.shape[0], B, dtype=torch.bool) if products is None else products
    weights = randn(2, *q.mean.shape, seed=5).to(q.mean)
    (weights[0] * q.mean + weights[1] * q.logvar)[products].sum().backward()
    return q.mean.detach(), q.logvar.detach(), mean.grad, logvar.grad


@EXAMPLES
@given(bools(S, M, B), st.integers(0, 1000))
def test_product_is_the_prior_once_times_each_present_expert(present, seed):
    mean, logvar = experts(seed)
    q = product_of_experts(Gaussian(mean, logvar), present)
    for s in range(S):
        for b in range(B):
            for d in range(D):
                precision, weighted = 1.0, 0.0
                for m in range(M):
                    if present[s, m, b]:
                        precision += math.exp(-logvar[m, b, d])
                        weighted += mean[m, b, d].item() * math.exp(-logvar[m, b, d])
                assert q.mean[s, b, d].item() == pytest.approx(weighted / precision, rel=1e-12, abs=1e-14)
                assert q.variance[s, b, d].item() == pytest.approx(1 / precision, rel=1e-12)


def test_density_of_the_product_is_proportional_to_the_product_of_densities():
    mean, logvar = experts(scale=1.0)
    q = product_of_experts(Gaussian(mean, logvar), torch.ones(1, M, B, dtype=torch.bool))
    z = randn(7, B, D, seed=9)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    each = Normal(mean, torch.exp(logvar / 2)).log_prob(z.unsqueeze(1)).sum(-1).sum(1)
    constant = q.log_prob(z) - prior - each
    torch.testing.assert_close(constant, constant[:1].expand_as(constant), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_product_of_nothing_is_exactly_the_prior(dtype):
    mean, logvar = (x.to(dtype) for x in experts())
    q = product_of_experts(Gaussian(mean, logvar), torch.zeros(S, M, B, dtype=torch.bool))
    assert q.mean.shape == q.logvar.shape == (S, B, D)
    assert not q.mean.any()
    assert not q.logvar.any()
    assert not q.kl().any()


@EXAMPLES
@given(bools(S, M, B), st.integers(0, 1000))
def test_without_the_prior_a_product_is_of_the_present_experts_alone(present, seed):
    mean, logvar = experts(seed)
    q = product_of_experts(Gaussian(mean, logvar), present, prior=False)
    for s in range(S):
        for b in range(B):
            if not present[s, :, b].any():  # nothing at all is the prior
                assert not q.mean[s, b].any()
                assert not q.logvar[s, b].any()
                continue
            precision = torch.exp(-logvar[present[s, :, b], b]).sum(0)
            weighted = (mean * torch.exp(-logvar))[present[s, :, b], b].sum(0)
            torch.testing.assert_close(q.mean[s, b], weighted / precision, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(q.variance[s, b], 1 / precision, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_without_the_prior_is_finite_with_finite_gradients(dtype):
    logvar = torch.tensor(LOGVARS, dtype=dtype).view(-1, 1, 1).requires_grad_()
    mean = torch.full_like(logvar, 3.0, requires_grad=True)
    present = torch.cat([torch.eye(len(LOGVARS)), torch.ones(1, len(LOGVARS))]).bool().unsqueeze(-1)
    q = product_of_experts(Gaussian(mean, logvar), present, prior=False)
    (q.mean.sum() + q.logvar.sum()).backward()
    for x in (q.mean, q.logvar, mean.grad, logvar.grad):
        assert x.isfinite().all()
    torch.testing.assert_close(q.mean, torch.full_like(q.mean, 3.0))


def test_without_the_prior_an_expert_that_is_not_finite_spoils_just_its_own_products():
    mean, logvar = (x.requires_grad_() for x in experts())
    broken = torch.tensor([[[math.nan]], *[[[0.0]]] * (M - 1)])
    present = torch.eye(M, dtype=torch.bool).unsqueeze(-1).expand(M, M, B)  # each expert alone
    q = product_of_experts(Gaussian(mean + broken, logvar), present, prior=False)
    assert q.mean.isnan().flatten(1).all(1).tolist() == [True, *[False] * (M - 1)]
    q.mean[1:].sum().backward()
    assert mean.grad[1:].isfinite().all()
    assert logvar.grad[1:].isfinite().all()


@pytest.mark.parametrize("garbage", GARBAGE)
@EXAMPLES
@given(present=bools(S, M, B))
def test_the_value_of_a_cell_absent_everywhere_changes_no_bit(garbage, present):
    mean, logvar = experts()
    absent = ~present.any(0).unsqueeze(-1)
    clean = product_and_gradients(mean, logvar, present)
    dirty = product_and_gradients(mean.masked_fill(absent, garbage), logvar.masked_fill(absent, -garbage), present)
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("place", ["mean", "logvar", "both", "one number"])
@EXAMPLES
@given(present=bools(S, M, B))
def test_products_that_an_expert_does_not_enter_ignore_it_bit_for_bit(garbage, place, present):
    mean, logvar = experts()
    dirty_mean, dirty_logvar = mean.clone(), logvar.clone()
    if place in ("mean", "both"):
        dirty_mean[0, 0] = garbage
    if place in ("logvar", "both"):
        dirty_logvar[0, 0] = garbage
    if place == "one number":
        dirty_mean[0, 0, 0] = garbage
    untouched = torch.ones(S, B, dtype=torch.bool)
    untouched[:, 0] = ~present[:, 0, 0]
    clean = product_and_gradients(mean, logvar, present, untouched)
    dirty = product_and_gradients(dirty_mean, dirty_logvar, present, untouched)
    for a, b in zip(clean[:2], dirty[:2], strict=True):
        assert torch.equal(a[untouched], b[untouched])
    for a, b in zip(clean[2:], dirty[2:], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["mean", "logvar"])
def test_a_present_expert_that_is_not_finite_spoils_just_its_own_products(garbage, place):
    mean, logvar = experts()
    {"mean": mean, "logvar": logvar}[place][1, 2, 0] = garbage
    present = randn(S, M, B, seed=7) > 0
    present[0, 1, 2], present[1, 1, 2] = True, False
    q = product_of_experts(Gaussian(mean, logvar), present)
    spoilt = torch.zeros(S, B, dtype=torch.bool)
    spoilt[:, 2] = present[:, 1, 2]
    assert torch.equal(q.mean.isnan().all(-1), spoilt)
    assert torch.equal(q.kl().isnan(), spoilt)
    assert torch.equal(q.rsample(torch.zeros(S, B, D)).isnan().all(-1), spoilt)


def assert_finite_with_gradients(make, mean, logvar):
    mean, logvar = mean.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = make(Gaussian(mean, logvar))
    noise = torch.ones_like(q.mean)
    outputs = [q.mean, q.logvar, q.variance, q.rsample(noise), q.kl(), q.log_prob(q.rsample(noise))]
    assert all(output.isfinite().all() for output in outputs)
    sum(output.sum() for output in outputs).backward()
    assert mean.grad.isfinite().all()
    assert logvar.grad.isfinite().all()


def product_of_all(experts):
    return product_of_experts(experts, torch.ones(1, *experts.mean.shape[:2], dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [product_of_all, product_with_prior])
def test_extreme_log_variances_give_finite_values_and_gradients(make, dtype):
    logvar = torch.cartesian_prod(*2 * [torch.tensor(LOGVARS, dtype=dtype)]).T.unsqueeze(1)
    assert_finite_with_gradients(make, torch.full_like(logvar, -1.5), logvar)


@pytest.mark.parametrize("make", [product_of_all, product_with_prior])
@EXAMPLES
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=M, max_size=M))
def test_any_finite_log_variance_gives_finite_values_and_gradients(make, logvars):
    logvar = torch.tensor(logvars).reshape(M, 1, 1)
    assert_finite_with_gradients(make, torch.ones_like(logvar), logvar)


@pytest.mark.parametrize("logvar", [-60.0, -70.0, -200.0, -1e30])
def test_a_certain_expert_decides_the_product_alone(logvar):
    mean = torch.tensor([2.0, -30.0]).reshape(2, 1, 1)
    q = product_of_all(Gaussian(mean, torch.tensor([logvar, 3.0]).reshape(2, 1, 1)))
    assert q.mean.item() == pytest.approx(2.0)
    assert q.variance.item() == pytest.approx(math.exp(-60.0))


def test_float64_resolves_log_variances_down_to_minus_500():
    mean, logvar = torch.ones(1, 1, 3, dtype=torch.float64), torch.tensor([[[-400.0, -500.0, -600.0]]])
    q = product_of_all(Gaussian(mean, logvar.double()))
    torch.testing.assert_close(q.logvar.flatten(), torch.tensor([-400.0, -500.0, -500.0]).double())


@EXAMPLES
@given(bools(S, M, B), st.permutations(range(M)))
def test_the_order_of_experts_does_not_matter(present, order):
    mean, logvar = experts(scale=10.0)
    q = product_of_experts(Gaussian(mean, logvar), present)
    permuted = product_of_experts(Gaussian(mean[order], logvar[order]), present[:, order])
    torch.testing.assert_close(permuted.mean, q.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(permuted.logvar, q.logvar, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_product_with_prior_is_the_product_of_one_expert(dtype):
    logvar = torch.tensor(LOGVARS, dtype=dtype).reshape(1, 1, -1)
    expert = Gaussian(randn(1, 1, len(LOGVARS)).to(dtype), logvar)
    alone, product = product_with_prior(expert), product_of_all(expert)
    torch.testing.assert_close(alone.mean, product.mean)
    torch.testing.assert_close(alone.logvar, product.logvar)


@pytest.mark.parametrize("place", ["mean", "logvar"])
def test_product_with_prior_of_an_expert_that_is_nan_is_nan(place):
    mean, logvar = randn(2, D), randn(2, D)
    {"mean": mean, "logvar": logvar}[place][1, 0] = math.nan
    assert product_with_prior(Gaussian(mean, logvar)).kl().isnan().tolist() == [False, True]


@pytest.mark.parametrize("make", [product_of_all, product_with_prior])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(make, dtype):
    mean, logvar = (x.to(dtype) for x in experts())
    q, raised = make(Gaussian(mean, logvar)), make(Gaussian(mean.float(), logvar.float()))
    assert q.mean.dtype == q.logvar.dtype == torch.float32
    assert torch.equal(q.mean, raised.mean)
    assert torch.equal(q.logvar, raised.logvar)


@pytest.mark.parametrize("make", [product_of_all, product_with_prior])
def test_float64_stays_float64(make):
    q = make(Gaussian(*experts()))
    assert q.mean.dtype == q.logvar.dtype == torch.float64


@pytest.mark.parametrize("make", [product_of_all, product_with_prior])
def test_autocast_does_not_lower_the_product(make):
    mean, logvar = (x.float() for x in experts())
    plain = make(Gaussian(mean, logvar))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = make(Gaussian(mean, logvar))
    assert torch.equal(q.mean, plain.mean)
    assert torch.equal(q.logvar, plain.logvar)


def test_gaussian_agrees_with_torch_distributions():
    mean, logvar = randn(B, D), randn(B, D, seed=1)
    q, normal = Gaussian(mean, logvar), Normal(mean, torch.exp(logvar / 2))
    z = randn(5, B, D, seed=2)
    torch.testing.assert_close(q.log_prob(z), normal.log_prob(z).sum(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.kl(), kl_divergence(normal, Normal(0.0, 1.0)).sum(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.variance, normal.variance, rtol=1e-12, atol=0)


def test_rsample_is_differentiable_standard_noise_moved_and_scaled():
    mean, logvar = randn(B, D).requires_grad_(), randn(B, D, seed=1).requires_grad_()
    noise = randn(5, B, D, seed=2)
    z = Gaussian(mean, logvar).rsample(noise)
    torch.testing.assert_close(z, mean + logvar.exp().sqrt() * noise, rtol=1e-12, atol=1e-12)
    z.sum().backward()
    torch.testing.assert_close(mean.grad, torch.full_like(mean, 5.0))
    torch.testing.assert_close(logvar.grad, (0.5 * logvar.exp().sqrt() * noise).sum(0).detach())


def test_gaussian_is_a_posterior_and_a_torch_distribution_is_not():
    assert isinstance(Gaussian(torch.zeros(1, 1), torch.zeros(1, 1)), Posterior)
    assert not isinstance(Normal(0.0, 1.0), Posterior)


def test_a_divergence_to_a_very_certain_gaussian_is_finite():
    logvar = torch.full((2, 3), -95.0, requires_grad=True)
    kl = Gaussian(torch.zeros(2, 3), torch.zeros(2, 3)).kl_to(Gaussian(torch.zeros(2, 3), logvar))
    kl.sum().backward()
    assert kl.isfinite().all()
    assert logvar.grad.isfinite().all()
