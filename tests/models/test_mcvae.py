"""The multi-channel VAE against the formula of its paper, row by row."""

import pytest
import torch
from hypothesis import given

from mmtoolkit.models import MCVAE, VAE
from mmtoolkit.priors import MixturePrior
from pooled_cases import FEW, PRESENT, SEEN, TOYS, B, D, Term, assert_close, check_loss, hidden, network_of
from toys import batch_of, bools, randn, some_values


def terms(network, experts, noise):
    places = {name: place for place, name in enumerate(network.units)}
    return [Term(q, places[name]) for name, q in experts.items()]


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_is_that_of_the_paper(present, mask):
    check_loss(MCVAE(latent_dim=D), terms, present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_loss_of_several_draws_and_with_another_prior(seen):
    check_loss(MCVAE(latent_dim=D, draws=4), terms, seen=seen)
    check_loss(MCVAE(latent_dim=D, prior=MixturePrior(components=2)), terms, seen=seen, estimated=True)


def test_one_modality_is_a_vae():
    one = {"b": TOYS["b"]}
    network, vae = network_of(MCVAE(latent_dim=D), one), network_of(VAE(latent_dim=D), one)
    vae.load_state_dict(network.state_dict())
    batch, noise = batch_of(some_values(one, B), PRESENT[:, 1:2]), randn(1, B, D)
    for actual, expected in zip(network(batch, 0.7, noise=noise), vae(batch, 0.7, noise=noise), strict=True):
        assert_close(actual, expected)
    q, expected = network.infer_all(batch), vae.infer_all(batch)
    assert_close(q.mean, expected.mean)
    assert_close(q.kl(noise[0]), expected.kl())
    assert_close(network.bound(batch, noise[0]), vae.bound(batch, noise[0]))


def test_the_posterior_is_the_mixture_of_the_experts_a_row_has():
    network, values = network_of(MCVAE(latent_dim=D)), some_values(TOYS, B)
    batch = batch_of(values, PRESENT)
    for given_names in (["a"], ["a", "c"], ["b", "c"], ["a", "b", "c"]):
        q = network.infer(batch, given_names)
        for row in range(B):
            means, variances = [], []
            for name in given_names:
                if PRESENT[row, list(TOYS).index(name)]:
                    mean, logvar = network.encoders.of(name)(values[name][row : row + 1])[0].chunk(2)
                    means.append(mean)
                    variances.append(logvar.exp())
            if not means:
                means, variances = [torch.zeros(D).double()], [torch.ones(D).double()]
            mean = torch.stack(means).mean(0)
            assert_close(q.mean[row], mean)
            second = torch.stack([v + m.square() for m, v in zip(means, variances, strict=True)]).mean(0)
            assert_close(q.variance[row], second - mean.square())


def test_the_bound_is_above_the_mean_of_the_terms():
    # KL(mixture || p) is at most the mean of the divergences of its parts.
    network, rows = network_of(MCVAE(latent_dim=D)), 4000
    for name in TOYS:
        network.decoders.of(name).weight.data.zero_()  # reconstruction does not depend on z
    values = {name: value.expand(rows, *value.shape[1:]) for name, value in some_values(TOYS, 1).items()}
    batch = batch_of(values, torch.ones(rows, 3, dtype=torch.bool))
    with torch.no_grad():
        bounds = network.bound(batch, randn(rows, D, seed=1))
        parts = network(batch, 1.0, noise=randn(3, rows, D))[1]
    mean = (sum(p for name, p in parts.items() if name != "KL") - parts["KL"]) / 3
    assert bounds.mean() - mean > 3 * bounds.std() / rows**0.5


def test_an_expert_that_is_not_there_does_not_count():
    def complete(network, experts, noise):
        prior = Term(torch.distributions.Normal(torch.zeros(D).double(), 1.0))
        return [*terms(network, experts, noise), *[prior] * (3 - len(experts))]

    with pytest.raises(AssertionError):
        check_loss(MCVAE(latent_dim=D), complete)
    check_loss(MCVAE(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))
