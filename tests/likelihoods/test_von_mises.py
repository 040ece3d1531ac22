"""The von Mises likelihood, in float64 against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from mmtoolkit import Numbers, VonMisesLikelihood
from mmtoolkit.testing import check_likelihood

HOURS = Numbers(1, support="cyclic", shift=(0.0,), scale=(24 / (2 * math.pi),))
RAWS = [(0.0, 0.0), (1.0, 0.0), (-0.3, 0.4), (0.0, -3.0), (20.0, 7.0)]


def bessel(order: int, kappa: float) -> float:
    """I of an order, by the mean of its integral over even steps."""
    steps = 20_000
    angles = [2 * math.pi * k / steps for k in range(steps)]
    return sum(math.exp(kappa * math.cos(a)) * math.cos(order * a) for a in angles) / steps


@pytest.mark.parametrize("raw", RAWS)
def test_density_mean_and_variance(raw: tuple[float, float]) -> None:
    p = VonMisesLikelihood().head(HOURS)(torch.tensor(raw, dtype=torch.float64).reshape(1, 2, 1))
    length, direction = math.hypot(*raw), math.atan2(raw[1], raw[0])
    kappa = length + length**2
    for hour in (0.0, 5.5, 12.0, 23.99):
        expected = kappa * math.cos(2 * math.pi * hour / 24 - direction) - math.log(24 * bessel(0, kappa))
        found = p.log_prob(torch.tensor([[hour]], dtype=torch.float64))
        assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    hours = (torch.arange(24_000, dtype=torch.float64) + 0.5) / 1000
    assert float(p.log_prob(hours[:, None, None]).exp().sum()) / 1000 == pytest.approx(1, abs=1e-9)
    if length:
        assert float(p.mean) == pytest.approx((direction / (2 * math.pi) * 24) % 24)
        resultant = bessel(1, kappa) / bessel(0, kappa)
        assert float(p.variance) == pytest.approx(-2 * math.log(resultant) * (24 / (2 * math.pi)) ** 2, rel=1e-8)


def test_midnight_is_one_time() -> None:
    p = VonMisesLikelihood().head(HOURS)(torch.tensor([[[3.0], [0.0]]], dtype=torch.float64))
    near, over, noon = (float(p.log_prob(torch.tensor([[hour]], dtype=torch.float64))) for hour in (0.01, 23.99, 12.0))
    assert near == pytest.approx(over, abs=1e-9)
    assert noon < near - 10
    draws = p.sample(torch.Size([2000]))
    assert ((draws >= 0) & (draws < 24)).all()
    assert 0.4 < float((draws < 12).double().mean()) < 0.6


def test_outside_of_the_cycle_is_nothing() -> None:
    p = VonMisesLikelihood().head(HOURS)(torch.zeros(1, 2, 1))
    assert p.log_prob(torch.tensor([[-0.1]])).item() == -math.inf
    assert p.log_prob(torch.tensor([[24.1]])).item() == -math.inf


def test_it_keeps_its_promises() -> None:
    assert "numbers of a cycle" in str(VonMisesLikelihood().misfit(Numbers(1)))
    check_likelihood(VonMisesLikelihood())
