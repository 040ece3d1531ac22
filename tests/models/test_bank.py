"""Alike modalities run as a bank give what they give one by one."""

import copy
import math

import pytest
import torch
from hypothesis import given
from torch import nn

from mmt_attributes import Attributes
from mmt_binary import Binary
from mmtoolkit.models import MVAE
from mmtoolkit.models.bank import banks
from mmtoolkit.models.mvae import SubsetOptions
from toys import EXAMPLES, Vector, batch_of, bools, randn, seeded

B, D, N = 6, 3, 5
YES_NO = ("0", "1")
ALIKE = {f"b{i}": Binary(values=YES_NO) for i in range(N)}
MIXED = {
    "first": Vector(size=2, normalise=True),
    **ALIKE,
    "heavy": Binary(values=YES_NO, weight=3.0, column="elsewhere"),
    "other": Binary(values=("no", "yes")),
    "several": Attributes(columns=("x", "y"), values=YES_NO),
}
M = len(MIXED)
SUBSETS = torch.rand(2, M, generator=seeded(3)) < 0.5


def network_of(modalities=MIXED, banked=True, k=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MVAE(latent_dim=D, subsets=SubsetOptions(k=k), banks=banked).build(modalities).double()


def values_of(seed=0):
    draw = seeded(seed)
    found = {"first": torch.randn(B, 2, generator=draw, dtype=torch.float64)}
    for name in MIXED:
        if isinstance(MIXED[name], Binary):
            found[name] = torch.randint(2, (B,), generator=draw).double()
    numbers = torch.randint(2, (B, 2), generator=draw).double()
    found["several"] = torch.stack([numbers, torch.ones_like(numbers)], dim=1)
    return found


def step(network, batch):
    network.zero_grad()
    loss, parts = network(batch, 0.7, SUBSETS, randn(1 + M + 2, B, D, seed=4))
    if loss.requires_grad:  # it does not where all is missing
        loss.backward()
    return loss.detach(), parts, {name: p.grad for name, p in network.named_parameters()}


def test_modalities_that_differ_in_name_column_and_weight_alone_are_a_bank():
    assert [bank.names for bank in banks(network_of())] == [(*ALIKE, "heavy")]
    assert network_of(banked=False).banks == []
    assert network_of().state_dict().keys() == network_of(banked=False).state_dict().keys()


@pytest.mark.slow
@EXAMPLES
@given(bools(B, M))
def test_a_bank_equals_separate_networks(present):
    batch = batch_of(values_of(), present)
    loss, parts, gradients = step(network_of(), batch)
    expected, expected_parts, separate = step(network_of(banked=False), batch)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    assert parts.keys() == expected_parts.keys()
    for name, part in parts.items():
        torch.testing.assert_close(part, expected_parts[name], rtol=1e-10, atol=1e-10)
    for name, gradient in separate.items():
        if gradient is None:
            assert gradients[name] is None, name  # a network that was not needed stays as it is
        else:
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e30])
def test_what_stands_in_missing_cells_of_a_bank_changes_nothing(garbage):
    present = torch.rand(B, M, generator=seeded(1)) < 0.6
    network = network_of()
    before = copy.deepcopy(network.state_dict())
    loss, parts, gradients = step(network, batch_of(values_of(), present))
    after = copy.deepcopy(network.state_dict())
    network.load_state_dict(before)
    spoilt = values_of()
    for m, value in enumerate(spoilt.values()):
        value[~present[:, m]] = garbage
    other, other_parts, others = step(network, batch_of(spoilt, present))
    assert torch.equal(loss, other)
    assert all(torch.equal(part, other_parts[name]) for name, part in parts.items())
    assert all(torch.equal(after[key], value) for key, value in network.state_dict().items())  # running statistics
    for name, gradient in gradients.items():
        assert others[name] is None if gradient is None else torch.equal(gradient, others[name]), name


def test_a_bank_is_one_call():
    class Counting(Binary):
        def encode_bank(self, encoders, x, valid):
            calls.append(("encode", len(encoders), tuple(x.shape), int(valid.sum())))
            return super().encode_bank(encoders, x, valid)

        def decode_bank(self, decoders, z, valid):
            calls.append(("decode", len(decoders), tuple(z.shape), int(valid.sum())))
            return super().decode_bank(decoders, z, valid)

    calls = []
    modalities = {f"b{i}": Counting(values=YES_NO) for i in range(N)}
    network = network_of(modalities, k=0)
    present = torch.zeros(B, N, dtype=torch.bool)
    present[0], present[1, 0], present[2:4, 1] = True, True, True  # b3, b4, b5 in one row
    values = {name: torch.ones(B).double() for name in modalities}
    network(batch_of(values, present))
    pairs = 2 * N + 3  # one row has all, in the joint term and each alone; three have one modality and one term
    assert calls == [("encode", N, (N, 3), 8), ("decode", N, (N, 4, D), pairs)]


def test_single_use_of_a_banked_network_is_that_of_its_modality():
    network = network_of()
    assert isinstance(network.encoders.of("b1"), nn.Module)
    q = network.infer(batch_of(values_of(), torch.ones(B, M, dtype=torch.bool)), ["b1"])
    same = network_of(banked=False).infer(batch_of(values_of(), torch.ones(B, M, dtype=torch.bool)), ["b1"])
    torch.testing.assert_close(q.mean, same.mean, rtol=1e-12, atol=1e-12)
