"""Products of experts, and KL divergences between posteriors, against explicit formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mmtoolkit.core.divergence import kl_between
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.prior import OrPrior, StandardNormal
from mmtoolkit.core.products import ExpertProduct
from toys import randn

U, B, D = 3, 4, 2
THERE = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]]) > 0


def no_noise() -> torch.Tensor:
    raise AssertionError("a closed form needs no noise")


@pytest.mark.parametrize(("prior", "weighted"), [(True, False), (False, False), (False, True)])
def test_shares_and_leaving_out_by_hand(prior: bool, weighted: bool) -> None:
    mean, logvar = randn(U, B, D), randn(U, B, D, seed=1)
    mean[~THERE] = torch.nan  # whatever stands there
    weights = randn(U, D, seed=2).exp() if weighted else None
    product = ExpertProduct(Gaussian(mean, logvar), THERE, prior, weights)
    shares = product.shares()
    for b in range(B):
        for left_out in (None, *range(U)):
            q = product.joint if left_out is None else product.without(left_out)
            units = [u for u in range(U) if THERE[u, b] and u != left_out]
            for d in range(D):
                a = [1.0 if weights is None else float(weights[u, d]) for u in units]
                a = a if weights is None else [x / sum(a) for x in a]
                precisions = [x * math.exp(-float(logvar[u, b, d])) for x, u in zip(a, units, strict=True)]
                total = sum(precisions) + (prior or not units)
                expected = sum(p * float(mean[u, b, d]) for p, u in zip(precisions, units, strict=True)) / total
                assert float(q.mean[b, d]) == pytest.approx(expected, rel=1e-12, abs=1e-14)
                assert float(q.variance[b, d]) == pytest.approx(1 / total, rel=1e-12)
        precision = torch.where(THERE[:, b, None], torch.exp(-logvar[:, b]) * (1 if weights is None else weights), 0.0)
        of_prior = torch.full((1, D), float(prior or not THERE[:, b].any()), dtype=torch.float64)
        parts = torch.cat([precision, of_prior])
        torch.testing.assert_close(shares[:, b], (parts / parts.sum(0)).mean(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(shares.sum(0), torch.ones(B).double(), rtol=1e-14, atol=0)


def test_an_expert_replaced_is_that_of_the_other_product() -> None:
    product = ExpertProduct(Gaussian(randn(U, B, D), randn(U, B, D, seed=1)), THERE, prior=True)
    other = ExpertProduct(Gaussian(randn(U, B, D, seed=3), randn(U, B, D, seed=4)), THERE.roll(1, 1), prior=True)
    mixed = product.replaced(1, other)
    mean = torch.stack([product.experts.mean[0], other.experts.mean[1], product.experts.mean[2]])
    logvar = torch.stack([product.experts.logvar[0], other.experts.logvar[1], product.experts.logvar[2]])
    there = torch.stack([THERE[0], other.there[1], THERE[2]])
    expected = ExpertProduct(Gaussian(mean, logvar), there, prior=True).joint
    torch.testing.assert_close(mixed.joint.mean, expected.mean, rtol=0, atol=0)
    torch.testing.assert_close(mixed.joint.logvar, expected.logvar, rtol=0, atol=0)


def test_gaussians_diverge_as_torch_says() -> None:
    q, p = Gaussian(randn(B, D), randn(B, D, seed=1)), Gaussian(randn(B, D, seed=2), randn(B, D, seed=3))
    normals = (Normal(x.mean, x.variance.sqrt()) for x in (q, p))
    torch.testing.assert_close(kl_between(q, p, no_noise), kl_divergence(*normals).sum(1), rtol=1e-12, atol=0)


def test_a_mixture_of_equal_parts_diverges_as_its_part_on_average() -> None:
    part, p = Gaussian(randn(1, 1, D), randn(1, 1, D, seed=1)), Gaussian(randn(1, D, seed=2), randn(1, D, seed=3))
    parts = Gaussian(part.mean.expand(2, 1, D), part.logvar.expand(2, 1, D))
    mixture = Mixture(parts, torch.full((2, 1), 0.5, dtype=torch.float64))
    estimate = float(kl_between(mixture, p, lambda: randn(200_000, 1, D, seed=4)))
    assert estimate == pytest.approx(float(part[0].kl_to(p)), rel=0.01)


def test_the_divergence_of_mixtures_is_the_integral() -> None:
    """In one dimension, where the integral can be computed; the estimate lies within four standard errors."""
    parts = Gaussian(torch.tensor([[[-1.0]], [[2.0]], [[0.5]]]).double(), torch.tensor([[[0.0]], [[-1.0]], [[1.0]]]))
    q = Mixture(parts, torch.tensor([[0.5], [0.3], [0.2]]).double())
    p = Mixture(parts[:2], torch.tensor([[0.4], [0.6]]).double())
    z = torch.linspace(-25, 25, 200_001, dtype=torch.float64).view(-1, 1, 1)
    log_q, log_p = q.log_prob(z).squeeze(), p.log_prob(z).squeeze()
    integral = float(torch.trapezoid(log_q.exp() * (log_q - log_p), z.squeeze()))
    noise = randn(100_000, 1, 1, seed=5)
    drawn = q.rsample(noise)
    spread = float((q.log_prob(drawn) - p.log_prob(drawn)).std()) / len(noise) ** 0.5
    assert abs(float(kl_between(q, p, lambda: noise)) - integral) < 4 * spread
    assert spread < 0.01


def test_rows_that_fall_back_to_the_prior_diverge_from_it() -> None:
    q, rest = Gaussian(randn(B, D), randn(B, D, seed=1)), Gaussian(randn(B, D, seed=2), randn(B, D, seed=3))
    informed = torch.tensor([True, False, True, False])
    both = kl_between(q, OrPrior(rest, informed, StandardNormal(D).double()), lambda: randn(1, B, D))
    torch.testing.assert_close(both, torch.where(informed, q.kl_to(rest), q.kl()), rtol=1e-12, atol=0)
