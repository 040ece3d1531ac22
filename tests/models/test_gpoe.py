"""The weighted product of experts against the formula of its paper, row by row."""

import pytest
import torch
from hypothesis import given

from mmtoolkit.models import VAE, GPoE
from mmtoolkit.priors import MixturePrior
from mmtoolkit.training.networks import parameter_counts
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
    network_of,
    perturb,
    product,
)
from toys import batch_of, bools, randn, some_values


def terms(network, experts, noise):
    powers = {name: w.exp() for name, w in zip(network.units, network.weights_of_experts.logits, strict=True)}
    total = sum(powers[name] for name in experts)
    return [Term(product([*experts.values()], [powers[name] / total for name in experts]))]


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_is_that_of_the_paper(present, mask):
    check_loss(GPoE(latent_dim=D), terms, present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_loss_of_several_draws_and_with_another_prior(seen):
    check_loss(GPoE(latent_dim=D, draws=4), terms, seen=seen)
    check_loss(GPoE(latent_dim=D, prior=MixturePrior(components=2)), terms, seen=seen, estimated=True)
    check_loss(GPoE(latent_dim=D, prior=MixturePrior(components=2), draws=4), terms, seen=seen, estimated=True)


def test_one_modality_is_a_vae():
    one = {"b": TOYS["b"]}
    network, vae = network_of(GPoE(latent_dim=D), one), network_of(VAE(latent_dim=D), one)
    perturb(network)
    vae.load_state_dict({name: x for name, x in network.state_dict().items() if "weights_of" not in name})
    batch, noise = batch_of(some_values(one, B), PRESENT[:, 1:2]), randn(1, B, D)
    for actual, expected in zip(network(batch, 0.7, noise=noise), vae(batch, 0.7, noise=noise), strict=True):
        assert_close(actual, expected)


def test_identical_experts_leave_the_product_as_it_is():
    twins = dict.fromkeys("abc", TOYS["a"])
    network = network_of(GPoE(latent_dim=D), twins)
    perturb(network)
    for name in "bc":
        network.encoders.of(name).load_state_dict(network.encoders.of("a").state_dict())
    batch = batch_of(dict.fromkeys("abc", some_values(twins, B)["a"]), PRESENT)
    q, one = network.infer_all(batch), network.expert("a", batch_of({"a": batch.value("a")}, PRESENT[:2, :1]))
    assert_close(q.mean[:2], one.mean)
    assert_close(q.variance[:2], one.variance)


def test_an_expert_that_is_not_there_does_not_count():
    def complete(network, experts, noise):
        weights = dict(zip(network.units, network.weights_of_experts(), strict=True))
        return [Term(product([*experts.values()], [weights[name] for name in experts]))]

    with pytest.raises(AssertionError):
        check_loss(GPoE(latent_dim=D), complete)
    check_loss(GPoE(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))


def test_the_weights_begin_equal_are_saved_and_count_as_inference_network():
    network = network_of(GPoE(latent_dim=D))
    assert_close(network.weights_of_experts(), torch.full((3, D), 1 / 3).double(), 1e-7)
    assert "weights_of_experts.logits" in network.state_dict()
    counts = parameter_counts(network)
    assert counts["total"] - counts["inference"] == sum(p.numel() for p in network.decoders.parameters())
