"""Transformers: what a place reads, texts written at once and symbol by symbol, series."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from mmtoolkit import GaussianLikelihood, Series, Tokens, Transformer
from mmtoolkit.architectures.attention import Attention, Layer, Layers, sinusoids
from mmtoolkit.architectures.transformer import PlacesWriter, SeriesReader, TextReader, TextWriter
from mmtoolkit.likelihoods import CategoricalLikelihood, TokensDistribution
from toys import randn, seeded

SMALL = Transformer(width=8, layers=2, heads=2)
FORM = Tokens(4, 5, 1)
"""Two symbols, 2 and 3."""
TEXTS = torch.tensor([[2, 0, 0, 0, 0], [3, 2, 2, 0, 0], [2, 3, 3, 2, 3], [0, 0, 0, 0, 0]])


def writer(form: Tokens = FORM, size: int = 3) -> TextWriter:
    """One whose probabilities are far from even."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = TextWriter(form, size, form.vocabulary, Layers(8, 2, 2, 0.1)).double().eval()
    with torch.no_grad():
        network.out.weight *= 6
    return network


def test_the_heads_share_the_width() -> None:
    with pytest.raises(ValidationError, match=r"width is 10 and heads 4.*multiple"):
        Transformer(width=10)
    assert Transformer(width=9, heads=3).width == 9


# Layers.


def test_places_have_sines_and_cosines() -> None:
    found = sinusoids(5, 7).double()
    for place in range(5):
        for i in range(7):
            angle = place / 10_000 ** ((i - i % 2) / 7)
            assert found[place, i].item() == pytest.approx((math.cos if i % 2 else math.sin)(angle), abs=1e-6)


def explicit_attention(attention: Attention, h: Tensor, allowed: Tensor) -> Tensor:
    """What the places of one row (T, width) read, head by head and place by place."""
    width, heads = h.shape[1], attention.heads
    queries, keys, values = (h @ attention.read.weight.T + attention.read.bias).split(width, dim=1)
    read = torch.zeros_like(h)
    for head in range(heads):
        part = slice(head * width // heads, (head + 1) * width // heads)
        for i in range(len(h)):
            weights = [
                math.exp((queries[i, part] @ keys[j, part]).item() / math.sqrt(width / heads)) if allowed[i, j] else 0.0
                for j in range(len(h))
            ]
            for j, weight in enumerate(weights):
                read[i, part] += weight / sum(weights) * values[j, part]
    return read @ attention.write.weight.T + attention.write.bias


def test_attention_is_a_weighted_mean_of_allowed_places() -> None:
    attention, h = Attention(6, 2).double(), 2 * randn(3, 4, 6)
    every, before = torch.ones(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool).tril()
    with torch.no_grad():
        for allowed, given in ((every, None), (before, before)):
            found, _ = attention(h, given)
            expected = torch.stack([explicit_attention(attention, row, allowed) for row in h])
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(attention(h)[0], attention(h, before)[0])


def explicit_layers(layers: Layers, h: Tensor, allowed: Tensor) -> Tensor:
    """The features of one row (T, width), layer by layer."""
    for layer in layers.layers:
        assert isinstance(layer, Layer)
        h = h + explicit_attention(layer.attention, functional.layer_norm(h, h.shape[1:]), allowed)
        hidden = functional.gelu(layer.dense[1](functional.layer_norm(h, h.shape[1:])))
        h = h + layer.dense[3](hidden)
    return functional.layer_norm(h, h.shape[1:])


# Texts.


def test_log_prob_is_the_product_of_conditionals() -> None:
    network, z = writer(), randn(3, 3)
    texts = TEXTS[:3]
    found = TokensDistribution(network, z).log_prob(texts)
    places = sinusoids(5, 8).double()
    for row, text in enumerate(texts):
        total = 0.0
        for t in range(5):  # the probability of each symbol by a pass of its own over those before it
            before = torch.cat([torch.tensor([Tokens.START]), text[:t]])
            h = network.embedding(before) + places[: t + 1] + network.of_z(z[row])
            h = explicit_layers(network.layers, h, torch.ones(t + 1, t + 1, dtype=torch.bool).tril())
            weights = network.out(h[-1]).exp() * torch.tensor([t >= 1, 0, 1, 1])
            total += math.log((weights[text[t]] / weights.sum()).item())
            if text[t] == Tokens.STOP:
                break
        assert found[row].item() == pytest.approx(total, rel=1e-9)
    assert found.std() > 0.3


@pytest.mark.parametrize("cuts", [[1, 1, 1, 1, 1], [2, 3], [1, 3, 1]])
def test_a_text_has_the_same_logits_at_once_and_in_parts(cuts: list[int]) -> None:
    network, z = writer(), randn(4, 3)
    before = nn.functional.pad(TEXTS, (1, -1), value=Tokens.START)
    at_once, _ = network.logits(before, z)
    state, parts = None, []
    for part in before.split(cuts, dim=1):
        logits, state = network.logits(part, z, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), at_once, rtol=1e-12, atol=1e-12)


def test_a_place_reads_those_before_it_alone() -> None:
    network, z = writer(), randn(1, 3)
    before = torch.tensor([[1, 2, 3, 2, 3]])
    logits, _ = network.logits(before, z)
    for place in range(5):
        other = before.clone()
        other[0, place] = 5 - other[0, place] if place else 2
        changed = ~torch.isclose(network.logits(other, z)[0], logits, rtol=1e-9).all(2)[0]
        assert changed.tolist() == [t >= place for t in range(5)]
    assert not torch.isclose(network.logits(before, z + 1)[0], logits, rtol=1e-9).all(2).any()


def test_samples_are_scored_as_they_were_drawn() -> None:
    form = Tokens(4, 2, 1)
    network, n = writer(form), 3000
    z = randn(1, 3).expand(n, -1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = TokensDistribution(network, z).sample()
    texts = torch.tensor([[2, 0], [3, 0], [2, 2], [2, 3], [3, 2], [3, 3]])
    p = TokensDistribution(network, z[:6]).log_prob(texts).exp()
    counts = (drawn[:, None] == texts).all(2).sum(0)
    assert counts.sum() == n
    assert p.max() > 2 * p.min()
    # Mean and standard deviation of chi-squared with df degrees of freedom are df and sqrt(2 df).
    assert ((counts - n * p).square() / (n * p)).sum() < 5 + 4 * math.sqrt(10)


@pytest.mark.parametrize("extra", [0, 2])
def test_a_reader_averages_the_symbols_and_the_stop(extra: int) -> None:
    reader = TextReader(FORM, Layers(8, 2, 2, 0.1)).double().eval()
    found, places = reader(TEXTS), sinusoids(6, 8).double()
    for row, text in enumerate(TEXTS):
        own = [*text[text != Tokens.STOP].tolist(), Tokens.STOP]
        h = reader.embedding(torch.tensor(own)) + places[: len(own)]
        mean = explicit_layers(reader.layers, h, torch.ones(len(own), len(own), dtype=torch.bool)).mean(0)
        torch.testing.assert_close(found[row], mean, rtol=1e-10, atol=1e-12)
    encoder = SMALL.encoder(FORM, 7, extra)
    assert encoder(TEXTS, *([torch.ones(4, extra)] if extra else [])).shape == (4, 7)


def test_what_follows_the_stop_changes_no_bit() -> None:
    anything = torch.randint(-5, 1000, TEXTS.shape, generator=seeded())
    after = nn.functional.pad((TEXTS == Tokens.STOP).cumsum(1) > 0, (1, -1))
    dirty = torch.where(after, anything, TEXTS)
    assert not torch.equal(dirty, TEXTS)
    encoder, branch = SMALL.encoder(FORM, 6).eval(), SMALL.branch(FORM, 6).eval()
    decoder = SMALL.decoder(FORM, 3, CategoricalLikelihood()).eval()
    p = decoder(torch.randn(4, 3))
    for before, after in (
        (encoder(TEXTS), encoder(dirty)),
        (branch(TEXTS), branch(dirty)),
        (p.log_prob(TEXTS), p.log_prob(dirty)),
    ):
        assert torch.equal(before, after)


def test_training_repeats_to_the_bit() -> None:
    def gradients() -> list[Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder, decoder = SMALL.encoder(FORM, 3), SMALL.decoder(FORM, 3, CategoricalLikelihood())
            decoder(encoder(TEXTS[:3])).log_prob(TEXTS[:3]).sum().backward()
        parameters = [*encoder.parameters(), *decoder.parameters()]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
        return [p.grad for p in parameters if p.grad is not None]

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = gradients(), gradients()
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(map(torch.equal, first, second))


def test_dropout_is_for_training() -> None:
    network = SMALL.encoder(FORM, 3)
    assert not torch.equal(network(TEXTS), network(TEXTS))
    network.eval()
    assert torch.equal(network(TEXTS), network(TEXTS))
    still = Transformer(width=8, heads=2, dropout=0).encoder(FORM, 3)
    assert torch.equal(still(TEXTS), still(TEXTS))


# Places that are independent given z, and series.


@pytest.mark.parametrize("form", [FORM, Series(2, 5)], ids=["tokens", "series"])
def test_raw_has_the_shape_that_heads_read(form: Tokens | Series) -> None:
    network = SMALL.raw(form, 3, 4).eval()
    z = torch.randn(6, 3)
    raw = network(z)
    assert raw.shape == (6, 4, *form.places)
    torch.testing.assert_close(network(z.flip(0)), raw.flip(0))
    assert raw.std(0).min() > 0
    assert raw.std(raw.ndim - 1).min() > 0  # places differ


def test_raw_reads_z_at_each_place() -> None:
    network, z = PlacesWriter(Series(2, 5), 3, 4, Layers(8, 2, 2, 0.1)).double().eval(), randn(2, 3)
    found, every = network(z), torch.ones(5, 5, dtype=torch.bool)
    for row in range(2):
        h = network.of_z(z[row]) + sinusoids(5, 8).double()
        numbers = network.out(explicit_layers(network.layers, h, every))  # (5, 4 * 2)
        for k in range(4):
            for channel in range(2):
                torch.testing.assert_close(found[row, k, channel], numbers[:, 2 * k + channel], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_series_are_read_time_by_time(gaps: bool) -> None:
    form = Series(2, 5, gaps)
    reader = SeriesReader(form, Layers(8, 2, 2, 0.1)).double().eval()
    x = randn(3, *form.shape)
    found, every = reader(x), torch.ones(5, 5, dtype=torch.bool)
    for row in range(3):
        h = reader.embedding(x[row].T) + sinusoids(5, 8).double()
        torch.testing.assert_close(found[row], explicit_layers(reader.layers, h, every).mean(0), rtol=1e-10, atol=1e-12)
    assert SMALL.encoder(form, 7, 2)(x.float(), torch.ones(3, 2)).shape == (3, 7)
    p = SMALL.decoder(form, 3, GaussianLikelihood())(torch.randn(3, 3))
    assert p.batch_shape == (3, 2, 5)
