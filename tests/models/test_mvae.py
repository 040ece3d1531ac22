import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from mmtoolkit import parse_schema
from mmtoolkit.base.errors import UserError
from mmtoolkit.core.subsets import draw_subsets
from mmtoolkit.models import MVAE
from mmtoolkit.models.mvae import SubsetOptions
from toys import EXAMPLES, Category, Vector, batch_of, bools, randn, seeded, some_values

B, D = 5, 3
TOYS = {
    "a": Vector(size=2),
    "b": Category(classes=3, weight=10.0),
    "c": Vector(size=3, weight=0.5),
    "d": Category(classes=4, weight=2.0),
}
M = len(TOYS)
# A row with everything, rows with three, two and one, and a row with nothing.
PRESENT = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]) > 0
# The second and the third are the same cut in the row that lacks b.
SUBSETS = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 0]]) > 0


def network_of(modalities=TOYS, k=0, sampling="uniform", seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        options = SubsetOptions(k=k, sampling=sampling)
        return MVAE(latent_dim=D, subsets=options).build(modalities).double()


def noise_for(k, m=M, b=B):
    return randn(1 + m + k, b, D, seed=4)


def gradients(network, loss):
    network.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in network.named_parameters()}


def explicit_posterior(network, values, row, members):
    """q(z | the members of one row) as a torch distribution, expert by expert."""
    precision, weighted = torch.ones(D).double(), torch.zeros(D).double()
    for i in members:
        x = list(values.values())[i][row : row + 1]
        mean, logvar = network.encoders[i](x)[0].chunk(2)
        precision = precision + 1 / logvar.exp()
        weighted = weighted + mean / logvar.exp()
    return Normal(weighted / precision, precision**-0.5)


def explicit_log_prob(network, values, row, i, z):
    x = list(values.values())[i][row : row + 1]
    return network.decoders[i](z.unsqueeze(0)).log_prob(x)[0]


def explicit_kl(q):
    return kl_divergence(q, Normal(0.0, 1.0)).sum()


def explicit_loss(network, values, present, subsets, noise, beta=1.0):
    """The loss and its parts, by a loop over rows and over the distinct subsets of each."""
    m, zero = present.shape[1], torch.zeros(()).double()
    kl, log_probs, rows = zero, [zero] * m, 0
    for row in range(len(present)):
        has = frozenset(present[row].nonzero().flatten().tolist())
        alone = [has & {i} for i in range(m)]
        cuts = [has & set(subset.nonzero().flatten().tolist()) for subset in subsets]
        noise_of = {}
        for place, members in enumerate([has, *alone, *cuts]):
            if members:
                noise_of.setdefault(members, noise[place, row])
        for members, epsilon in noise_of.items():
            q = explicit_posterior(network, values, row, members)
            z = q.mean + q.stddev * epsilon
            kl = kl + explicit_kl(q)
            for i in members:
                log_probs[i] = log_probs[i] + explicit_log_prob(network, values, row, i, z)
        rows += bool(has)
    rows = max(rows, 1)
    weighted = sum(modality.weight * p for modality, p in zip(network.modalities.values(), log_probs, strict=True))
    parts = {f"log p({name})": p / rows for name, p in zip(network.modalities, log_probs, strict=True)}
    return (beta * kl - weighted) / rows, {**parts, "KL": kl / rows}


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("k", range(4))
@EXAMPLES
@given(present=bools(B, M), subsets=bools(3, M), beta=st.floats(0, 4))
def test_loss_and_parts_equal_an_explicit_sum_over_rows_and_distinct_subsets(k, present, subsets, beta):
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(k)
    loss, parts = network(batch_of(values, present), beta, subsets[:k], noise)
    expected, expected_parts = explicit_loss(network, values, present, subsets[:k], noise, beta)
    assert_close(loss, expected)
    assert list(parts) == list(expected_parts)
    for name, part in parts.items():
        assert_close(part, expected_parts[name].detach())
        assert not part.requires_grad


@pytest.mark.parametrize("k", range(4))
def test_gradients_equal_those_of_the_explicit_sum(k):
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(k)
    loss, _ = network(batch_of(values, PRESENT), 0.3, SUBSETS[:k], noise)
    fast = gradients(network, loss)
    slow = gradients(network, explicit_loss(network, values, PRESENT, SUBSETS[:k], noise, 0.3)[0])
    for name, gradient in slow.items():
        assert gradient.abs().max() > 0, name
        assert_close(fast[name], gradient)


@pytest.mark.parametrize("m", [40, 100])
def test_many_modalities_equal_the_explicit_sum_too(m):
    modalities = {f"m{i}": Vector(size=1) if i % 2 else Category() for i in range(m)}
    network, values = network_of(modalities), some_values(modalities, 3)
    present = torch.rand(3, m, generator=seeded()) < torch.tensor([[1.0], [0.5], [0.05]])
    subsets, noise = draw_subsets(m, 2, seeded()), noise_for(2, m, 3)
    loss, _ = network(batch_of(values, present), 1.0, subsets, noise)
    assert_close(loss, explicit_loss(network, values, present, subsets, noise)[0])
    assert all(gradient.isfinite().all() for gradient in gradients(network, loss).values())


@pytest.mark.parametrize("order", [[3, 1, 0, 2], [1, 2, 3, 0]])
def test_the_order_of_modalities_does_not_matter(order):
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(3)
    names = [list(TOYS)[i] for i in order]
    permuted = network_of({name: TOYS[name] for name in names})
    for place, i in enumerate(order):
        permuted.encoders[place].load_state_dict(network.encoders[i].state_dict())
        permuted.decoders[place].load_state_dict(network.decoders[i].state_dict())
    loss, parts = network(batch_of(values, PRESENT), 0.3, SUBSETS, noise)
    places = [0, *(1 + i for i in order), *range(1 + M, 4 + M)]
    batch = batch_of({name: values[name] for name in names}, PRESENT[:, order])
    other, other_parts = permuted(batch, 0.3, SUBSETS[:, order], noise[places])
    assert_close(other, loss)
    for name, part in parts.items():
        assert_close(other_parts[name], part)


@EXAMPLES
@given(bools(B, M), st.permutations(range(B)))
def test_the_order_of_rows_does_not_matter(present, order):
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(3)
    loss, _ = network(batch_of(values, present), 0.3, SUBSETS, noise)
    permuted = batch_of({name: value[order] for name, value in values.items()}, present[order])
    assert_close(network(permuted, 0.3, SUBSETS, noise[:, order])[0], loss)


def test_a_modality_missing_everywhere_is_as_if_the_schema_had_none():
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(3)
    present = PRESENT.clone()
    present[:, 1] = False
    rest = [0, 2, 3]
    smaller = network_of({name: TOYS[name] for name in "acd"})
    for place, i in enumerate(rest):
        smaller.encoders[place].load_state_dict(network.encoders[i].state_dict())
        smaller.decoders[place].load_state_dict(network.decoders[i].state_dict())
    loss, parts = network(batch_of(values, present), 0.3, SUBSETS, noise)
    without = batch_of({name: values[name] for name in "acd"}, present[:, rest])
    places = [0, *(1 + i for i in rest), *range(1 + M, 4 + M)]
    expected, expected_parts = smaller(without, 0.3, SUBSETS[:, rest], noise[places])
    assert_close(loss, expected)
    assert parts.pop("log p(b)") == 0
    assert parts.keys() == expected_parts.keys()


NORMALISED = {**TOYS, "a": Vector(size=2, normalise=True), "c": Vector(size=3, normalise=True)}


@pytest.mark.parametrize("garbage", [(7.5, 1), (math.nan, -1), (math.inf, 2**62), (-math.inf, -(2**62))])
@pytest.mark.parametrize("modalities", [TOYS, NORMALISED], ids=["plain", "batch normalisation"])
def test_what_stands_in_missing_cells_changes_no_bit(modalities, garbage):
    values, noise = some_values(modalities, B), noise_for(3)

    def step(filler):
        network, filled = network_of(modalities), {}
        for m, (name, value) in enumerate(values.items()):
            absent = ~PRESENT[:, m].reshape(-1, *[1] * (value.ndim - 1))
            filled[name] = value.masked_fill(absent, filler[0 if value.is_floating_point() else 1])
        batch = batch_of(filled, PRESENT)
        loss, parts = network(batch, 0.3, SUBSETS, noise)
        found = {"loss": loss, **parts, **gradients(network, loss)}
        network.eval()
        return {**found, "bound": network.bound(batch, noise[0]), **dict(network.named_buffers())}

    clean, dirty = step((0.0, 0)), step(garbage)
    for name, tensor in clean.items():
        assert torch.equal(dirty[name], tensor), name


def test_one_row_of_a_modality_trains_through_batch_normalisation_at_rest():
    network, present = network_of(NORMALISED), PRESENT.clone()
    present[1:, 0] = False
    before = copy.deepcopy(dict(network.encoders[0].named_buffers()))
    loss, _ = network(batch_of(some_values(NORMALISED, B), present), 1.0, SUBSETS, noise_for(3))
    loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in network.encoders[0].parameters())
    for name, buffer in network.encoders[0].named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert network.encoders[2][0].num_batches_tracked == 1


def test_a_modality_that_nobody_has_gets_no_gradient():
    network, present = network_of(), PRESENT.clone()
    present[:, 2] = False
    loss, _ = network(batch_of(some_values(TOYS, B), present), 1.0, SUBSETS, noise_for(3))
    unused = {id(p) for part in (network.encoders[2], network.decoders[2]) for p in part.parameters()}
    loss.backward()
    for name, p in network.named_parameters():
        assert (p.grad is None) == (id(p) in unused), name


def test_rows_with_nothing_do_not_count():
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(3)
    assert not PRESENT[4].any()
    loss, _ = network(batch_of(values, PRESENT), 0.3, SUBSETS, noise)
    fewer = batch_of({name: value[:4] for name, value in values.items()}, PRESENT[:4])
    assert_close(network(fewer, 0.3, SUBSETS, noise[:, :4])[0], loss)


def test_a_batch_of_rows_with_nothing_has_a_loss_of_zero_that_needs_no_gradient():
    nothing = batch_of(some_values(TOYS, B), torch.zeros(B, M, dtype=torch.bool))
    loss, parts = network_of()(nothing, 1.0, SUBSETS, noise_for(3))
    assert not loss.requires_grad
    assert loss.dtype == torch.float64
    assert loss == 0
    assert all(part == 0 for part in parts.values())


@pytest.mark.parametrize("sampling", ["uniform", "by_size"])
def test_subsets_and_noise_are_drawn_as_the_options_say(sampling):
    network, batch = network_of(k=2, sampling=sampling), batch_of(some_values(TOYS, B), PRESENT)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn, _ = network(batch)
        torch.manual_seed(1)
        subsets = draw_subsets(M, 2, sampling=sampling)
        noise = torch.randn(1 + M + 2, B, D)
    assert torch.equal(network(batch, 1.0, subsets, noise)[0], drawn)


def test_encoders_see_just_the_present_rows_and_decoders_just_the_pairs_that_need_them():
    network, values, seen = network_of(), some_values(TOYS, B), {}
    present = PRESENT.clone()
    present[:, 3] = False
    for kind, modules in (("encoder", network.encoders), ("decoder", network.decoders)):
        for i, module in enumerate(modules):
            module.register_forward_pre_hook(
                lambda _, inputs, key=(kind, i): seen.setdefault(key, []).append(len(inputs[0]))
            )
    network(batch_of(values, present), 1.0, SUBSETS[:2], noise_for(2))
    # a: abc has abc, a, ab, ac; ac has ac, a.  b: abc, b, ab; bc, b.  c: abc, c, ac; ac, c; bc, c.
    assert seen == {
        ("encoder", 0): [2],
        ("encoder", 1): [2],
        ("encoder", 2): [3],
        ("decoder", 0): [6],
        ("decoder", 1): [5],
        ("decoder", 2): [7],
    }


def test_autocast_leaves_the_loss_in_float32_and_near():
    network, values = network_of().float(), some_values(TOYS, B)
    single = {name: value.float() if value.is_floating_point() else value for name, value in values.items()}
    batch = batch_of(single, PRESENT)
    plain, _ = network(batch, 1.0, SUBSETS, noise_for(3).float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = network(batch, 1.0, SUBSETS, noise_for(3).float())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain, rtol=0.02, atol=0)


@EXAMPLES
@given(bools(B, M))
def test_bound_equals_an_explicit_sum_with_no_weights(present):
    network, values, noise = network_of(), some_values(TOYS, B), noise_for(0)[0]
    bound = network.bound(batch_of(values, present), noise)
    for row in range(B):
        has = present[row].nonzero().flatten().tolist()
        q = explicit_posterior(network, values, row, has)
        z = q.mean + q.stddev * noise[row]
        log_probs = [explicit_log_prob(network, values, row, i, z) for i in has]
        assert_close(bound[row], sum(log_probs) - explicit_kl(q))


@EXAMPLES
@given(bools(B, M), st.sets(st.sampled_from("abcd")))
def test_infer_uses_those_of_the_given_that_a_row_has(present, given):
    network, values = network_of(), some_values(TOYS, B)
    q = network.infer(batch_of(values, present), given)
    for row in range(B):
        members = [i for i, name in enumerate(TOYS) if name in given and present[row, i]]
        expected = explicit_posterior(network, values, row, members)
        assert_close(q.mean[row], expected.mean)
        assert_close(q.variance[row], expected.variance)


def test_infer_from_nothing_is_exactly_the_prior():
    q = network_of().infer(batch_of(some_values(TOYS, B), PRESENT), ())
    assert q.mean.shape == q.logvar.shape == (B, D)
    assert q.mean.dtype == q.logvar.dtype == torch.float64
    assert not q.mean.any()
    assert not q.logvar.any()


def test_infer_from_an_unknown_modality_is_refused():
    with pytest.raises(UserError, match=r"^there is no modality 'x' here; the modalities: a, b, c, d$"):
        network_of().infer(batch_of(some_values(TOYS, B), PRESENT), ["a", "x"])


def test_log_prob_is_draw_major_and_zero_where_absent():
    network, values, draws = network_of(), some_values(TOYS, B), 3
    present, z = PRESENT.clone(), randn(draws * B, D)
    present[:, 0] = False
    log_probs = network.log_prob(z, batch_of(values, present), ["a", "b", "c"])
    assert list(log_probs) == ["b", "c"]
    for i, name in ((1, "b"), (2, "c")):
        for j in range(draws * B):
            row = j % B
            expected = explicit_log_prob(network, values, row, i, z[j]) if present[row, i] else torch.zeros(()).double()
            assert_close(log_probs[name][j], expected)


def test_decode_gives_the_targets_alone():
    network, z = network_of(), randn(2 * B, D)
    decoded = network.decode(z, batch_of(some_values(TOYS, B), PRESENT), ["d", "a"])
    assert decoded.keys() == {"a", "d"}
    assert torch.equal(decoded["a"].mean, network.decoders[0](z).mean)


def test_a_target_of_another_name_is_refused():
    with pytest.raises(UserError, match="no modality 'dd' here; the modalities: a, b, c, d"):
        network_of().decode(randn(B, D), batch_of(some_values(TOYS, B), PRESENT), ["dd"])


@pytest.mark.parametrize("names", ["dabc", "abc", "abcde"])
def test_a_batch_of_other_modalities_or_in_another_order_is_refused(names):
    values = {**some_values(TOYS, B), "e": torch.zeros(B)}
    batch = batch_of({name: values[name] for name in names}, torch.ones(B, len(names)) > 0)
    network, listed = network_of(), ", ".join(names)
    calls = [network, network.infer_all, lambda rows: network.bound(rows, randn(B, D))]
    for call in calls:
        with pytest.raises(UserError, match=f"^the batch has {listed}; these networks have a, b, c, d; .*order"):
            call(batch)


def test_values_of_another_shape_are_refused():
    values = some_values(TOYS, B)
    batch = batch_of({**values, "a": values["a"][:, :1]}, PRESENT)
    network, z = network_of(), randn(B, D)
    for call in (network, network.infer_all, lambda rows: network.log_prob(z, rows, ["a"])):
        with pytest.raises(UserError, match=r"^a: a value has the shape \(1,\); the modality's is \(2,\); "):
            call(batch)


def test_any_name_a_table_holds_is_a_name():
    names = ["type", "a.b", "a/b", "ü", "keys", "training"]
    kinds = [Vector(), Category(), Vector(size=1), Category(), Vector(), Category()]
    odd, plain = dict(zip(names, kinds, strict=True)), {f"m{i}": kind for i, kind in enumerate(kinds)}
    network, values = network_of(odd), some_values(odd, B)
    network.load_state_dict(network_of(plain, seed=1).state_dict())
    present = torch.rand(B, 6, generator=seeded()) < 0.6
    batch, noise = batch_of(values, present), noise_for(1, 6)
    subsets = draw_subsets(6, 1, seeded())
    loss, parts = network(batch, 1.0, subsets, noise)
    renamed = batch_of(dict(zip(plain, values.values(), strict=True)), present)
    assert torch.equal(loss, network_of(plain, seed=1)(renamed, 1.0, subsets, noise)[0])
    assert list(parts) == [*(f"log p({name})" for name in names), "KL"]
    assert network.infer(batch, names).mean.shape == (B, D)
    assert list(network.decode(noise[0], batch, names)) == names
    assert network.training


def test_a_copy_of_the_network_gives_the_same_loss():
    network, batch = network_of(NORMALISED), batch_of(some_values(NORMALISED, B), PRESENT)
    copied = copy.deepcopy(network)
    arguments = (batch, 1.0, SUBSETS, noise_for(3))
    assert torch.equal(copied(*arguments)[0], network(*arguments)[0])


def test_random_subsets_of_two_modalities_are_refused():
    two = {name: TOYS[name] for name in "ab"}
    text = "model.subsets.k: is 1, but 2 modalities have no subset between one and all of them; set it to 0"
    with pytest.raises(UserError, match=f"^{text}$"):
        MVAE(subsets={"k": 1}).build(two)
    assert MVAE().build(two).subsets() is None


@pytest.mark.parametrize("banks", [True, False])
def test_banks_of_0_1_change_nothing(banks):
    model = {"kind": "mvae", "latent_dim": 3, "banks": banks}
    modalities = {"a": {"kind": "binary"}, "b": {"kind": "binary"}}
    schema = parse_schema({"name": "old", "data": {"kind": "mnist"}, "modalities": modalities, "model": model})
    assert schema.model == MVAE(latent_dim=3)
    assert "banks" not in schema.to_yaml()
    assert ["model.banks" in note for note in schema.notes] == [True] * banks
