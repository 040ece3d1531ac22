import copy

import pytest
import torch
from torch import nn

from mmtoolkit.core.normalisation import guard_normalisation

TOO_FEW = [(nn.BatchNorm1d, (1, 3)), (nn.BatchNorm1d, (1, 3, 1)), (nn.BatchNorm2d, (1, 3, 1, 1))]
ENOUGH = [
    (nn.BatchNorm1d, (2, 3)),
    (nn.BatchNorm1d, (1, 3, 2)),
    (nn.BatchNorm2d, (1, 3, 1, 2)),
    (nn.BatchNorm2d, (4, 3, 5, 5)),
]


def pair(kind=nn.BatchNorm1d):
    """A plain network with running statistics and weights of its own, and the same one guarded."""
    layer = kind(3)
    with torch.no_grad():
        layer.running_mean.copy_(torch.tensor([-1.0, 0.0, 1.0]))
        layer.running_var.copy_(torch.tensor([2.0, 3.0, 4.0]))
        layer.weight.copy_(torch.tensor([0.5, 1.5, 2.5]))
    plain = nn.Sequential(nn.Sequential(layer), nn.Tanh())
    guarded = copy.deepcopy(plain)
    guard_normalisation(guarded)
    return plain, guarded


def assert_same_state(mine, theirs):
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], tensor), name


@pytest.mark.parametrize(("kind", "shape"), TOO_FEW)
def test_a_single_value_a_channel_uses_running_statistics_and_leaves_them(kind, shape):
    plain, guarded = pair(kind)
    x = torch.randn(shape, requires_grad=True)
    y = guarded(x)
    assert torch.equal(y, plain.eval()(x))
    assert torch.autograd.grad(y.sum(), x)[0].abs().min() > 0
    assert_same_state(guarded, plain)
    assert all(module.training for module in guarded.modules())


@pytest.mark.parametrize(("kind", "shape"), ENOUGH)
def test_two_values_a_channel_are_plain_batch_normalisation(kind, shape):
    plain, guarded = pair(kind)
    x = torch.randn(shape)
    assert torch.equal(guarded(x), plain(x))
    assert_same_state(guarded, plain)
    assert guarded[0][0].num_batches_tracked == 1


@pytest.mark.parametrize(("kind", "shape"), TOO_FEW + ENOUGH)
def test_evaluation_is_plain_batch_normalisation(kind, shape):
    plain, guarded = (network.eval() for network in pair(kind))
    x = torch.randn(shape)
    assert torch.equal(guarded(x), plain(x))
    assert not any(module.training for module in guarded.modules())


def test_a_layer_trains_on_after_a_call_that_raises():
    plain, guarded = pair()
    with pytest.raises(RuntimeError):
        guarded(torch.randn(1, 4))
    assert all(module.training for module in guarded.modules())
    x = torch.randn(5, 3)
    assert torch.equal(guarded(x), plain(x))
    assert_same_state(guarded, plain)


def test_a_layer_trains_on_after_a_call_with_one_row():
    plain, guarded = pair()
    guarded(torch.randn(1, 3))
    x = torch.randn(5, 3)
    assert torch.equal(guarded(x), plain(x))
    assert_same_state(guarded, plain)


def test_keys_of_the_state_dict_stay_the_same():
    plain, guarded = pair()
    guarded(torch.randn(1, 3))
    assert list(guarded.state_dict()) == list(plain.state_dict())


def test_a_layer_without_running_statistics_still_raises():
    network = nn.BatchNorm1d(3, track_running_stats=False)
    guard_normalisation(network)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        network(torch.randn(1, 3))
