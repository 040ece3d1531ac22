"""The WB-VAE and the MWB-VAE against their formulas, row by row."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from torch.distributions import Normal

from mmtoolkit.base.errors import UserError
from mmtoolkit.models import VAE, Barycentre
from mmtoolkit.priors import MixturePrior
from pooled_cases import (
    FEW,
    PRESENT,
    PRIOR,
    SEEN,
    TOYS,
    B,
    D,
    Term,
    assert_close,
    barycentre,
    check_loss,
    hidden,
    kl_from_prior,
    log_density,
    network_of,
)
from toys import Vector, batch_of, bools, randn, some_values


def terms(network, experts, noise):
    return [Term(barycentre([*experts.values()]))]


def barycentres(network, experts):
    """Those of all sets of experts, a set before those in which a later expert is new."""
    names = [name for name in network.units if name in experts]
    sets = [s for size in range(1, len(names) + 1) for s in itertools.combinations(names, size)]
    sets.sort(key=lambda members: sum(2 ** names.index(name) for name in members))
    return [barycentre([experts[name] for name in members]) for members in sets]


def log_mixture(parts, z):
    return torch.stack([log_density(q, z) for q in parts]).logsumexp(0) - math.log(len(parts))


def mixed_terms(network, experts, noise):
    """A draw from the part that the first number of its noise chooses, with the density of the mixture."""
    parts = barycentres(network, experts)
    (epsilon,) = noise
    u = torch.special.ndtr(epsilon[0]) * len(parts)
    part = min(int(u), len(parts) - 1)
    first = torch.special.ndtri(u - part) if len(parts) > 1 else epsilon[0]
    q = parts[part]
    z = q.mean + q.stddev * torch.cat([first.unsqueeze(0), epsilon[1:]])
    mean_kl = sum(kl_from_prior(p) for p in parts) / len(parts)  # less what z says of its part
    term = Term(
        Normal(z - 0.5 * epsilon, 0.5),  # which draws this z
        log_q=lambda z: log_mixture(parts, z),
        kl=lambda z: mean_kl - log_density(q, z) + log_mixture(parts, z),
    )
    return [term]


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_of_one_barycentre(present, mask):
    check_loss(Barycentre(latent_dim=D), terms, present, hidden(present, mask))


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_of_the_mixture_of_the_barycentres_of_all_sets(present, mask):
    check_loss(Barycentre(latent_dim=D, mixture=True), mixed_terms, present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_loss_of_several_draws_and_with_another_prior(seen):
    check_loss(Barycentre(latent_dim=D, draws=4), terms, seen=seen)
    prior = MixturePrior(components=2)
    check_loss(Barycentre(latent_dim=D, prior=prior), terms, seen=seen, estimated=True)
    check_loss(Barycentre(latent_dim=D, mixture=True, prior=prior), mixed_terms, seen=seen, estimated=True)


def test_the_mean_loss_of_the_mixture_is_that_over_its_parts():
    """The expectation over q, one part after the other."""
    network, rows = network_of(Barycentre(latent_dim=D, mixture=True)), 20_000
    values = {name: value.expand(rows, *value.shape[1:]) for name, value in some_values(TOYS, 1).items()}
    batch = batch_of(values, torch.tensor([[True, False, True]]).expand(rows, 3))
    with torch.no_grad():
        loss = network(batch, 1.0, noise=randn(1, rows, D, seed=2))[0]
        experts = {name: network.expert(name, batch) for name in "ac"}
        parts = barycentres(network, {n: Normal(q.mean[0], q.variance[0].sqrt()) for n, q in experts.items()})
        assert len(parts) == 3
        each = []
        for q in parts:
            z = q.mean + q.stddev * randn(rows, D, seed=3)
            part = log_mixture(parts, z) - log_density(PRIOR, z)
            for name in "ac":
                part = part - TOYS[name].weight * network.decoders.of(name)(z).log_prob(values[name])
            each.append(part)
    error = max(part.std() for part in each) / rows**0.5
    assert abs(loss - torch.stack(each).mean()) < 5 * error


@pytest.mark.parametrize("mixture", [False, True])
def test_one_modality_is_a_vae(mixture):
    one = {"b": TOYS["b"]}
    network, vae = network_of(Barycentre(latent_dim=D, mixture=mixture), one), network_of(VAE(latent_dim=D), one)
    vae.load_state_dict(network.state_dict())
    batch, noise = batch_of(some_values(one, B), PRESENT[:, 1:2]), randn(1, B, D)
    for actual, expected in zip(network(batch, 0.7, noise=noise), vae(batch, 0.7, noise=noise), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("mixture", [False, True])
def test_identical_experts_leave_the_barycentre_as_it_is(mixture):
    twins = {name: Vector() for name in "abc"}
    network = network_of(Barycentre(latent_dim=D, mixture=mixture), twins)
    alone = network_of(VAE(latent_dim=D), twins)
    for name in "abc":
        network.encoders.of(name).load_state_dict(alone.encoders.of("a").state_dict())
    x = some_values(twins, B)["a"]
    batch = batch_of(dict.fromkeys("abc", x), PRESENT)
    expected = alone.infer_all(batch_of(dict.fromkeys("abc", x), PRESENT.any(1, keepdim=True).expand(B, 3)))
    q = network.infer_all(batch)
    assert_close(q.mean, expected.mean)
    assert_close(q.variance, expected.variance)
    kl = network(batch, noise=randn(1, B, D))[1]["KL"]
    assert_close(kl, expected.kl()[:4].mean())  # of the mixture too: z says nothing of its part


def test_an_expert_that_is_not_there_does_not_count():
    def complete(network, experts, noise):
        prior = Normal(torch.zeros(D).double(), 1.0)
        return [Term(barycentre([*experts.values(), *[prior] * (3 - len(experts))]))]

    with pytest.raises(AssertionError):
        check_loss(Barycentre(latent_dim=D), complete)
    check_loss(Barycentre(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))


def test_a_mixture_of_more_than_10_modalities_is_refused():
    many = {f"m{i}": Vector() for i in range(11)}
    network_of(Barycentre(latent_dim=D), many)
    with pytest.raises(UserError) as raised:
        network_of(Barycentre(latent_dim=D, mixture=True), many)
    (line,) = raised.value.faults
    assert line == (
        "model.mixture: mixes the barycentres of all sets of up to 10 modalities, and there are 11; set it to false, "
        "or join some modalities in a record"
    )
