"""The continuous Bernoulli distribution against its formulas in sixty digits, near 1/2 and for large logits."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmtoolkit import ContinuousBernoulliLikelihood, Grid, Numbers
from toys import EXAMPLES

getcontext().prec = 60
LOGITS = (0.0, 1e-300, 1e-9, -3e-4, 0.02, -0.4999999, 0.5, 0.5000001, -1.7, 3.0, -12.0, 16.0, 40.0, -300.0, 1e4, -1e6)
VALUES = (0.0, 1e-9, 0.2, 0.5, 0.93, 1.0)


def log_norm(logit: Decimal) -> Decimal:
    """-log of the integral of exp(logit x) over [0, 1]."""
    return -((logit.exp() - 1) / logit).ln()


def mean(logit: Decimal) -> Decimal:
    return logit.exp() / (logit.exp() - 1) - 1 / logit


def variance(logit: Decimal) -> Decimal:
    return 1 / logit**2 - logit.exp() / (logit.exp() - 1) ** 2


def exact(formula: Callable[[Decimal], Decimal], logit: float) -> Decimal:
    return formula(Decimal(logit if abs(logit) > 1e-12 else 1e-12))  # at 0 the formulas are 0 / 0


def p_of(raw: Tensor) -> torch.distributions.Distribution:
    """At raw (N,), each with one number."""
    p: torch.distributions.Distribution = ContinuousBernoulliLikelihood().head(Numbers(1))(raw.reshape(-1, 1, 1))
    return p


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("logit", LOGITS)
def test_density_and_moments(logit: float, dtype: torch.dtype) -> None:
    p = p_of(torch.tensor([logit], dtype=dtype))
    logit = float(torch.tensor(logit, dtype=dtype))
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-6}[dtype]
    for x in VALUES:
        x = float(torch.tensor(x, dtype=dtype))
        true = float(Decimal(logit) * Decimal(x) + exact(log_norm, logit))
        assert float(p.log_prob(torch.tensor([[x]], dtype=dtype))) == pytest.approx(true, rel=tolerance, abs=tolerance)
    assert float(p.mean) == pytest.approx(float(exact(mean, logit)), rel=tolerance)
    assert float(p.variance) == pytest.approx(float(exact(variance, logit)), rel=20 * tolerance)


@EXAMPLES
@given(st.floats(-500, 500), st.floats(0, 1))
def test_every_logit_and_value(logit: float, x: float) -> None:
    p = p_of(torch.tensor([logit], dtype=torch.float64))
    true = float(Decimal(logit) * Decimal(x) + exact(log_norm, logit))
    assert float(p.log_prob(torch.tensor([[x]], dtype=torch.float64))) == pytest.approx(true, rel=1e-11, abs=1e-11)
    assert float(p.mean) == pytest.approx(float(exact(mean, logit)), rel=1e-11)


def test_the_gradient_is_value_less_mean() -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    p = p_of(logits)
    for x in VALUES:
        value = torch.full((len(LOGITS), 1), x, dtype=torch.float64)
        (slope,) = torch.autograd.grad(p.log_prob(value).sum(), logits, retain_graph=True)
        torch.testing.assert_close(slope, x - p.mean.squeeze(1).detach(), rtol=1e-9, atol=1e-12)


def test_draws_have_mean_and_variance() -> None:
    torch.manual_seed(0)
    p = p_of(torch.tensor([0.0, 0.3, -2.0, 9.0, -1e4], dtype=torch.float64))
    x = p.sample((40_000,))
    assert x.shape == (40_000, 5, 1)
    assert ((x >= 0) & (x <= 1)).all()
    error = x.std(0) / 200
    assert ((x.mean(0) - p.mean).abs() < 5 * error).all()
    torch.testing.assert_close(x.var(0), p.variance, rtol=0.05, atol=0)


def test_pixels_are_scored_one_by_one() -> None:
    p = ContinuousBernoulliLikelihood().head(Grid(3, 4, 5, support="unit"))(torch.randn(2, 1, 3, 4, 5))
    assert p.batch_shape == (2, 3, 4, 5)
    assert p.log_prob(torch.rand(7, 2, 3, 4, 5)).shape == (7, 2, 3, 4, 5)
