"""The CRMVAE against the formula of its paper, row by row."""

import pytest
import torch
from hypothesis import given

from mmtoolkit.base.errors import UserError
from mmtoolkit.models import CRMVAE, VAE
from mmtoolkit.priors import MixturePrior
from pooled_cases import FEW, PRIOR, SEEN, TOYS, B, D, Term, assert_close, check_loss, hidden, network_of, product
from toys import batch_of, bools, randn, some_values


def terms_of(network, experts, noise, n=None):
    n = len(experts) if n is None else n
    near = [("KL(joint, experts)", 1 / (n + 1), q) for q in experts.values()]
    joint = Term(product([*experts.values()]), scale=0.5 / (n + 1), divergences=[("KL", 1 / (n + 1), PRIOR), *near])
    places = {name: 1 + place for place, name in enumerate(network.units)}
    alone = [Term(q, places[m], 0.5 / (n + 1), 1.0, [m], ()) for m, q in experts.items()]
    return [joint, *alone]


@FEW
@given(present=bools(B, 3), mask=bools(B, 3))
def test_the_loss_is_that_of_the_paper(present, mask):
    check_loss(CRMVAE(latent_dim=D), terms_of, present, hidden(present, mask))


@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_divergence_from_another_prior_is_that_of_the_draw(seen):
    check_loss(CRMVAE(latent_dim=D, prior=MixturePrior(components=2)), terms_of, seen=seen, estimated=True)


def test_rows_of_one_modality_have_half_the_loss_of_a_vae():
    network, vae = network_of(CRMVAE(latent_dim=D)), network_of(VAE(latent_dim=D, modality="b"))
    vae.encoders.of("b").load_state_dict(network.encoders.of("b").state_dict())
    vae.decoders.of("b").load_state_dict(network.decoders.of("b").state_dict())
    values, noise = some_values(TOYS, B), randn(1, B, D)
    alone = batch_of(values, torch.tensor([[False, True, False]]).expand(B, 3))
    loss = network(alone, 0.7, noise=noise.expand(4, B, D))[0]  # the same draw twice
    assert_close(loss, 0.5 * vae(alone, 0.7, noise=noise)[0])


def test_an_expert_that_is_not_there_does_not_count():
    def complete(network, experts, noise):
        return terms_of(network, experts, noise, n=3)

    with pytest.raises(AssertionError):
        check_loss(CRMVAE(latent_dim=D), complete)
    check_loss(CRMVAE(latent_dim=D), complete, torch.ones(B, 3, dtype=torch.bool))


def test_one_modality_is_refused():
    with pytest.raises(UserError) as raised:
        network_of(CRMVAE(), {"a": TOYS["a"]})
    message = "model: crmvae joins two modalities or more, and there is one; add one, or use vae"
    assert raised.value.faults == [message]
