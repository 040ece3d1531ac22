"""The DMVAE against an explicit loop over rows, sets and draws in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from facts import assert_facts
from mmtoolkit import DMVAE, VAE, UserError, parse_schema
from mmtoolkit.priors import LaplacePrior
from private_cases import (
    NAMES,
    PRESENT,
    SIZES,
    STANDARD,
    TOYS,
    VISIBLE,
    B,
    D,
    P,
    S,
    assert_equal,
    columns,
    drawn,
    experts_of,
    has,
    kl,
    log_density,
    log_mean,
    log_p,
    network_of,
    own_of,
    rows_of,
    shared_of,
)
from toys import EXAMPLES, bools, randn


def pooled(experts: list[Normal]) -> Normal:
    """One expert as it is, several with the prior."""
    if len(experts) == 1:
        return experts[0]
    precision = 1 + sum(1 / q.variance for q in experts)
    return Normal(sum(q.mean / q.variance for q in experts) / precision, precision**-0.5)


def loop(network, batch, visible, beta: float, noise: Tensor) -> Tensor:
    """The loss; noise (terms, K, B, D)."""
    total, rows = torch.zeros(()).double(), 0
    for row in range(batch.size):
        experts = experts_of(network, visible, row)
        if not experts:
            continue
        rows += 1
        sets = [(0, list(experts))]
        if len(experts) > 1:
            sets += [(1 + NAMES.index(name), [name]) for name in experts]
        for term, members in sets:
            q = pooled([shared_of(experts[name]) for name in members])
            logs = []
            for draw in range(noise.shape[1]):
                own = noise[term, draw, row]
                z = drawn(q, own[:S])
                log_w = beta * (log_density(STANDARD, z) - log_density(q, z))
                for name in has(batch, row):
                    w = own[columns(name)]
                    if name in experts:
                        private = own_of(experts[name])
                        w = drawn(private, w)
                        log_w = log_w + beta * (log_density(STANDARD, w) - log_density(private, w))
                    log_w = log_w + log_p(network, batch, row, name, torch.cat([z, w]))
                logs.append(log_w)
            if len(logs) > 1:
                total = total + log_mean(logs)
                continue
            # One draw: the divergences in closed form.
            estimate = log_density(q, z) - log_density(STANDARD, z)
            exact = kl(q)
            for name in experts:
                private = own_of(experts[name])
                w = drawn(private, own[columns(name)])
                estimate = estimate + log_density(private, w) - log_density(STANDARD, w)
                exact = exact + kl(private)
            total = total + logs[0] + beta * (estimate - exact)
    return -total / max(rows, 1)


@EXAMPLES
@given(present=bools(5, 3), beta=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_loss_is_a_loop(present, beta):
    network, batch, noise = network_of(DMVAE(**SIZES)), rows_of(present), randn(4, 5, D, seed=7)
    loss, parts = network(batch, beta, noise=noise)
    assert_equal(loss, loop(network, batch, batch, beta, noise.unsqueeze(1)))
    assert list(parts) == ["log p(a)", "log p(b)", "log p(c)", "KL"]
    rebuilt = beta * parts["KL"] - sum(TOYS[name].weight * parts[f"log p({name})"] for name in NAMES)
    assert_equal(rebuilt, loss.detach())


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("hides", [False, True])
def test_the_loss_is_a_loop_with_several_draws_and_with_hiding(draws, hides):
    network, batch = network_of(DMVAE(**SIZES, draws=draws)), rows_of()
    visible = batch.where(VISIBLE) if hides else batch
    noise = randn(4, draws, B, D, seed=7)
    loss, _ = network(batch, 0.7, noise=noise if draws > 1 else noise[:, 0], visible=visible if hides else None)
    assert_equal(loss, loop(network, batch, visible, 0.7, noise))


def test_the_bound_is_that_of_all_that_is_visible():
    network, batch, noise = network_of(DMVAE(**SIZES)), rows_of(), randn(B, D, seed=3)
    visible = batch.where(VISIBLE)
    bound = network.bound(batch, noise, visible)
    for row in range(B):
        experts = experts_of(network, visible, row)
        if not experts:
            continue
        q = pooled([shared_of(expert) for expert in experts.values()])
        expected = -kl(q) - sum(kl(own_of(expert)) for expert in experts.values())
        for name in has(batch, row):
            w = noise[row, columns(name)]
            w = drawn(own_of(experts[name]), w) if name in experts else w
            z = torch.cat([drawn(q, noise[row, :S]), w])
            expected = expected + log_p(network, batch, row, name, z) / TOYS[name].weight
        assert_equal(bound[row], expected)


@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"], []])
def test_the_posterior_has_the_prior_in_the_private_parts_of_what_is_not_given(asked):
    network, batch, noise = network_of(DMVAE(**SIZES)), rows_of(), randn(B, D, seed=3)
    q = network.infer(batch, asked)
    divergence = q.kl(noise)
    for row in range(B):
        experts = {name: q for name, q in experts_of(network, batch, row).items() if name in asked}
        shared = pooled([shared_of(expert) for expert in experts.values()] or [Normal(torch.zeros(S).double(), 1.0)])
        assert_equal(q.mean[row, :S], shared.mean)
        assert_equal(q.variance[row, :S], shared.variance)
        for name in NAMES:
            own, mean, variance = columns(name), torch.zeros(P).double(), torch.ones(P).double()
            if name in experts:
                mean, variance = own_of(experts[name]).mean, own_of(experts[name]).variance
            assert_equal(q.mean[row, own], mean)
            assert_equal(q.variance[row, own], variance)
        assert_equal(divergence[row], kl(shared) + sum(kl(own_of(expert)) for expert in experts.values()))


def test_rows_with_one_modality_are_those_of_a_vae_with_as_many_latent_variables():
    network, vae = network_of(DMVAE(**SIZES)), network_of(VAE(latent_dim=S + P, modality="c"))
    for own, other in ((vae.encoders, network.encoders), (vae.decoders, network.decoders)):
        own.of("c").load_state_dict(other.of("c").state_dict())
    batch, noise = rows_of().only({"c"}), randn(4, B, D, seed=2)
    loss, _ = network(batch, 0.6, noise=noise)
    expected, _ = vae(batch, 0.6, noise=torch.cat([noise[:1, :, :S], noise[:1, :, columns("c")]], dim=-1))
    assert_equal(loss, expected)


def test_another_prior_is_that_of_the_shared_part_alone():
    network, batch, noise = network_of(DMVAE(**SIZES, prior=LaplacePrior(), draws=2)), rows_of(), randn(4, 2, B, D)
    z = randn(5, D)
    laplace = torch.distributions.Laplace(0.0, 1.0).log_prob(z[:, :S]).sum(1)
    torch.testing.assert_close(network.prior.log_prob(z), laplace + log_density(STANDARD, z[:, S:]), rtol=1e-8, atol=0)
    q = network.infer_all(batch)
    assert_equal(q.mean[4], torch.zeros(D).double())
    assert_equal(q.variance[4, :S], torch.full((S,), 2.0).double())  # a row with nothing has this prior
    assert network(batch, noise=noise)[0].isfinite()


def test_one_modality_is_refused():
    with pytest.raises(UserError, match=r"model: dmvae joins two modalities or more.*use vae"):
        network_of(DMVAE(**SIZES), {"a": TOYS["a"]})


def test_a_row_with_nothing_adds_nothing():
    network, noise = network_of(DMVAE(**SIZES)), randn(4, B, D)
    some = PRESENT.any(1).nonzero().squeeze(1)
    loss, _ = network(rows_of(), noise=noise)
    assert_equal(network(rows_of().take(some), noise=noise[:, some])[0], loss)


def test_a_model_without_private_latent_variables_refuses_them_by_name():
    modalities = {"size": {"kind": "numeric"}, "sort": {"kind": "label"}}
    schema = {"name": "x", "data": {"kind": "table", "path": "x.csv"}, "modalities": modalities}
    with pytest.raises(UserError) as raised:
        parse_schema({**schema, "model": {"kind": "mvae", "private_dim": 3}})
    assert_facts(str(raised.value), "model.private_dim: ", "mvae has no private latent variables", "; ", "mmvaeplus")
    assert parse_schema({**schema, "model": {"kind": "dmvae", "private_dim": 3}}).model.private_dim == 3
