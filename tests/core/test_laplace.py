"""The Laplace posterior against torch.distributions, exact quantiles and integrals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from mmtoolkit.core.laplace import Laplace, softmax_scale
from mmtoolkit.core.posterior import Gaussian, Posterior
from toys import EXAMPLES, randn

B, D = 4, 3


def laplace(*shape: int) -> Laplace:
    shape = shape or (B, D)
    return Laplace(2 * randn(*shape, seed=1), randn(*shape, seed=2))


def test_it_is_a_posterior() -> None:
    assert isinstance(laplace(), Posterior)


def test_density_and_variance_are_those_of_torch() -> None:
    q = laplace()
    truth = torch.distributions.Laplace(q.mean, q.logscale.exp())
    z = 4 * randn(7, B, D, seed=3)
    assert_close(q.log_prob(z), truth.log_prob(z).sum(-1), rtol=1e-12, atol=1e-12)
    assert_close(q.variance, truth.variance, rtol=1e-12, atol=0)
    assert torch.equal(q.point, q.mean)


def exact_depth(noise: float) -> float:
    """-log P(|x| > |noise|) of a standard normal x, by the C library's erfc, or its continued fraction far out."""
    x = abs(noise)
    if x < 25:
        return -math.log(math.erfc(x / math.sqrt(2)))
    fraction = 0.0
    for k in range(200, 0, -1):
        fraction = k / (x + fraction)
    return x * x / 2 + math.log(x + fraction) + 0.5 * math.log(math.pi / 2)


@EXAMPLES
@given(st.floats(-1000, 1000, width=32), st.floats(-5, 5, width=32))
def test_draws_are_quantiles_in_both_tails(noise: float, logscale: float) -> None:
    expected = math.copysign(exact_depth(noise), noise) * math.exp(logscale)
    for dtype, tolerance in ((torch.float32, 2e-6), (torch.float64, 1e-12)):
        q = Laplace(torch.zeros(1, dtype=dtype), torch.tensor([logscale], dtype=dtype))
        z = q.rsample(torch.tensor([noise], dtype=dtype))
        assert z.dtype == dtype
        # Around the mean, the error is small relative to the scale.
        assert z.item() == pytest.approx(expected, rel=tolerance, abs=tolerance * math.exp(logscale))


def test_the_divergence_is_the_integral() -> None:
    q = laplace(B, 1)
    z = torch.linspace(-90, 90, 400_001, dtype=torch.float64).view(-1, 1, 1).expand(-1, B, 1)
    log_q, prior = q.log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    integral = torch.trapezoid(log_q.exp() * (log_q - prior), z[:, 0, 0], dim=0)
    assert_close(q.kl(), integral, rtol=1e-6, atol=1e-6)
    together = Laplace(q.mean.view(1, B), q.logscale.view(1, B))
    assert_close(together.kl(), integral.sum(0, keepdim=True), rtol=1e-6, atol=1e-6)
    assert torch.equal(q.kl(randn(B, 1)), q.kl())


def test_draws_are_differentiable() -> None:
    mean, logscale = randn(B, D).requires_grad_(), randn(B, D, seed=1).requires_grad_()
    noise = randn(5, B, D, seed=2)
    z = Laplace(mean, logscale).rsample(noise)
    z.sum().backward()
    assert_close(mean.grad, torch.full_like(mean, 5.0))
    assert_close(logscale.grad, (z - mean).sum(0).detach())
    q = Laplace(mean, logscale).detached()
    assert not q.rsample(noise).requires_grad
    assert not q.kl().requires_grad


def test_at_its_mean_gradients_are_finite() -> None:
    mean = torch.zeros(2, 1, requires_grad=True)
    q = Laplace(mean, mean)
    (q.log_prob(torch.zeros(2, 1)) + q.rsample(torch.zeros(2, 1)).sum(-1)).sum().backward()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(dtype: torch.dtype) -> None:
    q = Laplace(randn(B, D).to(dtype), randn(B, D, seed=1).to(dtype))
    raised = Laplace(q.mean.to(dtype).float(), q.logscale.to(dtype).float())
    noise = randn(B, D, seed=2).to(dtype)
    assert q.mean.dtype == q.rsample(noise).dtype == torch.float32
    assert torch.equal(q.rsample(noise), raised.rsample(noise.float()))
    assert softmax_scale(noise).dtype == torch.float32


@pytest.mark.parametrize("family", [Gaussian, Laplace])
def test_rows_are_selected_and_joined(family: type[Gaussian] | type[Laplace]) -> None:
    first, second = randn(3, B, D, seed=1).requires_grad_(), randn(3, B, D, seed=2).requires_grad_()
    q = family(first, second)
    places = torch.tensor([[5, 0], [11, 5]])
    assert_close(q.take(places).mean, first.flatten(0, 1)[places])
    assert_close(q.take(places).kl(), q.kl().flatten()[places])
    few = family(first[0], second[0])
    assert_close(few.take(torch.tensor([3, 1, 1])).variance, few.variance[[3, 1, 1]])
    assert torch.equal(q[1].kl(), q.kl()[1])
    assert torch.equal(q[1:].kl(), q.kl()[1:])
    both: Gaussian | Laplace = family.joined([q[:1], q[1:]])  # type: ignore[list-item]
    assert torch.equal(both.variance, q.variance)
    q.take(places).kl().sum().backward()
    assert first.grad is not None
    assert_close(first.grad.flatten(0, 1)[5], 2 * first.detach().flatten(0, 1)[5])  # chosen twice


@pytest.mark.parametrize("family", [Gaussian, Laplace])
def test_what_is_masked_reaches_neither_values_nor_gradients(family: type[Gaussian] | type[Laplace]) -> None:
    members = torch.tensor([True, False, True, False])
    mean, scale = randn(B, D, seed=1), randn(B, D, seed=2)
    mean[1], scale[3] = math.nan, math.inf
    mean.requires_grad_()
    scale.requires_grad_()
    q = family(mean, scale).where(members)
    plain = family(torch.zeros(D).double(), torch.zeros(D).double())
    assert_close(q.kl()[~members], plain.kl().expand(2))
    assert torch.equal(q.kl()[members], family(mean, scale).kl()[members])
    q.kl().sum().backward()
    for grad in (mean.grad, scale.grad):
        assert grad is not None
        assert grad.isfinite().all()
        assert not grad[~members].any()


def test_softmax_scales_have_mean_one() -> None:
    raw = 5 * randn(B, D)
    scale = softmax_scale(raw)
    expected: Tensor = torch.stack([3 * row.exp() / row.exp().sum() for row in raw]) + 1e-6
    assert_close(scale, expected, rtol=1e-12, atol=0)
    extreme = softmax_scale(torch.tensor([[-1e30, 0.0, 1e30]]))
    assert_close(extreme, torch.tensor([[1e-6, 1e-6, 3.0]]))
