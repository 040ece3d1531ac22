"""The MMVM against an explicit loop in float64, and what a model without p(z) refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mmtoolkit import MMVM, UserError
from private_cases import (
    NAMES,
    PRESENT,
    TOYS,
    VISIBLE,
    B,
    assert_equal,
    drawn,
    experts_of,
    has,
    log_density,
    log_mean,
    log_p,
    network_of,
    rows_of,
)
from toys import EXAMPLES, bools, randn

D = 3
KINDS = pytest.mark.parametrize("divergence", ["mixture", "pairs"])


def of_mixture(experts: list[Normal], noise: Tensor) -> Tensor:
    """A draw of an equal mixture, as the core makes one of noise (D,): the first number chooses."""
    u = Normal(0.0, 1.0).cdf(noise[0].double()) * len(experts)
    own = noise.clone()
    if len(experts) > 1:
        own[0] = Normal(0.0, 1.0).icdf(u - u.floor())
    return drawn(experts[int(u)], own)


def row_terms(network, batch, visible, row: int, noise: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """For each modality that a row has: its name, λ log p(x | z) and the divergence; noise (U, D)."""
    experts = experts_of(network, visible, row)
    terms = []
    for name in has(batch, row) if experts else []:
        own, divergence = noise[NAMES.index(name)], torch.zeros(()).double()
        if name not in experts:
            z = of_mixture(list(experts.values()), own)
        else:
            q = experts[name]
            z = drawn(q, own)
            if network.divergence == "mixture":
                divergence = log_density(q, z) - log_mean([log_density(other, z) for other in experts.values()])
            else:
                divergence = torch.stack([kl_divergence(q, other).sum() for other in experts.values()]).mean()
        terms.append((name, log_p(network, batch, row, name, z), divergence))
    return terms


@KINDS
@EXAMPLES
@given(present=bools(5, 3), beta=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_loss_is_a_loop(divergence, present, beta):
    network, batch = network_of(MMVM(latent_dim=D, divergence=divergence)), rows_of(present)
    noise = randn(3, 5, D, seed=7)
    total = sum(
        (log - beta * kl for row in range(5) for _, log, kl in row_terms(network, batch, batch, row, noise[:, row])),
        start=torch.zeros(()).double(),
    )
    loss, _ = network(batch, beta, noise=noise)
    assert_equal(loss, -total / max(int(present.any(1).sum()), 1))


@KINDS
def test_what_is_hidden_is_decoded_from_the_mixture_of_the_others(divergence):
    network, batch = network_of(MMVM(latent_dim=D, divergence=divergence)), rows_of()
    visible, noise = batch.where(VISIBLE), randn(3, B, D, seed=7)
    terms = [row_terms(network, batch, visible, row, noise[:, row]) for row in range(B)]
    loss, parts = network(batch, 0.7, noise=noise, visible=visible)
    expected = -sum(log - 0.7 * kl for row in terms for _, log, kl in row) / 5
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-7)  # a normal quantile in single calls
    bound = network.bound(batch, noise[0], visible)
    for row in range(B):
        own = noise[0, row].expand(3, D)
        each = row_terms(network, batch, visible, row, own)
        expected = sum((log / TOYS[name].weight - kl for name, log, kl in each), start=torch.zeros(()).double())
        torch.testing.assert_close(bound[row], expected, rtol=1e-7, atol=1e-7)
    assert list(parts) == ["log p(a)", "log p(b)", "log p(c)", "KL"]


def test_the_mixture_gives_no_more_than_the_mean_over_pairs():
    many, noise = rows_of(rows=torch.arange(B).repeat(3000)), randn(3, 3000 * B, D)
    networks = [network_of(MMVM(latent_dim=D, divergence=divergence)) for divergence in ("mixture", "pairs")]
    mixture, pairs = (float(network(many, noise=noise)[0].detach()) for network in networks)
    assert mixture < pairs


@KINDS
def test_one_modality_alone_is_an_autoencoder_without_divergence(divergence):
    network = network_of(MMVM(latent_dim=D, divergence=divergence))
    _, parts = network(rows_of().only({"c"}), noise=randn(3, B, D))
    assert abs(float(parts["KL"])) < 1e-12


@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"]])
def test_the_posterior_is_the_mixture_of_the_given(asked):
    network, batch, z = network_of(MMVM(latent_dim=D)), rows_of(), randn(4, B, D, seed=3)
    q = network.infer(batch, asked)
    for row in range(B):
        experts = [q for name, q in experts_of(network, batch, row).items() if name in asked]
        experts = experts or [Normal(torch.zeros(D).double(), 1.0)]  # it stands where a row has nothing of the given
        assert_equal(q.log_prob(z)[:, row], log_mean([log_density(expert, z[:, row]) for expert in experts]))


def test_there_is_no_prior():
    network = network_of(MMVM(latent_dim=D))
    assert network.prior is None
    assert not network.supports([])
    assert network.supports(["a"])
    for call in (network.need_prior, lambda: network.infer(rows_of(), [])):
        with pytest.raises(UserError, match=r"the model has no p\(z\).*give some.*mvae"):
            call()


@KINDS
@pytest.mark.parametrize("order", ["cab", "bca"])
def test_the_order_of_modalities_and_rows_changes_nothing(divergence, order):
    model = MMVM(latent_dim=D, divergence=divergence)
    network, other = network_of(model), network_of(model, {name: TOYS[name] for name in order}, seed=1)
    for own, from_ in ((other.encoders, network.encoders), (other.decoders, network.decoders)):
        for name in NAMES:
            own.of(name).load_state_dict(from_.of(name).state_dict())
    rows, noise = torch.tensor([3, 0, 5, 1, 4, 2]), randn(3, B, D, seed=2)
    moved = noise[[NAMES.index(name) for name in order]][:, rows]
    assert_equal(other(rows_of(order=order, rows=rows), 0.4, noise=moved)[0], network(rows_of(), 0.4, noise=noise)[0])


def test_a_row_with_nothing_adds_nothing():
    network, noise = network_of(MMVM(latent_dim=D)), randn(3, B, D)
    some = PRESENT.any(1).nonzero().squeeze(1)
    assert_equal(network(rows_of().take(some), noise=noise[:, some])[0], network(rows_of(), noise=noise)[0])


def test_one_modality_is_refused():
    with pytest.raises(UserError, match=r"mmvm joins two modalities or more.*use vae"):
        network_of(MMVM(latent_dim=D), {"a": TOYS["a"]})
