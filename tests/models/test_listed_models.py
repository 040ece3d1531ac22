"""What each of VAE, CVAE, BiVCCA and JMVAE does in its own way, and what they are made of."""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.subsets import largest_supported
from mmtoolkit.models import CVAE, JMVAE, MVAE, BiVCCA
from model_cases import (
    EVERY,
    JOINT,
    MODELS,
    NORMALISED,
    PRESENT,
    TOYS,
    B,
    D,
    assert_close,
    case,
    gradients,
    network_of,
    presence,
    toys_of,
)
from toys import EXAMPLES, Vector, VectorDecoder, batch_of, bools, randn, some_values

# CVAE.


def test_a_cvae_reads_the_condition_of_row_j_mod_b():
    network, values, _ = case(MODELS["cvae"])
    present, z = torch.ones(B, 3, dtype=torch.bool), randn(3 * B, D)
    p = network.decode(z, batch_of(values, present), ["a", "b", "c"])
    assert list(p) == ["a"]
    for j in range(3 * B):
        row = j % B
        condition = torch.cat([values["b"][row : row + 1].double(), values["c"][row].float().double()])
        expected = network.decoders[0](torch.cat([z[j], condition]).unsqueeze(0))
        assert_close(p["a"].mean[j], expected.mean[0])
    assert network.decode(z, batch_of(values, present), ["b", "c"]) == {}


def test_a_cvae_decodes_rows_that_lack_the_condition_with_zeros_for_it():
    network, values, _ = case(MODELS["cvae of b given c"])
    nothing = batch_of(values, torch.zeros(B, 3, dtype=torch.bool))
    z = randn(B, D)
    p = network.decode(z, nothing, ["b"])["b"]
    expected = network.decoders[0](torch.cat([z, torch.zeros(B, 3).double()], dim=1))
    assert torch.equal(p.logits, expected.logits)


def test_a_cvae_given_the_condition_alone_has_the_prior():
    network, values, _ = case(MODELS["cvae"])
    q = network.infer(batch_of(values, torch.ones(B, 3, dtype=torch.bool)), ["b", "c"])
    assert q.mean.shape == (B, D)
    assert not q.mean.any()
    assert not q.logvar.any()


def test_the_order_of_a_cvaes_given_is_that_of_the_schema():
    _, values, noise = case(MODELS["cvae of c given b and a"])
    batch = batch_of(values, PRESENT)
    losses = [
        network_of(CVAE(latent_dim=D, target="c", given=order))(batch, 1.0, noise=noise)[0]
        for order in (("b", "a"), ("a", "b"), None)
    ]
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(losses[0], losses[2])


# The order of modalities, and those that nobody has.


def reordered(network, other):
    """Give another network the weights of the networks of the same names."""
    for own, from_ in ((other.encoders, network.encoders), (other.decoders, network.decoders)):
        for name in own.names:
            own.of(name).load_state_dict(from_.of(name).state_dict())


@pytest.mark.parametrize("order", ["cab", "bca"])
def test_the_order_of_modalities_does_not_matter_to_a_jmvae(order):
    model = MODELS["jmvae with subsets"]
    network, values, noise = case(model)
    other = network_of(model, {name: TOYS[name] for name in order}, seed=1)
    reordered(network, other)
    for joint, permuted in zip(network.joint, other.joint, strict=True):
        places = [joint.names.index(name) for name in permuted.names]
        for branch, place in zip(permuted.branches, places, strict=True):
            branch.load_state_dict(joint.branches[place].state_dict())
        permuted.dense.load_state_dict(joint.dense.state_dict())
        columns = joint.dense[0].weight.detach().unflatten(1, (-1, model.width))[:, places]
        permuted.dense[0].weight.data = columns.flatten(1)
    loss, parts = network(batch_of(values, PRESENT), 0.3, noise=noise)
    batch = batch_of({n: values[n] for n in order}, PRESENT[:, ["abc".index(n) for n in order]])
    other_loss, other_parts = other(batch, 0.3, noise=noise)
    assert_close(other_loss, loss)
    assert_close(sorted(other_parts.values()), sorted(parts.values()))


def test_the_order_of_modalities_does_not_matter_to_a_bivcca_with_mu_turned_round():
    network, values, noise = case(MODELS["bivcca"])
    other = network_of(BiVCCA(latent_dim=D, mu=0.7), {name: TOYS[name] for name in "ba"}, seed=1)
    reordered(network, other)
    loss, parts = network(batch_of(values, PRESENT[:, :2]), 0.3, noise=noise)
    batch = batch_of({name: values[name] for name in "ba"}, PRESENT[:, [1, 0]])
    other_loss, other_parts = other(batch, 0.3, noise=noise.flip(0))
    assert_close(other_loss, loss)
    for name, part in parts.items():
        assert_close(other_parts[name], part)


@pytest.mark.parametrize(("name", "missing"), [("vae", "b"), ("vae", "c"), ("cvae of b given c", "a")])
def test_a_modality_that_a_model_leaves_alone_may_be_missing_everywhere(name, missing):
    network, values, noise = case(MODELS[name])
    cut = PRESENT.clone()
    cut[:, "abc".index(missing)] = False
    arguments = (0.3, None, noise)
    assert torch.equal(network(batch_of(values, cut), *arguments)[0], network(batch_of(values, PRESENT), *arguments)[0])


def test_a_bivcca_without_its_second_modality_is_the_vae_of_the_first():
    network, values, noise = case(MODELS["bivcca"])
    vae = network_of(MODELS["vae"])
    reordered(network, vae)
    present = PRESENT[:, :2].clone()
    present[:, 1] = False
    batch = batch_of(values, present)
    loss, parts = network(batch, 0.3, noise=noise)
    third = case(MODELS["vae"])[1]["c"]
    alone = batch_of({**values, "c": third}, torch.cat([present, torch.zeros(B, 1, dtype=torch.bool)], dim=1))
    expected, expected_parts = vae(alone, 0.3, noise=noise[:1])
    assert_close(loss, expected)
    assert parts.pop("log p(b)") == 0
    assert_close(parts, expected_parts)
    unused = {f"{kind}.1" for kind in ("encoders", "decoders")}
    found = gradients(network, loss)
    assert not {name for name in found if name.rsplit(".", 1)[0].startswith(tuple(unused))}


# Which networks run, on which rows.


def watched(network):
    """The rows of each call of an encoder, a decoder and a joint encoder's branch, filled as they are called."""
    seen = {}
    kinds = {"encoder": network.encoders, "decoder": network.decoders}
    if hasattr(network, "joint"):
        kinds |= {f"joint {k}": joint.branches for k, joint in enumerate(network.joint)}
    for kind, modules in kinds.items():
        for place, module in enumerate(modules):
            module.register_forward_pre_hook(
                lambda _, inputs, key=f"{kind} {place}": seen.setdefault(key, []).append(len(inputs[0]))
            )
    return seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vae of c", {"encoder 0": [4], "decoder 0": [4]}),
        ("cvae of b given c", {"encoder 0": [3], "decoder 0": [3]}),
        # q(z | a) of the rows 0, 1, 2, of which 0 and 2 have b; q(z | b) of the rows 0, 2, 3.
        ("bivcca", {"encoder 0": [3], "encoder 1": [3], "decoder 0": [5], "decoder 1": [5]}),
        (
            "jmvae",
            {f"{kind} {place}": [2] for kind in ("encoder", "decoder", "joint 0") for place in range(3)},
        ),
    ],
)
def test_a_step_runs_each_network_on_just_the_rows_it_needs(name, expected):
    network, values, noise = case(MODELS[name])
    seen = watched(network)
    network(batch_of(values, presence(MODELS[name])), 1.0, noise=noise)
    assert seen == expected


def test_infer_runs_each_network_on_just_the_rows_that_use_it():
    network, values, _ = case(MODELS["jmvae with subsets"])
    seen = watched(network)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]]) > 0
    network.infer(batch_of(values, present), ["a", "b", "c"])
    joint = {f"joint 0 {place}": [2] for place in range(3)}
    assert seen == {**joint, "joint 1 0": [1], "joint 1 1": [1], "encoder 1": [1]}


@pytest.mark.parametrize("name", ["jmvae", "cvae"])
def test_log_prob_decodes_once_and_only_the_rows_that_have_the_target(name):
    network, values, _ = case(MODELS[name])
    seen = watched(network)
    network.log_prob(randn(4 * B, D), batch_of(values, PRESENT), ["a"])
    assert seen == {"decoder 0": [4 * 3]}
    assert network.log_prob(randn(4 * B, D), batch_of(values, torch.zeros_like(PRESENT)), ["a"]) == {}


# What they are made of.


@EXAMPLES
@given(st.integers(0, 100), st.sampled_from([0.1, 1.0, 3.0]))
def test_kl_to_equals_that_of_torch(seed, scale):
    mean, logvar, other_mean, other_logvar = scale * randn(4, 2, B, D, seed=seed)
    mean.requires_grad_()
    q, other = Gaussian(mean, logvar), Gaussian(other_mean, other_logvar)
    expected = kl_divergence(*(Independent(Normal(g.mean, g.variance.sqrt()), 1) for g in (q, other)))
    assert_close(q.kl_to(other), expected)
    assert_close(*(torch.autograd.grad(kl.sum(), mean)[0] for kl in (q.kl_to(other), expected)))
    assert not q.kl_to(q).any()
    assert_close(q.kl_to(Gaussian(torch.zeros(D).double(), torch.zeros(D).double())), q.kl())


@EXAMPLES
@given(bools(6, 4), st.sets(st.sampled_from("dbca")), st.sets(st.frozensets(st.sampled_from("dbca"))))
def test_largest_supported_equals_a_search_of_each_row(present, members, supported):
    names = ("d", "b", "c", "a")  # no order of the alphabet
    chosen = largest_supported(present, names, members, supported)
    found = {int(row): subset for subset, rows in chosen for row in rows}
    assert sum(len(rows) for _, rows in chosen) == len(found)
    assert all(len(rows) and rows.tolist() == sorted(rows.tolist()) for _, rows in chosen)
    for row in range(6):
        has = [name for m, name in enumerate(names) if present[row, m] and name in members]
        parts = (p for size in range(len(has), 0, -1) for p in itertools.combinations(has, size))
        assert found.get(row) == next((frozenset(p) for p in parts if frozenset(p) in supported), None)


def test_ties_go_to_the_set_whose_members_come_first_in_the_schema():
    network, values, _ = case(JMVAE(**JOINT, subsets=(("b", "c"), ("a", "c"))))
    seen = watched(network)
    present = torch.tensor([[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]]) > 0
    network.infer(batch_of(values, present), ["a", "b", "c"])
    assert seen == {"joint 1 0": [2], "joint 1 1": [2], "joint 2 0": [1], "joint 2 1": [1], "encoder 0": [2]}


@EXAMPLES
@given(bools(B, 3), st.sets(st.integers(0, B - 1)))
def test_take_gives_the_rows_at_the_places(present, places):
    values, places = some_values(TOYS, B), sorted(places)
    taken = batch_of(values, present).take(torch.tensor(places, dtype=torch.int64))
    expected = batch_of({name: value[places] for name, value in values.items()}, present[places])
    assert taken.size == expected.size == len(places)
    assert taken.names == expected.names
    assert torch.equal(taken.present, expected.present)
    for name in values:
        assert torch.equal(taken.value(name), expected.value(name))
        assert torch.equal(taken.rows(name), expected.rows(name))


# The networks of others, number formats, names.


@EVERY
def test_autocast_leaves_loss_and_posteriors_in_float32_and_near(model):
    network, values, noise = case(model)
    network, noise = network.float(), noise.float()
    single = {name: value.float() if value.is_floating_point() else value for name, value in values.items()}
    batch = batch_of(single, presence(model))

    def found():
        loss, _ = network(batch, 1.0, noise=noise)
        means = [network.infer(batch, given).mean for given in network.subsets()]
        return torch.cat([loss.reshape(1), network.bound(batch, noise[0]), *(mean.flatten() for mean in means)])

    plain = found()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raised = found()
    assert raised.dtype == torch.float32
    torch.testing.assert_close(raised, plain, rtol=0.03, atol=0.03)


ODD = {"a": "a.b", "b": "type", "c": "keys"}


def renamed(option):
    if isinstance(option, str):
        return ODD.get(option, option)
    return tuple(renamed(part) for part in option) if isinstance(option, tuple) else option


@EVERY
def test_any_name_a_table_holds_is_a_name(model):
    network, values, noise = case(model)
    options = {key: renamed(value) for key, value in model if key != "kind"}
    odd = network_of(type(model)(**options), {ODD[name]: toy for name, toy in TOYS.items()}, seed=1)
    odd.load_state_dict(network.state_dict())
    loss, parts = network(batch_of(values, presence(model)), 0.3, noise=noise)
    odd_batch = batch_of({ODD[name]: value for name, value in values.items()}, presence(model))
    odd_loss, odd_parts = odd(odd_batch, 0.3, noise=noise)
    assert torch.equal(odd_loss, loss)
    assert len(odd_parts) == len(parts)
    assert {f"log p({ODD[name]})" for name in network.targets} <= odd_parts.keys()
    assert odd.targets == tuple(ODD[name] for name in network.targets)
    for members, odd_members in zip(network.subsets(), odd.subsets(), strict=True):
        mean = network.infer(batch_of(values, presence(model)), members).mean
        assert torch.equal(odd.infer(odd_batch, odd_members).mean, mean)


@EVERY
def test_a_copy_of_the_network_gives_the_same_loss(model):
    network, values, noise = case(model, NORMALISED)
    batch, copied = batch_of(values, presence(model)), copy.deepcopy(network)
    assert torch.equal(copied(batch, 1.0, None, noise)[0], network(batch, 1.0, None, noise)[0])


@EVERY
def test_one_usable_row_trains_through_batch_normalisation_at_rest(model):
    network, values, noise = case(model, NORMALISED)
    present = presence(model).clone()
    present[1:] = False
    before = copy.deepcopy(dict(network.named_buffers()))
    found = gradients(network, network(batch_of(values, present), 1.0, noise=noise)[0])
    assert found.keys() == dict(network.named_parameters()).keys()
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())


class StrangeEncoder(nn.Module):
    def __init__(self, width, extra):
        super().__init__()
        self.layer = nn.Linear(2 + extra, width)

    def forward(self, x, condition=None):
        return self.layer(x if condition is None else torch.cat([x, condition], dim=1))


class Strange(Vector):
    """A modality that writes the four methods which must be written, and none beside."""

    def encoder(self, width, extra=0):
        return StrangeEncoder(width, extra)

    def decoder(self, size):
        return VectorDecoder(size, 2)


@pytest.mark.parametrize("model", [*MODELS.values(), MVAE(latent_dim=D)], ids=[*MODELS, "mvae"])
def test_a_modality_that_writes_just_the_required_methods_trains_in_every_model(model):
    strangers = toys_of(model, {name: Strange() for name in "abc"})
    network, values = network_of(model, strangers).float(), some_values(strangers, B)
    batch = batch_of({name: value.float() for name, value in values.items()}, presence(model))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    before = [p.detach().clone() for p in network.parameters()]
    loss, _ = network(batch)
    loss.backward()
    optimizer.step()
    for p, old in zip(network.parameters(), before, strict=True):
        assert p.isfinite().all()
        assert not torch.equal(p, old)


def test_what_a_row_has_is_used_as_far_as_it_is_supported():
    network = network_of(MODELS["bivcca"])
    values = some_values(TOYS, 3)
    values = {name: values[name] for name in network.modalities}
    present = torch.tensor([[1, 1], [0, 1], [0, 0]]) > 0
    q = network.infer_all(batch_of(values, present))
    first, second = list(network.modalities)
    given = {name: network.infer(batch_of(values, present), [name]) for name in network.modalities}
    assert torch.equal(q.mean[0], given[first].mean[0])
    assert torch.equal(q.mean[1], given[second].mean[1])
    assert not q.mean[2].any()
    assert not q.logvar[2].any()
