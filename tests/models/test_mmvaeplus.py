"""The MMVAE+ and the CMVAE against explicit loops in float64; the gradient DReG; clusters."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from mmtoolkit import CMVAE, MMVAEPlus, UserError
from mmtoolkit.models.cmvae import pruned, votes
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


def plus(**options) -> object:
    """An MMVAE+ whose auxiliary priors have scales of their own."""
    network = network_of(MMVAEPlus(**SIZES, **options))
    network.logscales.data = 0.5 * randn(3, P, seed=11)
    return network


def log_prior(network, z: Tensor) -> Tensor:
    """Log p(shared part): normal, or the mixture of a CMVAE."""
    if not isinstance(network.prior, torch.nn.Module) or not hasattr(network, "mixture"):
        return log_density(STANDARD, z)
    m = network.mixture
    return torch.stack(
        [
            log_weight + Normal(mean, (logvar / 2).exp()).log_prob(z).sum()
            for log_weight, mean, logvar in zip(m.logits.log_softmax(0), m.means, m.logvars, strict=True)
        ]
    ).logsumexp(0)


def loop(network, batch, visible, beta: float, noise: Tensor) -> Tensor:
    """The loss; noise (terms, K, B, D)."""
    total, rows = torch.zeros(()).double(), 0
    for row in range(batch.size):
        experts = experts_of(network, visible, row)
        rows += bool(experts)
        for name, expert in experts.items():
            logs = []
            for draw in range(noise.shape[1]):
                own = noise[NAMES.index(name), draw, row]
                z, w = drawn(shared_of(expert), own[:S]), drawn(own_of(expert), own[columns(name)])
                log_q = log_mean([log_density(shared_of(other), z) for other in experts.values()])
                ratio = log_prior(network, z) - log_q
                ratio = ratio + log_density(STANDARD, w) - log_density(own_of(expert), w)
                log_w = beta * ratio
                for other in has(batch, row):
                    auxiliary = network.logscales[NAMES.index(other)].exp() * own[columns(other)]
                    v = w if other == name else auxiliary
                    log_w = log_w + log_p(network, batch, row, other, torch.cat([z, v]))
                logs.append(log_w)
            term = log_mean(logs)
            if len(logs) == 1:  # what has a closed form is not estimated
                closed = kl(own_of(expert)) + log_density(STANDARD, w) - log_density(own_of(expert), w)
                if not hasattr(network, "mixture"):
                    q = shared_of(expert)
                    closed = closed + kl(q) + log_density(STANDARD, z) - log_density(q, z)
                term = term - beta * closed
            total = total + term / len(experts)
    return -total / max(rows, 1)


@EXAMPLES
@given(present=bools(5, 3), beta=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_loss_is_a_loop(present, beta):
    network, batch, noise = plus(), rows_of(present), randn(3, 5, D, seed=7)
    loss, parts = network(batch, beta, noise=noise)
    assert_equal(loss, loop(network, batch, batch, beta, noise.unsqueeze(1)))
    rebuilt = beta * parts["KL"] - sum(TOYS[name].weight * parts[f"log p({name})"] for name in NAMES)
    assert_equal(rebuilt, loss.detach())


@pytest.mark.parametrize("gradient", ["standard", "dreg"])
@pytest.mark.parametrize("hides", [False, True])
def test_the_loss_of_several_draws_is_a_loop(gradient, hides):
    network, batch, noise = plus(draws=4, gradient=gradient), rows_of(), randn(3, 4, B, D, seed=7)
    visible = batch.where(VISIBLE) if hides else batch
    loss, _ = network(batch, 0.6, noise=noise, visible=visible if hides else None)
    assert_equal(loss, loop(network, batch, visible, 0.6, noise))


def mean_gradients(network, beta: float, repeats: int = 500, times: int = 24) -> dict[str, tuple[Tensor, Tensor]]:
    """The gradients of each parameter over many draws for three rows: their mean, and its standard error."""
    rows = torch.arange(3).repeat(repeats)
    many = rows_of(rows=rows)
    actual: dict[str, list[Tensor]] = {}
    for seed in range(times):
        network.zero_grad()
        noise = randn(3, network.draws, len(rows), D, seed=seed)
        network(many, beta, noise=noise)[0].backward()
        for name, parameter in network.named_parameters():
            actual.setdefault(name, []).append(parameter.grad.clone())
    stacked = {name: torch.stack(each) for name, each in actual.items()}
    return {name: (each.mean(0), each.std(0) / times**0.5) for name, each in stacked.items()}


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_dreg_is_unbiased_for_encoders_decoders_and_auxiliary_priors(beta):
    standard = mean_gradients(plus(draws=3), beta)
    dreg = mean_gradients(plus(draws=3, gradient="dreg"), beta)
    for name, (mean, error) in standard.items():
        other, other_error = dreg[name]
        off = (mean - other).abs() / (error.square() + other_error.square()).sqrt().clamp(min=1e-12)
        assert off.max() < 5, name
    mean, error = standard["logscales"]
    assert (mean.abs() > 8 * error).any()  # the test could see a bias


@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"], []])
def test_the_posterior_mixes_the_given_and_has_the_prior_in_other_private_parts(asked):
    network, batch, z = plus(), rows_of(), randn(4, B, D, seed=3)
    q = network.infer(batch, asked)
    for row in range(B):
        experts = {name: q for name, q in experts_of(network, batch, row).items() if name in asked}
        parts = [shared_of(expert) for expert in experts.values()] or [Normal(torch.zeros(S).double(), 1.0)]
        expected = log_mean([log_density(part, z[:, row, :S]) for part in parts])
        for name in NAMES:
            own = own_of(experts[name]) if name in experts else STANDARD
            expected = expected + log_density(own, z[:, row, columns(name)])
        assert_equal(q.log_prob(z)[:, row], expected)


def test_private_parts_of_what_is_not_given_have_no_divergence():
    network, batch, noise = plus(), rows_of(), randn(B, D)
    others = [name for name in NAMES if name != "c"]
    q = network.infer(batch, ["c"])
    assert_equal(q.rsample(noise)[:, S : S + 2 * P], noise[:, S : S + 2 * P])
    alone = sum(kl(shared_of(e)) + kl(own_of(e)) for e in [experts_of(network, batch, 0)["c"]])
    assert_equal(network.prior.kl(q, noise)[0], alone)
    assert others == ["a", "b"]


@pytest.mark.parametrize("order", ["cab", "bca"])
@pytest.mark.parametrize("model", [MMVAEPlus(**SIZES, draws=2), CMVAE(**SIZES, clusters=3, draws=2)])
def test_the_order_of_modalities_and_rows_changes_nothing(model, order):
    network, other = network_of(model), network_of(model, {name: TOYS[name] for name in order}, seed=1)
    places = [NAMES.index(name) for name in order]
    for own, from_ in ((other.encoders, network.encoders), (other.decoders, network.decoders)):
        for name in NAMES:
            own.of(name).load_state_dict(from_.of(name).state_dict())
    other.prior.load_state_dict(network.prior.state_dict())
    network.logscales.data = randn(3, P, seed=11)
    other.logscales.data = network.logscales[places].detach()
    rows = torch.tensor([3, 0, 5, 1, 4, 2])
    noise = randn(3, 2, B, D, seed=2)
    moved = torch.cat([noise[..., :S], *(noise[..., columns(name)] for name in order)], dim=-1)[places][:, :, rows]
    assert_equal(other(rows_of(order=order, rows=rows), 0.4, noise=moved)[0], network(rows_of(), 0.4, noise=noise)[0])


@pytest.mark.parametrize("model", [MMVAEPlus, CMVAE])
def test_one_modality_is_refused(model):
    with pytest.raises(UserError, match=r"joins two modalities or more.*use vae"):
        network_of(model(**SIZES), {"a": TOYS["a"]})


# CMVAE.


def cmvae(clusters: int = 3, **options):
    network = network_of(CMVAE(**SIZES, clusters=clusters, **options))
    network.logscales.data = 0.5 * randn(3, P, seed=11)
    mixture = network.mixture
    mixture.means.data, mixture.logvars.data = 2 * randn(clusters, S, seed=5), 0.5 * randn(clusters, S, seed=6)
    if clusters > 1:
        mixture.logits.data = randn(clusters, seed=7)
    return network


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("hides", [False, True])
def test_the_loss_of_a_cmvae_is_a_loop(draws, hides):
    network, batch, noise = cmvae(draws=draws), rows_of(), randn(3, draws, B, D, seed=7)
    visible = batch.where(VISIBLE) if hides else batch
    loss, _ = network(batch, 0.6, noise=noise if draws > 1 else noise[:, 0], visible=visible if hides else None)
    assert_equal(loss, loop(network, batch, visible, 0.6, noise))


def test_the_expectation_over_clusters_in_the_paper_is_the_mixture():
    network, z = cmvae(), randn(5, S)
    m = network.mixture
    joint = m.logits.log_softmax(0) + Normal(m.means, (m.logvars / 2).exp()).log_prob(z.unsqueeze(1)).sum(-1)
    q = joint.softmax(1)  # p(c | z)
    assert_equal((q * (joint - q.log())).sum(1), m.log_prob(z))


def test_with_one_standard_cluster_it_is_the_mmvae_plus():
    one, other = cmvae(1, draws=3), plus(draws=3)
    one.mixture.means.data.zero_()
    one.mixture.logvars.data.zero_()
    for name in NAMES:
        one.encoders.of(name).load_state_dict(other.encoders.of(name).state_dict())
        one.decoders.of(name).load_state_dict(other.decoders.of(name).state_dict())
    batch, noise = rows_of(), randn(3, 3, B, D)
    assert_equal(one(batch, 0.7, noise=noise), other(batch, 0.7, noise=noise))
    assert_equal(one.bound(batch, noise[0, 0]).shape, other.bound(batch, noise[0, 0]).shape)
    one.end([batch])  # there is nothing to drop
    assert one.mixture.weights.tolist() == [1.0]


def separate(clusters: int, of: int, each: int = 50) -> tuple[Tensor, Tensor]:
    """log p(z | c) of experts in `of` groups far apart, two a row; the first clusters are the groups."""
    generator = torch.Generator().manual_seed(0)
    means = 30 * torch.eye(clusters, 8, dtype=torch.float64)
    group = torch.arange(of).repeat_interleave(2 * each)
    z = means[group] + torch.randn(len(group), 8, generator=generator, dtype=torch.float64)
    # A cluster without rows has nearly the mean of the first group.
    means[of:] = means[0] + 0.05 * torch.randn(clusters - of, 8, generator=generator, dtype=torch.float64)
    log_densities = Normal(means, 1.0).log_prob(z.unsqueeze(1)).sum(-1)
    return log_densities, torch.arange(len(group)) // 2


@pytest.mark.parametrize("of", [2, 3, 5])
def test_pruning_finds_the_clusters_that_rows_are_in(of):
    log_densities, rows = separate(8, of)
    logits = torch.zeros(8).double()
    logits[of:] = -1.0  # redundant copies of the first, which they split
    left = pruned(logits, log_densities, rows, 8).isfinite()
    groups = [int(left[0]) + int(left[of:].sum()), *left[1:of].int().tolist()]
    assert groups == [1] * of  # each group keeps one cluster


def test_pruning_by_a_loop_over_experts():
    log_densities, rows = 3 * randn(20, 4, seed=1), torch.arange(20) // 2
    logits = randn(4, seed=2)
    best, least, alive = None, math.inf, [0, 1, 2, 3]
    while len(alive) > 1:
        total, members = 0.0, dict.fromkeys(alive, 0)
        log_weights = dict(zip(alive, logits[alive].log_softmax(0), strict=True))
        ballots: dict[int, list[tuple[int, dict[int, float]]]] = {}
        for expert in range(20):
            joint = {c: float(log_weights[c] + log_densities[expert, c]) for c in alive}
            log_p_z = math.log(sum(math.exp(x) for x in joint.values()))
            share = {c: math.exp(x - log_p_z) for c, x in joint.items()}
            entropy = -sum(p * math.log(p) for p in share.values())
            total += entropy / math.log(len(alive)) - log_p_z / 8
            ballots.setdefault(int(rows[expert]), []).append((max(alive, key=lambda c: share[c]), share))
        for each in ballots.values():
            score = {
                c: sum(c == vote for vote, _ in each) + 0.5 * sum(s[c] for _, s in each) / len(each) for c in alive
            }
            members[max(alive, key=lambda c: score[c])] += 1
        if total / 20 < least:
            best, least = list(alive), total / 20
        alive.remove(min(alive, key=lambda c: members[c]))
    left = pruned(logits, log_densities, rows, 8)
    assert left.isfinite().nonzero().squeeze(1).tolist() == best
    assert_equal(left[best], logits[best])


def test_pruned_networks_draw_infer_and_cluster_without_the_dropped():
    network, batch = cmvae(4), rows_of()
    network.end([batch, batch])
    weights = network.mixture.weights
    dropped = (weights == 0).nonzero().squeeze(1).tolist()
    assert len(dropped) in (0, 1, 2)
    network.mixture.logits.data[0] = -torch.inf
    assert not network.mixture.weights[0]
    z = network.prior.sample(randn(2000, D))
    assert z.isfinite().all()
    assert network.prior.log_prob(z).isfinite().all()
    assert network.bound(batch, randn(B, D)).isfinite().all()
    clusters = network.clusters(batch)
    assert clusters[4] == -1  # nothing is known of the row
    assert (clusters[PRESENT.any(1)] > 0).all()
    untouched = network_of(CMVAE(**SIZES, clusters=4, prune=False))
    untouched.end([batch])
    assert untouched.mixture.logits.isfinite().all()


def test_a_majority_decides_the_cluster_of_a_row_and_the_mean_share_a_tie():
    log_shares = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.01, 0.99], [0.55, 0.45], [0.1, 0.9]]).double().log()
    scores = votes(torch.zeros(2).double(), log_shares, torch.tensor([0, 0, 0, 1, 1]), 3)
    assert scores.argmax(1).tolist()[:2] == [0, 1]
    assert not scores[2].any()
