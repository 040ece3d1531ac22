"""Blocks of z against the parts that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mmtoolkit.core.blocks import BlockPrior, Blocks
from mmtoolkit.core.laplace import Laplace
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.prior import OrPrior, StandardNormal
from mmtoolkit.priors import MixturePrior
from mmtoolkit.priors.laplace import CentredLaplace
from toys import randn

B, SIZES = 4, (3, 1, 2)
D = sum(SIZES)


def parts() -> tuple[Posterior, ...]:
    """Of 3, 1 and 2 columns."""
    mixture = Mixture(Gaussian(2 * randn(2, B, 3, seed=1), randn(2, B, 3, seed=2)), randn(2, B, seed=3).softmax(0))
    laplace = Laplace(randn(B, 1, seed=4), randn(B, 1, seed=5))
    gaussian = Gaussian(randn(B, 2, seed=6), randn(B, 2, seed=7))
    informed = torch.tensor([True, False, True, True])
    return mixture, laplace, OrPrior(gaussian, informed, StandardNormal(2).double())


def columns(x: Tensor) -> list[Tensor]:
    return [x[..., :3], x[..., 3:4], x[..., 4:]]


def test_blocks_are_a_posterior() -> None:
    assert isinstance(Blocks(parts()), Posterior)


@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
def test_blocks_stand_side_by_side(leading: tuple[int, ...]) -> None:
    q, noise = Blocks(parts()), randn(*leading, B, D, seed=8)
    of_one: list[tuple[Tensor, Callable[[Posterior, Tensor], Tensor]]] = [
        (q.mean, lambda part, _: part.mean),
        (q.variance, lambda part, _: part.variance),
        (q.point, lambda part, _: part.point),
        (q.rsample(noise), lambda part, own: part.rsample(own)),
    ]
    for whole, one in of_one:
        assert whole.shape[-2:] == (B, D)
        for actual, part, own in zip(columns(whole), parts(), columns(noise), strict=True):
            assert torch.equal(actual, one(part, own))
    log_prob = sum(part.log_prob(own) for part, own in zip(parts(), columns(noise), strict=True))
    assert_close(q.log_prob(noise), log_prob, rtol=1e-13, atol=0)
    kl = sum(part.kl(own) for part, own in zip(parts(), columns(noise), strict=True))
    assert_close(q.kl(noise), kl, rtol=1e-13, atol=0)
    assert q.kl(noise).shape == (B,)


def test_a_block_reads_the_noise_of_its_own_columns_alone() -> None:
    q, noise = Blocks(parts()), randn(5, B, D, seed=8)
    other = noise.clone()
    other[..., 3] = -other[..., 3]
    z, changed = q.rsample(noise), q.rsample(other)
    assert torch.equal(z[..., :3], changed[..., :3])
    assert torch.equal(z[..., 4:], changed[..., 4:])
    assert (z[..., 3] != changed[..., 3]).all()


def test_gaussian_blocks_are_one_gaussian() -> None:
    mean, logvar, noise = randn(B, D, seed=1), randn(B, D, seed=2), randn(3, B, D, seed=3)
    whole = Gaussian(mean, logvar)
    q = Blocks([Gaussian(m, v) for m, v in zip(mean.split(SIZES, -1), logvar.split(SIZES, -1), strict=True)])
    assert torch.equal(q.rsample(noise), whole.rsample(noise))
    assert_close(q.log_prob(noise), whole.log_prob(noise), rtol=1e-13, atol=0)
    assert_close(q.kl(), whole.kl(), rtol=1e-13, atol=0)


def test_without_noise_the_divergence_is_drawn_and_detached_blocks_get_no_gradient() -> None:
    mixture, laplace, _ = parts()
    assert isinstance(laplace, Laplace)
    mean = laplace.mean.clone().requires_grad_()
    q = Blocks([mixture, Laplace(mean, laplace.logscale)])
    torch.manual_seed(0)
    drawn = torch.stack([q.kl() for _ in range(300)])
    many = q.kl(randn(50_000, B, 4, seed=1))
    assert ((drawn.mean(0) - many).abs() < 5 * drawn.std(0) / 300**0.5 + 0.01).all()
    assert q.kl().requires_grad
    assert not q.detached().kl().requires_grad


# Priors.


def block_prior() -> BlockPrior:
    return BlockPrior([MixturePrior(components=2).build(3), CentredLaplace(1, 0.5), StandardNormal(2)]).double()


def test_a_block_prior_is_its_parts_side_by_side() -> None:
    prior: Any = block_prior()
    z, noise = randn(5, B, D, seed=8), randn(5, B, D, seed=9)
    each = list(zip(prior.parts, columns(z), strict=True))
    assert_close(prior.log_prob(z), sum(part.log_prob(own) for part, own in each))
    assert_close(
        prior.sample(noise),
        torch.cat([part.sample(own) for part, own in zip(prior.parts, columns(noise), strict=True)], dim=-1),
    )
    assert_close(prior.mean, torch.cat([part.mean for part in prior.parts]))
    assert_close(prior.variance, torch.cat([part.variance for part in prior.parts]))


def test_the_divergence_from_a_block_prior_is_estimated_for_no_block_that_has_a_closed_form() -> None:
    prior: Any = block_prior()
    noise = randn(B, D, seed=9)
    q = Blocks([Gaussian(randn(B, size, seed=size), randn(B, size, seed=10 + size)) for size in SIZES])
    each = [part.kl(own, x) for part, own, x in zip(prior.parts, q.parts, columns(noise), strict=True)]
    assert_close(prior.kl(q, noise), sum(each))
    assert_close(each[2], q.parts[2].kl())  # that of the normal block has no noise in it
    z = q.rsample(noise)
    whole = Gaussian(q.mean, q.variance.log())
    assert_close(prior.kl(whole, noise), q.log_prob(z) - prior.log_prob(z))  # no blocks: all is estimated
    informed = torch.tensor([True, False, True, True])
    expected = torch.where(informed, prior.kl(q, noise), 0.0)
    assert_close(prior.kl(OrPrior(q, informed, prior), noise), expected)
