"""The HELVAE against the formula of its paper, row by row."""

import pytest
import torch
from hypothesis import given
from torch.distributions import Normal

from mmtoolkit.models import HELVAE, VAE
from mmtoolkit.priors import MixturePrior
from pooled_cases import (
    FEW,
    PRESENT,
    SEEN,
    TOYS,
    B,
    D,
    Term,
    assert_close,
    check_loss,
    hidden,
    hoelder_parts,
    network_of,
)
from toys import Vector, batch_of, bools, randn, some_values


def moments(experts):
    """The Gaussian with the mean and variances of (sum √q)², normalised."""
    parts = hoelder_parts(experts)
    mean = sum(share * q.mean for share, q in parts)
    second = sum(share * (q.variance + q.mean.square()) for share, q in parts)
    return Normal(mean, (second - mean.square()).sqrt())


def terms(network, experts, noise):
    return [Term(moments([*experts.values()]))]


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_is_that_of_the_paper(present, mask):
    check_loss(HELVAE(latent_dim=D), terms, present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_loss_of_several_draws_and_with_another_prior(seen):
    check_loss(HELVAE(latent_dim=D, draws=4), terms, seen=seen)
    check_loss(HELVAE(latent_dim=D, prior=MixturePrior(components=2)), terms, seen=seen, estimated=True)


def test_the_moments_are_those_of_the_density():
    """In one dimension, by an integral of (sum √q)²."""
    experts = [Normal(torch.tensor([m]).double(), s) for m, s in ((0.0, 1.0), (1.5, 0.4), (-0.7, 2.0))]
    z = torch.linspace(-15, 15, 60_001).double()
    density = sum(q.log_prob(z).mul(0.5).exp() for q in experts).square()
    density = density / density.sum()
    q = moments(experts)
    mean = (density * z).sum()
    assert_close(q.mean[0], mean, 1e-6)
    assert_close(q.variance[0], (density * (z - mean).square()).sum(), 1e-6)


def test_one_modality_is_a_vae():
    one = {"b": TOYS["b"]}
    network, vae = network_of(HELVAE(latent_dim=D), one), network_of(VAE(latent_dim=D), one)
    vae.load_state_dict(network.state_dict())
    batch, noise = batch_of(some_values(one, B), PRESENT[:, 1:2]), randn(1, B, D)
    for actual, expected in zip(network(batch, 0.7, noise=noise), vae(batch, 0.7, noise=noise), strict=True):
        assert_close(actual, expected)


def test_identical_experts_leave_the_pool_as_it_is():
    twins = {name: Vector() for name in "abc"}
    network, alone = network_of(HELVAE(latent_dim=D), twins), network_of(VAE(latent_dim=D), twins)
    for name in "abc":
        network.encoders.of(name).load_state_dict(alone.encoders.of("a").state_dict())
    x = some_values(twins, B)["a"]
    q = network.infer_all(batch_of(dict.fromkeys("abc", x), PRESENT))
    expected = alone.infer_all(batch_of(dict.fromkeys("abc", x), PRESENT.any(1, keepdim=True).expand(B, 3)))
    assert_close(q.mean, expected.mean)
    assert_close(q.variance, expected.variance)


def test_an_expert_that_is_not_there_does_not_count():
    def complete(network, experts, noise):
        prior = Normal(torch.zeros(D).double(), 1.0)
        return [Term(moments([*experts.values(), *[prior] * (3 - len(experts))]))]

    with pytest.raises(AssertionError):
        check_loss(HELVAE(latent_dim=D), complete)
    check_loss(HELVAE(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))
