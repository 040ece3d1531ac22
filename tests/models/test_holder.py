"""The exact Hölder pool against its density, row by row."""

import itertools

import pytest
import torch
from hypothesis import given
from torch.distributions import Normal

from mmtoolkit.base.errors import UserError
from mmtoolkit.models import VAE, Holder
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
    geometric_mean,
    hidden,
    hoelder_parts,
    kl_from_prior,
    log_density,
    network_of,
)
from toys import Vector, batch_of, bools, randn, some_values


def log_pool(experts, z):
    """The log-density of (sum √q)², normalised: its integral is the sum of all coefficients S_ij."""
    total = sum(geometric_mean(one, other)[0] for one, other in itertools.product(experts, repeat=2))
    return 2 * torch.stack([0.5 * log_density(q, z) for q in experts]).logsumexp(0) - total.log()


def terms(network, experts, noise):
    names = list(network.units)
    everyone = [(i, i) for i in range(len(names))] + list(itertools.combinations(range(len(names)), 2))
    visible = [names.index(name) for name in experts]
    places = [place for place, (i, j) in enumerate(everyone) if i in visible and j in visible]
    return [
        part_term(q, [*experts.values()], place, share)
        for place, (share, q) in zip(places, hoelder_parts([*experts.values()]), strict=True)
    ]


def part_term(q, experts, place, share):
    """With the divergence of the part in closed form, less the estimate of its own from the pool."""
    return Term(
        q,
        place,
        weight=share,
        log_q=lambda z: log_pool(experts, z),
        kl=lambda z: kl_from_prior(q) - log_density(q, z) + log_pool(experts, z),
    )


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_is_the_elbo_with_the_exact_pool(present, mask):
    check_loss(Holder(latent_dim=D), terms, present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_loss_of_several_draws_and_with_another_prior(seen):
    check_loss(Holder(latent_dim=D, draws=4), terms, seen=seen)
    check_loss(Holder(latent_dim=D, prior=MixturePrior(components=2)), terms, seen=seen, estimated=True)


def test_the_density_of_the_posterior_is_that_of_the_pool():
    network, values = network_of(Holder(latent_dim=D)), some_values(TOYS, B)
    batch, z = batch_of(values, PRESENT), randn(7, B, D, seed=3)
    for names in (["a"], ["a", "c"], ["a", "b", "c"]):
        actual = network.infer(batch, names).log_prob(z)
        for row in range(B):
            experts = []
            for name in names:
                if PRESENT[row, list(TOYS).index(name)]:
                    mean, logvar = network.encoders.of(name)(values[name][row : row + 1])[0].chunk(2)
                    experts.append(Normal(mean, (logvar / 2).exp()))
            for draw in range(7):
                expected = log_pool(experts or [Normal(torch.zeros(D).double(), 1.0)], z[draw, row])
                assert_close(actual[draw, row], expected)


def test_one_modality_is_a_vae():
    one = {"b": TOYS["b"]}
    network, vae = network_of(Holder(latent_dim=D), one), network_of(VAE(latent_dim=D), one)
    vae.load_state_dict(network.state_dict())
    batch, noise = batch_of(some_values(one, B), PRESENT[:, 1:2]), randn(1, B, D)
    for actual, expected in zip(network(batch, 0.7, noise=noise), vae(batch, 0.7, noise=noise), strict=True):
        assert_close(actual, expected)


def test_identical_experts_leave_the_pool_as_it_is():
    twins = {name: Vector() for name in "abc"}
    network, alone = network_of(Holder(latent_dim=D), twins), network_of(VAE(latent_dim=D), twins)
    for name in "abc":
        network.encoders.of(name).load_state_dict(alone.encoders.of("a").state_dict())
    x, z = some_values(twins, B)["a"], randn(4, B, D)
    q = network.infer_all(batch_of(dict.fromkeys("abc", x), PRESENT))
    expected = alone.infer_all(batch_of(dict.fromkeys("abc", x), PRESENT.any(1, keepdim=True).expand(B, 3)))
    assert_close(q.log_prob(z), expected.log_prob(z))
    assert_close(q.kl(z), expected.kl())


def test_an_expert_that_is_not_there_does_not_count():
    def complete(network, experts, noise):
        prior = Normal(torch.zeros(D).double(), 1.0)
        return terms(network, {name: experts.get(name, prior) for name in network.units}, noise)

    with pytest.raises(AssertionError):
        check_loss(Holder(latent_dim=D), complete)
    check_loss(Holder(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))


def test_more_than_10_modalities_are_refused():
    with pytest.raises(UserError) as raised:
        network_of(Holder(latent_dim=D), {f"m{i}": Vector() for i in range(11)})
    message = (
        "model: holder draws from all pairs of up to 10 modalities, and there are 11; use helvae, or join some "
        "modalities in a record"
    )
    assert raised.value.faults == [message]
