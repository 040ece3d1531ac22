"""The MVTCAE against the formula of its paper, row by row."""

import pytest
import torch
from hypothesis import given

from mmtoolkit.base.errors import UserError
from mmtoolkit.models import MVTCAE, VAE
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
    check_loss,
    explicit_loss,
    hidden,
    network_of,
    product,
)
from toys import batch_of, bools, randn, some_values


def terms_with(alpha):
    def terms(network, experts, noise):
        n = len(experts)
        near = [("KL(joint, experts)", alpha / n, q) for q in experts.values()]
        return [
            Term(product([*experts.values()]), scale=(n - alpha) / n, divergences=[("KL", 1 - alpha, PRIOR), *near])
        ]

    return terms


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_is_that_of_the_paper(present, mask):
    check_loss(MVTCAE(latent_dim=D), terms_with(5 / 6), present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_for_other_alphas_and_draws(alpha, draws, seen):
    check_loss(MVTCAE(latent_dim=D, alpha=alpha, draws=draws), terms_with(alpha), seen=seen)


def test_alpha_0_is_the_elbo_of_the_product():
    def terms(network, experts, noise):
        return [Term(product([*experts.values()]))]

    model = MVTCAE(latent_dim=D, alpha=0)
    network, values, noise = network_of(model), some_values(TOYS, B), randn(1, B, D)
    batch = batch_of(values, PRESENT)
    expected = explicit_loss(network, terms, values, PRESENT, PRESENT, noise, 1.0)[0]
    assert_close(network(batch, 1.0, noise=noise)[0], expected)
    assert_close(-network.bound(batch, noise[0])[:4].mean() - expected, weights_of_others(network, values, noise))


def weights_of_others(network, values, noise):
    """What the weights λ other than 1 add to the loss."""
    q = network.infer_all(batch_of(values, PRESENT))
    log_probs = network.log_prob(q.rsample(noise[0]), batch_of(values, PRESENT), list(TOYS))
    return sum((TOYS[name].weight - 1) * p.sum() for name, p in log_probs.items()) / 4


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_rows_of_one_modality_have_1_minus_alpha_times_the_loss_of_a_vae(alpha):
    network, vae = network_of(MVTCAE(latent_dim=D, alpha=alpha)), network_of(VAE(latent_dim=D, modality="b"))
    vae.encoders.of("b").load_state_dict(network.encoders.of("b").state_dict())
    vae.decoders.of("b").load_state_dict(network.decoders.of("b").state_dict())
    values, noise = some_values(TOYS, B), randn(1, B, D)
    alone = batch_of(values, torch.tensor([[False, True, False]]).expand(B, 3))
    assert_close(network(alone, 0.7, noise=noise)[0], (1 - alpha) * vae(alone, 0.7, noise=noise)[0])


def test_an_expert_that_is_not_there_does_not_count():
    # The formula with n = M, as in a loss written for complete rows, is another number.
    def complete(network, experts, noise):
        (term,) = terms_with(5 / 6)(network, experts, noise)
        near = [(name, 5 / 6 / 3 if "experts" in name else c, q) for name, c, q in term.divergences]
        return [Term(term.q, scale=1 - 5 / 6 / 3, divergences=near)]

    with pytest.raises(AssertionError):
        check_loss(MVTCAE(latent_dim=D), complete)
    check_loss(MVTCAE(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))


def test_one_modality_is_refused():
    with pytest.raises(UserError) as raised:
        network_of(MVTCAE(), {"a": TOYS["a"]})
    message = "model: mvtcae joins two modalities or more, and there is one; add one, or use vae"
    assert raised.value.faults == [message]
