"""Poisson and negative binomial likelihoods, in float64 against formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mmtoolkit import Grid, NegativeBinomialLikelihood, Numbers, PoissonLikelihood
from mmtoolkit.testing import check_likelihood

POISSON, NEGATIVE_BINOMIAL = PoissonLikelihood(), NegativeBinomialLikelihood()
FORM = Numbers(1, support="whole", shift=(math.log1p(7.0),), scale=(0.4,))
DISPERSION = math.log(2) + 1e-6


def at(likelihood: Any, raw: float, form: Numbers = FORM) -> Any:
    with torch.no_grad():
        return likelihood.head(form)(torch.tensor([[[raw]]], dtype=torch.float64))


def mean_at(raw: float, typical: float = 7.0, scale: float = 0.4) -> float:
    slope = min(scale * (1 + typical) / typical, 2.0)
    return math.exp(min(max(math.log(typical) + slope * raw, math.log(1e-6)), math.log(2**53)))


@pytest.mark.parametrize("raw", [-40.0, -1.0, 0.0, 0.7, 5.0, 1e6])
def test_densities(raw: float) -> None:
    mean, r = mean_at(raw), 1 / DISPERSION
    for x in (0, 1, 7, 1000, 10**9):
        value = torch.tensor([[float(x)]], dtype=torch.float64)
        poisson = x * math.log(mean) - mean - math.lgamma(x + 1)
        assert float(at(POISSON, raw).log_prob(value)) == pytest.approx(poisson, rel=1e-12, abs=1e-9)
        binomial = math.lgamma(x + r) - math.lgamma(r) - math.lgamma(x + 1)
        expected = binomial + r * math.log(r / (r + mean)) + x * (math.log(mean) - math.log(r + mean))
        assert float(at(NEGATIVE_BINOMIAL, raw).log_prob(value)) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_a_negative_binomial_sums_to_one_and_has_the_variance_that_is_promised() -> None:
    p, x = at(NEGATIVE_BINOMIAL, 0.3), torch.arange(3000, dtype=torch.float64)
    weights = p.log_prob(x[:, None, None]).exp().flatten()
    mean = mean_at(0.3)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-9)
    assert float((weights * x).sum()) == pytest.approx(mean, rel=1e-9)
    assert float((weights * (x - mean) ** 2).sum()) == pytest.approx(mean + DISPERSION * mean**2, rel=1e-9)


@pytest.mark.parametrize("typical", [0.02, 1.0, 500.0])
def test_a_step_of_the_output_is_one_of_what_networks_read(typical: float) -> None:
    form = Numbers(1, support="whole", shift=(math.log1p(typical),), scale=(0.3,))
    means = [float(at(POISSON, raw, form).mean) for raw in (-1e-6, 0.0, 1e-6)]
    assert means[1] == pytest.approx(typical, rel=1e-9)
    slope = (math.log1p(means[2]) - math.log1p(means[0])) / 2e-6
    assert slope == pytest.approx(min(0.3, 2 * typical / (1 + typical)), rel=1e-5)


def test_without_a_shift_the_output_is_the_logarithm_of_the_mean() -> None:
    form, raw = Grid(2, 3, 3, support="whole"), torch.randn(4, 1, 2, 3, 3, dtype=torch.float64)
    for likelihood in (POISSON, NEGATIVE_BINOMIAL):
        p = likelihood.head(form)(raw)
        torch.testing.assert_close(p.mean, raw[:, 0].exp())
        assert p.log_prob(torch.ones(4, 2, 3, 3)).shape == (4, 2, 3, 3)


def test_they_score_whole_numbers_alone() -> None:
    assert "whole numbers" in str(POISSON.misfit(Numbers(3)))
    torch.testing.assert_close(POISSON.read(torch.tensor([0.0, 3.0])), torch.tensor([0.0, math.log(4.0)]))


@pytest.mark.parametrize("likelihood", [POISSON, NEGATIVE_BINOMIAL], ids=lambda likelihood: likelihood.kind)
def test_they_keep_their_promises(likelihood: Any) -> None:
    check_likelihood(likelihood)
