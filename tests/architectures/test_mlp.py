"""The multilayer perceptron: its options, layer by layer, against formulas that are written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from mmtoolkit import MLP, Classes, Form, Grid, Numbers, Series, Tokens
from mmtoolkit.architectures.dense import Dropout

FORMS: dict[str, Form] = {
    "numbers": Numbers(3),
    "numbers with gaps": Numbers(3, gaps=True),
    "numbers with features of their own": Numbers(3, features=5),
    "classes": Classes(4),
    "grid": Grid(2, 3, 4),
    "series with gaps": Series(2, 5, gaps=True),
    "tokens": Tokens(vocabulary=6, length=4),
}


def values(form: Form, rows: int) -> Tensor:
    if isinstance(form, Classes):
        return torch.arange(rows) % form.count
    if isinstance(form, Tokens):
        return torch.arange(rows * form.length).reshape(rows, form.length) % form.vocabulary
    return torch.randn(rows, *form.shape)


def layers(module: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def sizes(module: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in layers(module, nn.Linear)]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("options", [{}, {"norm": "layer", "dropout": 0.2, "residual": True, "depth": 1}], ids=str)
def test_all_forms_go_there_and_back(form: Form, options: dict[str, Any]) -> None:
    mlp = MLP(width=8, **options)
    for rows in (1, 3):
        x = values(form, rows)
        assert mlp.encoder(form, 6)(x).shape == (rows, 6)
        assert mlp.encoder(form, 6, extra=2)(x, torch.randn(rows, 2)).shape == (rows, 6)
        assert mlp.branch(form, 7)(x).shape == (rows, 7)
        assert mlp.raw(form, 5, 2)(torch.randn(rows, 5)).shape == (rows, 2, *form.places)


@pytest.mark.parametrize(
    ("depth", "extra", "expected"),
    [
        (1, 0, [(3, 8), (8, 6)]),
        (2, 0, [(3, 8), (8, 8), (8, 6)]),
        (3, 0, [(3, 8), (8, 8), (8, 8), (8, 6)]),
        (1, 2, [(3, 8), (10, 8), (8, 6)]),
        (2, 2, [(3, 8), (10, 8), (8, 6)]),
        (3, 2, [(3, 8), (10, 8), (8, 8), (8, 6)]),
    ],
)
def test_an_encoder_of_numbers_reads_the_condition_after_its_first_layer(
    depth: int, extra: int, expected: list[tuple[int, int]]
) -> None:
    assert sizes(MLP(width=8, depth=depth).encoder(Numbers(3), 6, extra)) == expected


def test_an_encoder_of_a_grid_reads_the_condition_in_its_first_layer() -> None:
    assert sizes(MLP(width=8).encoder(Grid(2, 3, 4), 6, extra=2)) == [(26, 8), (8, 8), (8, 6)]


@pytest.mark.parametrize(
    ("options", "hidden"),
    [({}, 3), ({"depth": 1}, 2), ({"depth": 4, "decoder_depth": 1}, 1), ({"decoder_depth": 2}, 2)],
)
def test_a_decoder_has_one_layer_more_or_as_many_as_you_say(options: dict[str, Any], hidden: int) -> None:
    found = sizes(MLP(width=8, **options).raw(Numbers(3), 5, 2))
    assert found == [(5, 8), *[(8, 8)] * (hidden - 1), (8, 6)]


def test_the_branch_is_the_first_layer() -> None:
    branch = MLP(width=8, depth=3).branch(Numbers(3), 7).double()
    assert sizes(branch) == [(3, 7)]
    (linear,), x = layers(branch, nn.Linear), torch.randn(4, 3, dtype=torch.float64)
    assert torch.allclose(branch(x), F.silu(x @ linear.weight.T + linear.bias))


def test_classes_are_embedded() -> None:
    (embedding,) = layers(MLP(width=8).encoder(Classes(4), 6), nn.Embedding)
    assert (embedding.num_embeddings, embedding.embedding_dim) == (4, 8)


def normalised(x: Tensor, norm: str) -> Tensor:
    """Batch normalisation in training, or that of layers, as they start: without a scale and a shift of their own."""
    if norm == "none":
        return x
    mean = x.mean(0, keepdim=True) if norm == "batch" else x.mean(1, keepdim=True)
    variance = ((x - mean) ** 2).mean(0 if norm == "batch" else 1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("residual", [False, True])
def test_a_decoder_is_its_formula(norm: Any, residual: bool) -> None:
    decoder = MLP(width=8, norm=norm, residual=residual, decoder_depth=2).raw(Grid(1, 2, 2), 5, 2).double().train()
    z = torch.randn(6, 5, dtype=torch.float64)
    first, second, last = layers(decoder, nn.Linear)
    hidden = F.silu(normalised(z @ first.weight.T + first.bias, norm))  # 5 features become 8: no sum
    again = F.silu(normalised(hidden @ second.weight.T + second.bias, norm))
    hidden = hidden + again if residual else again
    expected = (hidden @ last.weight.T + last.bias).reshape(6, 2, 1, 2, 2)
    assert torch.allclose(decoder(z), expected, rtol=1e-12)


def test_dropout_drops_hidden_features_in_training_only() -> None:
    mlp = MLP(width=400, depth=1, dropout=0.25)
    encoder: Any = mlp.encoder(Numbers(3), 6)
    hidden = encoder.first(torch.randn(50, 3))
    assert (hidden == 0).double().mean() == pytest.approx(0.25, abs=0.02)
    x = torch.randn(5, 3)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
    assert len(layers(MLP(depth=2, dropout=0.25).raw(Numbers(3), 5, 1), Dropout)) == 3
    assert not layers(MLP().raw(Numbers(3), 5, 1), Dropout)


@pytest.mark.parametrize(
    "options",
    [{"width": 0}, {"depth": 0}, {"decoder_depth": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"norm": "group"}],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        MLP(**options)
    assert raised.value.errors()[0]["loc"][0] in options
