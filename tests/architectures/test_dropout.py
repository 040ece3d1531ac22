"""Dropout by bytes."""

import torch

from mmtoolkit.architectures.dense import Dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = Dropout(0.3), torch.ones(1000, 203)
    out = layer(x)
    share = (out == 0).double().mean(0)
    rate = 77 / 256
    # Of 1,000 rows each feature drops the same share, up to five standard errors: no byte of a draw is another.
    assert (share - rate).abs().max() < 5 * (rate * (1 - rate) / 1000) ** 0.5
    assert torch.allclose(out[out != 0], torch.tensor(1 / (1 - rate)))
    assert abs(float(out.mean()) - 1) < 0.01
    together = ((out[:, :-8] == 0) & (out[:, 8:] == 0)).double().mean()
    assert abs(float(together) - rate**2) < 0.005


def test_dropout_has_the_gradient_of_what_it_keeps_and_repeats_with_the_seed():
    layer, x = Dropout(0.5), torch.randn(5, 7, requires_grad=True)
    torch.manual_seed(1)
    out = layer(x)
    out.sum().backward()
    assert torch.equal(x.grad, torch.where(out != 0, 2.0, 0.0))
    torch.manual_seed(1)
    assert torch.equal(layer(x), out)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x
