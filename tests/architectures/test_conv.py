"""Convolutions and residual networks: any size goes there and back, and the blocks are their formulas."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from mmt_image import Image
from mmt_series import SeriesModality
from mmtoolkit import Architecture, Conv, Form, Grid, Modality, ResNet, Series
from mmtoolkit.architectures.convolutions import doubling, halved, halving, sides_in_turn
from mmtoolkit.architectures.resnet import Block, Repeated
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.testing import check_modality

SMALL = {"conv": Conv(channels=4, width=8), "resnet": ResNet(width=4, blocks=1, dense=8)}
FORMS: list[Form] = [
    Grid(3, 16, 16),
    Grid(1, 28, 28),
    Grid(2, 1, 9),
    Grid(3, 33, 47),
    Grid(1, 1, 1),
    Series(1, 1),
    Series(1, 100, gaps=True),
    Series(3, 7),
]


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    """As training has it: an operation without a deterministic form raises."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


def layers(module: nn.Module, *kinds: type[nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def small(kind: str, **options: Any) -> Architecture:
    return SMALL[kind].with_options(**options)


# Any size.


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: "x".join(map(str, form.shape)))
@pytest.mark.parametrize(("kind", "norm"), list(product(SMALL, ["none", "batch", "layer"])))
def test_any_size_goes_there_and_back_in_training(form: Form, kind: str, norm: str) -> None:
    network = small(kind, norm=norm, dropout=0.2)
    assert network.misfit(form) is None
    modules = nn.ModuleList(
        [network.encoder(form, 6), network.encoder(form, 6, extra=2), network.branch(form, 7), network.raw(form, 5, 2)]
    )
    guard_normalisation(modules)  # as training does
    for rows in (3, 1):
        x = torch.randn(rows, *form.shape)
        outs = [modules[0](x), modules[1](x, torch.randn(rows, 2)), modules[2](x), modules[3](torch.randn(rows, 5))]
        assert [out.shape for out in outs] == [(rows, 6), (rows, 6), (rows, 7), (rows, 2, *form.places)]
        torch.stack([out.square().sum() for out in outs]).sum().backward()
    for name, parameter in modules.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("shape", [pytest.param((3, 64, 64), marks=pytest.mark.slow), (1, 28, 28)], ids=str)
def test_the_example_of_the_documentation(shape: tuple[int, int, int]) -> None:
    image = Image.model_validate({"shape": shape, "network": {"kind": "resnet", "width": 32, "blocks": 2}})
    encoder, decoder = image.encoder(6), image.decoder(5)
    x = torch.rand(2, *shape)
    p = decoder(encoder(x)[:, :5])
    p.log_prob(x).sum().backward()
    assert p.event_shape == shape
    assert len(layers(encoder, Block)) == len(layers(decoder, Block)) == 2 * (5 if shape[1] == 64 else 4)


def test_a_gradient_is_the_same_each_time() -> None:
    for network, form in product(SMALL.values(), [Grid(3, 9, 12), Series(2, 13)]):
        decoder, z = network.raw(form, 5, 1), torch.randn(4, 5)
        gradients = []
        for _ in range(2):
            decoder.zero_grad()
            decoder(z).square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in decoder.parameters()])  # type: ignore[union-attr]
        assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize("side", range(1, 20))
def test_a_doubling_undoes_the_sides_of_a_halving(side: int) -> None:
    for sides in ((side,), (side, 6), (side, 7)):
        there = halving(2, 3, sides)(torch.randn(1, 2, *sides))
        assert there.shape == (1, 3, *halved(sides))
        assert doubling(3, 2, sides)(there).shape == (1, 2, *sides)


def test_halvings_end_at_four_places_or_where_you_say() -> None:
    assert sides_in_turn((28, 9), None) == [(28, 9), (14, 5), (7, 3), (4, 2)]
    assert sides_in_turn((3,), None) == [(3,), (2,)]
    assert sides_in_turn((64, 64), 1) == [(64, 64), (32, 32)]
    assert sides_in_turn((5,), 4) == [(5,), (3,), (2,), (1,), (1,)]


# Options of conv.


def channels(module: nn.Module) -> list[tuple[int, int]]:
    return [(c.in_channels, c.out_channels) for c in layers(module, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)]


def test_channels_double_up_to_eight_times_the_first() -> None:
    form = Series(1, 300, gaps=True)
    there, back = [(2, 4), (4, 8), (8, 16), (16, 32), (32, 32), (32, 32), (32, 32)], [(4, 3)]
    assert channels(Conv(channels=4).encoder(form, 6)) == there
    assert channels(Conv(channels=4).raw(form, 5, 3)) == [(b, a) for a, b in reversed(there[1:])] + back
    assert channels(Conv(channels=4, halvings=2).encoder(form, 6)) == there[:2]


def test_width_is_that_of_the_dense_layers() -> None:
    conv = Conv(channels=4, width=9)
    encoder, raw = conv.encoder(Grid(1, 8, 8), 6, extra=2), conv.raw(Grid(1, 8, 8), 5, 1)
    assert [(d.in_features, d.out_features) for d in layers(encoder, nn.Linear)] == [(4 * 16 + 2, 9), (9, 6)]
    assert [(d.in_features, d.out_features) for d in layers(raw, nn.Linear)] == [(5, 9), (9, 4 * 16)]


@pytest.mark.parametrize("kind", SMALL)
def test_norm_is_the_one_that_you_choose(kind: str) -> None:
    form = Grid(1, 16, 16)
    of = {norm: small(kind, norm=norm) for norm in ("none", "batch", "layer")}
    for make in (lambda n: n.encoder(form, 6), lambda n: n.raw(form, 5, 1)):
        counts = {
            norm: (len(layers(make(n), nn.BatchNorm2d)), len(layers(make(n), nn.GroupNorm))) for norm, n in of.items()
        }
        assert counts["none"] == (0, 0)
        assert counts["batch"] == counts["layer"][::-1]
        assert counts["batch"][0] > 0
        assert counts["batch"][1] == 0


@pytest.mark.parametrize("kind", SMALL)
def test_layers_are_normalised_over_channels_and_places_of_a_row(kind: str) -> None:
    encoder = small(kind, norm="layer").encoder(Series(2, 16), 6).train()
    x = torch.randn(3, 2, 16)
    assert torch.allclose(encoder(x)[1:2], encoder(x[1:2]), atol=1e-6)
    (norm, *_) = layers(encoder, nn.GroupNorm)
    inner = torch.randn(2, norm.num_channels, 5, dtype=torch.float64)
    mean, variance = inner.mean((1, 2), keepdim=True), inner.var((1, 2), keepdim=True, correction=0)
    assert torch.allclose(norm.double()(inner), (inner - mean) / (variance + 1e-5).sqrt())


@pytest.mark.parametrize("kind", SMALL)
def test_dropout_is_for_training(kind: str) -> None:
    network, x = small(kind, dropout=0.5), torch.randn(4, 1, 16, 16)
    encoder = network.encoder(Grid(1, 16, 16), 6)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
    assert not layers(small(kind).raw(Grid(1, 16, 16), 5, 1), nn.Dropout)


@pytest.mark.parametrize("kind", SMALL)
def test_the_encoder_reads_the_condition(kind: str) -> None:
    encoder, x, c = small(kind).encoder(Series(1, 9), 6, extra=2).eval(), torch.randn(3, 1, 9), torch.randn(3, 2)
    changed = encoder(x, c) != encoder(x, c + torch.tensor([[1.0, 0.0]]))
    assert changed.any(1).all()


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Conv, {"channels": 1}),
        (Conv, {"halvings": 0}),
        (Conv, {"dropout": 1}),
        (ResNet, {"blocks": 0}),
        (ResNet, {"norm": "x"}),
    ],
)
def test_options_out_of_their_range(cls: type[Architecture], options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        cls.model_validate(options)
    assert raised.value.errors()[0]["loc"][0] in options


# Blocks of resnet.


def test_a_block_is_activated_before_each_convolution() -> None:
    (block, *_) = layers(ResNet(width=3, norm="none").raw(Series(1, 8), 5, 1).double(), Block)
    first, second = layers(block, nn.Conv1d)
    x = torch.randn(2, first.in_channels, 6, dtype=torch.float64)
    expected = x + convolved(F.silu(convolved(F.silu(x), first)), second)
    assert torch.allclose(block(x), expected, rtol=1e-12)


def convolved(x: Tensor, layer: nn.Conv1d, stride: int = 1) -> Tensor:
    """A convolution of 3 places, or of 1, by its sum."""
    reach = layer.kernel_size[0] // 2
    assert layer.bias is not None
    out = torch.zeros(len(x), layer.out_channels, -(-x.shape[2] // stride), dtype=x.dtype)
    for place in range(out.shape[2]):
        for offset in range(-reach, reach + 1):
            at = place * stride + offset
            if 0 <= at < x.shape[2]:
                out[:, :, place] += x[:, :, at] @ layer.weight[:, :, offset + reach].T
    return out + layer.bias[:, None]


def test_the_first_block_of_a_stage_halves_and_doubles_channels() -> None:
    encoder = ResNet(width=3, blocks=1, norm="none").encoder(Series(1, 9), 6).double()
    second = layers(encoder, Block)[1]
    first_conv, second_conv, shortcut = layers(second, nn.Conv1d)
    x = torch.randn(2, 3, 9, dtype=torch.float64)
    expected = convolved(x, shortcut, 2) + convolved(F.silu(convolved(F.silu(x), first_conv, 2)), second_conv)
    assert torch.allclose(second(x), expected, rtol=1e-12)
    assert second(x).shape == (2, 6, 5)


def test_a_stage_has_as_many_blocks_as_you_say() -> None:
    for blocks in (1, 3):
        network = ResNet(width=4, blocks=blocks)
        for module in (network.encoder(Series(1, 32), 6), network.raw(Series(1, 32), 5, 1)):
            assert len(layers(module, Block)) == 4 * blocks  # of 32, 16, 8 and 4 places


def test_each_place_is_repeated_along_each_side() -> None:
    x = torch.randn(2, 3, 3, 4)
    for sides in ((6, 8), (5, 7), (6, 7)):
        out = Repeated(sides)(x)
        assert out.shape == (2, 3, *sides)
        for row, column in product(*map(range, sides)):
            assert torch.equal(out[:, :, row, column], x[:, :, row // 2, column // 2])


# In a modality.


SERIES = SeriesModality(channels=2, length=5, network=SMALL["conv"])
OTHERS = [
    Image(shape=(1, 6, 7), network=SMALL["conv"]),
    Image(shape=(1, 6, 7), network=SMALL["resnet"]),
    SeriesModality(channels=2, length=5, network=SMALL["resnet"]),
]


@pytest.mark.slow
@pytest.mark.parametrize("modality", [SERIES, *OTHERS])
def test_modalities_with_this_network_keep_their_promises(modality: Modality) -> None:
    check_modality(modality)
