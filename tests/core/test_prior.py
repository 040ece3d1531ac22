"""The prior of the latent variable, and posteriors that are the prior in rows that have nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmtoolkit import Gaussian, OrPrior, Posterior, PriorModule, StandardNormal, product_of_experts
from mmtoolkit.core.posterior import product_alone
from toys import randn

B, D = 5, 3


class Shifted(PriorModule):
    """N(2, 3² I), without moments of its own."""

    def log_prob(self, z: Tensor) -> Tensor:
        log_prob: Tensor = torch.distributions.Normal(2.0, 3.0).log_prob(z).sum(-1)
        return log_prob

    def sample(self, noise: Tensor) -> Tensor:
        return 2 + 3 * noise


def gaussian() -> Gaussian:
    return Gaussian(randn(B, D, seed=1), randn(B, D, seed=2))


def test_the_standard_normal() -> None:
    prior, z = StandardNormal(D).double(), randn(4, B, D)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.log_prob(z), expected, rtol=1e-12, atol=1e-12)
    assert prior.sample(z) is z
    assert prior.mean.tolist() == [0.0] * D
    assert prior.variance.tolist() == [1.0] * D
    assert torch.equal(prior.kl(gaussian(), z), gaussian().kl())
    assert not list(prior.parameters())
    assert not prior.state_dict()  # so that runs of 0.1 load


def test_moments_and_divergence_have_a_default() -> None:
    prior = Shifted(D).double()
    torch.testing.assert_close(prior.mean, torch.full((D,), 2.0).double(), rtol=0, atol=0.2)
    torch.testing.assert_close(prior.variance, torch.full((D,), 9.0).double(), rtol=0.1, atol=0)
    assert torch.equal(prior.mean, prior.mean)
    q = gaussian()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, q.variance.sqrt()), torch.distributions.Normal(2.0, 3.0)
    ).sum(-1)
    draws = [prior.kl(q, noise) for noise in randn(200, 100, B, D)]
    assert draws[0].shape == (B,)
    spread = torch.stack(draws).std(0) / math.sqrt(len(draws))
    assert ((torch.stack(draws).mean(0) - expected).abs() < 4 * spread).all()


def test_each_row_is_the_posterior_or_the_prior() -> None:
    prior, q = Shifted(D).double(), gaussian()
    informed = torch.tensor([True, False, True, False, False])
    either = OrPrior(q, informed, prior)
    noise, z = randn(2, B, D, seed=5), randn(2, B, D, seed=6)
    assert isinstance(either, Posterior)
    for row in range(B):
        own = Gaussian(q.mean[row], q.logvar[row])
        if informed[row]:
            mean, variance, point, drawn, log_prob = (
                own.mean, own.variance, own.point, own.rsample(noise[:, row]), own.log_prob(z[:, row])
            )  # fmt: skip
            kl, above = own.kl(), Shifted(D).double().kl(Gaussian(own.mean[None], own.logvar[None]), noise[:, [row]])[0]
        else:
            mean, variance, point, drawn, log_prob = (
                prior.mean, prior.variance, prior.mean, 2 + 3 * noise[:, row], prior.log_prob(z[:, row])
            )  # fmt: skip
            normal = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).sum(-1)
            kl, above = (prior.log_prob(drawn) - normal).mean(), torch.zeros(()).double()
        assert torch.equal(either.mean[row], mean)
        assert torch.equal(either.variance[row], variance)
        assert torch.equal(either.point[row], point)
        assert torch.equal(either.rsample(noise)[:, row], drawn)
        torch.testing.assert_close(either.log_prob(z)[:, row], log_prob, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(either.kl(noise)[row], kl, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(prior.kl(either, noise)[row], above, rtol=1e-12, atol=1e-12)


def test_a_detached_posterior_is_the_same_without_gradients() -> None:
    mean = randn(B, D).requires_grad_()
    q = OrPrior(Gaussian(mean, mean), torch.arange(B) > 2, StandardNormal(D).double())
    for posterior in (q, q.q):
        detached = posterior.detached()
        assert torch.equal(detached.log_prob(mean.detach()), posterior.log_prob(mean.detach()))
        assert posterior.log_prob(mean.detach()).requires_grad
        assert not detached.log_prob(mean.detach()).requires_grad


def test_a_product_of_one_expert_alone_is_the_expert() -> None:
    mean, logvar = randn(B, D), randn(B, D) * 400  # beyond the bounds
    expert = Gaussian(mean, logvar)
    one = product_of_experts(Gaussian(mean[None], logvar[None]), torch.ones(1, 1, B, dtype=torch.bool), prior=False)
    alone = product_alone(expert)
    torch.testing.assert_close(alone.mean, one.mean[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(alone.logvar, one.logvar[0], rtol=1e-12, atol=1e-12)
