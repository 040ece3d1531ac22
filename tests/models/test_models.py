"""What VAE, CVAE, BiVCCA and JMVAE have in common, against slow explicit sums over rows."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from mmtoolkit.models import CVAE, JMVAE, VAE
from model_cases import (
    EVERY,
    NORMALISED,
    TOYS,
    B,
    D,
    assert_close,
    case,
    gradients,
    network_of,
    presence,
)
from toys import EXAMPLES, batch_of, bools, randn

# The same mathematics, a row at a time.


def normal(features):
    mean, logvar = features[0].chunk(2)
    return Normal(mean, (logvar / 2).exp())


def told(network, values, present, row):
    """What a CVAE's networks are told of one row: its given numbers side by side, zeros for what it lacks."""
    parts = []
    for name in network.given:
        x = values[name][row : row + 1].reshape(1, -1).float().double()
        parts.append(x if present[row, list(values).index(name)] else torch.zeros_like(x))
    return torch.cat(parts, dim=1)


def explicit_posterior(network, values, present, row, given):
    """q(z | given) of one row that has what is given, one of the supported sets or nothing."""
    x = {name: value[row : row + 1] for name, value in values.items()}
    if hasattr(network, "target"):
        if network.target not in given:
            return Normal(torch.zeros(D).double(), 1.0)
        return normal(network.encoders[0](x[network.target], told(network, values, present, row)))
    if len(given) > 1:
        joint = network.joint[network.sets.index(frozenset(given))]
        members = [name for name in values if name in given]
        read = [branch(x[name]) for branch, name in zip(joint.branches, members, strict=True)]
        return normal(joint.dense(torch.cat(read, dim=1)))
    if not given:
        return Normal(torch.zeros(D).double(), 1.0)
    (name,) = given
    return normal(network.encoders.of(name)(x[name]))


def explicit_log_prob(network, values, present, row, name, z):
    z = z.unsqueeze(0)
    if hasattr(network, "target"):
        z = torch.cat([z, told(network, values, present, row)], dim=1)
    return network.decoders.of(name)(z).log_prob(values[name][row : row + 1])[0]


def explicit_kl(q):
    return kl_divergence(q, Normal(0.0, 1.0)).sum()


def explicit_terms(model, network, values, present, row):
    """The terms of one row: the set that z is inferred from, its weight, and what its noise is."""
    names = list(values)
    has = {name for name, there in zip(names, present[row].tolist(), strict=True) if there}
    if isinstance(model, VAE):
        return [(frozenset([network.name]), 1.0, 0)] if network.name in has else []
    if isinstance(model, CVAE):
        needed = frozenset([network.target, *network.given])
        return [(needed, 1.0, 0)] if needed <= has else []
    if isinstance(model, JMVAE):
        return [(frozenset(names), 1.0, 0)] if has == set(names) else []
    weights = {names[0]: model.mu, names[1]: 1 - model.mu}
    return [(frozenset([n]), weights[n] if len(has) == 2 else 1.0, names.index(n)) for n in names if n in has]


def explicit_targets(network, values, present, row):
    there = dict(zip(values, present[row].tolist(), strict=True))
    return [name for name in network.targets if there[name]]


def explicit_loss(model, network, values, present, noise, beta=1.0):
    """The loss and its parts, by a loop over rows."""
    rows, loss, parts = 0, torch.zeros(()).double(), {}

    def add(part, value):
        parts[part] = parts.get(part, 0.0) + value
        return value

    for row in range(len(present)):
        terms = explicit_terms(model, network, values, present, row)
        rows += bool(terms)
        for members, weight, place in terms:
            q = explicit_posterior(network, values, present, row, members)
            z = q.mean + q.stddev * noise[place, row]
            loss = loss + beta * add("KL", weight * explicit_kl(q))
            for name in explicit_targets(network, values, present, row):
                scored = weight * explicit_log_prob(network, values, present, row, name, z)
                loss = loss - network.modalities[name].weight * add(f"log p({name})", scored)
            if isinstance(model, JMVAE):
                alone = [frozenset([name]) for name in values]
                for subset in [frozenset(listed) for listed in model.subsets] + alone:
                    apart = kl_divergence(q, explicit_posterior(network, values, present, row, subset)).sum()
                    names = [name for name in values if name in subset]
                    named = f"KL(joint, {names[0]})" if len(names) == 1 else f"KL(joint; {names})"
                    loss = loss + model.alpha * add(named, apart)
    rows = max(rows, 1)
    return loss / rows, {name: torch.as_tensor(part).detach() / rows for name, part in parts.items()}


@EVERY
@EXAMPLES
@given(present=bools(B, 3), beta=st.floats(0, 4))
def test_loss_and_parts_equal_an_explicit_sum_over_rows(model, present, beta):
    (network, values, noise), present = case(model), presence(model, present)
    loss, parts = network(batch_of(values, present), beta, noise=noise)
    expected, expected_parts = explicit_loss(model, network, values, present, noise, beta)
    assert_close(loss, expected)
    assert {f"log p({name})" for name in network.targets} | {"KL"} <= parts.keys()
    assert expected_parts.keys() <= parts.keys()
    for name, part in parts.items():
        assert_close(part, expected_parts.get(name, torch.zeros(()).double()))
        assert not part.requires_grad


@EVERY
def test_gradients_equal_those_of_the_explicit_sum(model):
    (network, values, noise), present = case(model), presence(model)
    slow = gradients(network, explicit_loss(model, network, values, present, noise, 0.3)[0])
    fast = gradients(network, network(batch_of(values, present), 0.3, noise=noise)[0])
    assert slow.keys() == fast.keys() == dict(network.named_parameters()).keys()
    for name, gradient in slow.items():
        assert gradient.abs().max() > 0, name
        assert_close(fast[name], gradient)


@pytest.mark.slow
@EVERY
@EXAMPLES
@given(present=bools(B, 3), order=st.permutations(range(B)))
def test_the_order_of_rows_does_not_matter(model, present, order):
    (network, values, noise), present = case(model), presence(model, present)
    loss, _ = network(batch_of(values, present), 0.3, noise=noise)
    permuted = batch_of({name: value[order] for name, value in values.items()}, present[order])
    assert_close(network(permuted, 0.3, noise=noise[:, order])[0], loss)


@EVERY
@pytest.mark.parametrize("modalities", [TOYS, NORMALISED], ids=["plain", "batch normalisation"])
def test_what_stands_in_missing_cells_changes_no_bit(model, modalities):
    values, noise = case(model, modalities)[1:]
    present = presence(model)

    def step(number, place):
        network, filled = network_of(model, modalities), {}
        for m, (name, value) in enumerate(values.items()):
            absent = ~present[:, m].reshape(-1, *[1] * (value.ndim - 1))
            filled[name] = value.masked_fill(absent, number if value.is_floating_point() else place)
        batch = batch_of(filled, present)
        loss, parts = network(batch, 0.3, noise=noise)
        found = {"loss": loss, **parts, **gradients(network, loss)}
        network.eval()
        for members in network.subsets():
            found[f"mean given {sorted(members)}"] = network.infer(batch, members).mean
        found.update(network.log_prob(randn(2 * B, D), batch, network.targets))
        return {**found, "bound": network.bound(batch, noise[0]), **dict(network.named_buffers())}

    clean = step(0.0, 0)
    assert all(tensor.isfinite().all() for tensor in clean.values())
    for garbage in ((7.5, 1), (math.nan, -1), (math.inf, 2**62), (-math.inf, -(2**62))):
        dirty = step(*garbage)
        assert clean.keys() == dirty.keys()
        for name, tensor in clean.items():
            assert torch.equal(dirty[name], tensor), (name, garbage)


@EVERY
def test_rows_that_are_not_usable_do_not_count(model):
    (network, values, noise), present = case(model), presence(model)
    usable = network.usable(present)
    assert not usable.all()
    loss, parts = network(batch_of(values, present), 0.3, noise=noise)
    fewer = batch_of({name: value[usable] for name, value in values.items()}, present[usable])
    expected, expected_parts = network(fewer, 0.3, noise=noise[:, usable])
    assert_close(loss, expected)
    assert_close(parts, expected_parts)


@EVERY
def test_a_batch_without_a_usable_row_has_a_loss_of_zero_that_needs_no_gradient(model):
    (network, values, noise), present = case(model), presence(model)
    _, usual = network(batch_of(values, present), 1.0, noise=noise)
    unusable = presence(model, present) & ~network.usable(present).unsqueeze(1)
    unusable[unusable.all(1)] = False
    assert not network.usable(unusable).any()
    for empty in (unusable, torch.zeros_like(present)):
        loss, parts = network(batch_of(values, empty), 1.0, noise=noise)
        assert not loss.requires_grad
        assert loss.dtype == torch.float64
        assert loss.shape == ()
        assert loss == 0
        assert list(parts) == list(usual)
        assert all(part == 0 and part.shape == () for part in parts.values())


@EVERY
def test_noise_is_drawn_where_none_is_given(model):
    (network, values, noise), present = case(model), presence(model)
    batch = batch_of(values, present)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn, _ = network(batch)
        torch.manual_seed(1)
        expected = torch.randn(noise.shape)
    assert torch.equal(network(batch, 1.0, None, expected)[0], drawn)


def supported(network, values, present, row, given):
    """The largest supported part of the given that a row has, the first in schema order among those as large."""
    names = list(values)
    has = {name for m, name in enumerate(names) if present[row, m] and name in given}
    parts = [subset for subset in network.subsets() if subset <= has]
    return min(parts, key=lambda s: (-len(s), sorted(map(names.index, s))), default=frozenset())


@pytest.mark.slow
@EVERY
@EXAMPLES
@given(present=bools(B, 3), data=st.data())
def test_infer_uses_the_largest_supported_set_that_a_row_has(model, present, data):
    (network, values, _), present = case(model), presence(model, present)
    given = data.draw(st.sampled_from(network.subsets()))
    q = network.infer(batch_of(values, present), given)
    assert q.mean.shape == q.logvar.shape == (B, D)
    for row in range(B):
        chosen = supported(network, values, present, row, given)
        expected = explicit_posterior(network, values, present, row, chosen)
        assert_close(q.mean[row], expected.mean.expand(D))
        assert_close(q.variance[row], expected.variance.expand(D))


@EVERY
def test_infer_from_nothing_is_exactly_the_prior(model):
    network, values, _ = case(model)
    q = network.infer(batch_of(values, presence(model)), ())
    assert q.mean.shape == q.logvar.shape == (B, D)
    assert q.mean.dtype == q.logvar.dtype == torch.float64
    assert not q.mean.any()
    assert not q.logvar.any()


@EVERY
@EXAMPLES
@given(present=bools(B, 3))
def test_bound_equals_an_explicit_sum_with_no_weights(model, present):
    (network, values, noise), present = case(model), presence(model, present)
    noise = noise[0]
    bound = network.bound(batch_of(values, present), noise)
    assert bound.shape == (B,)
    usable = network.usable(present)
    for row in range(B):
        terms = explicit_terms(model, network, values, present, row)
        assert usable[row] == bool(terms)
        total = torch.zeros(()).double()
        for members, weight, _ in terms:
            q = explicit_posterior(network, values, present, row, members)
            z = q.mean + q.stddev * noise[row]
            targets = explicit_targets(network, values, present, row)
            log_probs = [explicit_log_prob(network, values, present, row, name, z) for name in targets]
            total = total + weight * (sum(log_probs) - explicit_kl(q))
        if terms:
            assert_close(bound[row], total)


@pytest.mark.slow
@EVERY
@EXAMPLES
@given(present=bools(B, 3))
def test_log_prob_is_draw_major_and_zero_where_absent(model, present):
    (network, values, _), present, draws = case(model), presence(model, present), 3
    z = randn(draws * B, D)
    log_probs = network.log_prob(z, batch_of(values, present), list(values))
    there = present.any(0).tolist()
    assert set(log_probs) == {n for n, any_row in zip(values, there, strict=True) if any_row and n in network.targets}
    for name, log_prob in log_probs.items():
        m = list(values).index(name)
        for j in range(draws * B):
            row, expected = j % B, torch.zeros(()).double()
            if present[row, m]:
                expected = explicit_log_prob(network, values, present, row, name, z[j])
            assert_close(log_prob[j], expected)
