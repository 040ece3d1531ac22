"""Texts whose places are independent given z, and what a likelihood that writes needs."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from mmtoolkit import CategoricalLikelihood, Classes, Form, GaussianLikelihood, Tokens, TokensDistribution, Transformer
from mmtoolkit.components.architecture import RawDecoder, WrittenDecoder
from toys import randn


def texts_up_to(length: int) -> torch.Tensor:
    """All texts of two symbols."""
    every = [text for n in range(length + 1) for text in itertools.product((2, 3), repeat=n)]
    return torch.tensor([[*text, *[Tokens.STOP] * (length - len(text))] for text in every])


def places(form: Tokens, raw: torch.Tensor) -> TokensDistribution:
    p = CategoricalLikelihood().head(form)(raw)
    assert isinstance(p, TokensDistribution)
    return p


@pytest.mark.parametrize("least", [0, 1, 3])
def test_a_text_has_the_product_of_its_places(least: int) -> None:
    form, texts = Tokens(4, 3, least), texts_up_to(3)
    raw = 2 * randn(2, 4, 3)
    p = places(form, raw)
    assert (p.batch_shape, p.event_shape) == ((2,), (3,))
    found = p.log_prob(texts.unsqueeze(1).expand(-1, 2, -1))
    for i, text in enumerate(texts.tolist()):
        for row in range(2):
            total = 0.0
            for place, symbol in enumerate(text):
                weights = [math.exp(raw[row, v, place]) for v in range(4)]
                weights[Tokens.START] = 0.0
                weights[Tokens.STOP] *= place >= least
                total += math.log(weights[symbol] / sum(weights)) if weights[symbol] else -math.inf
                if symbol == Tokens.STOP:
                    break
            assert found[i, row].item() == pytest.approx(total, rel=1e-12)
    torch.testing.assert_close(found.exp().sum(0), torch.ones(2).double(), rtol=1e-12, atol=0)


def test_the_mode_and_samples_of_independent_places() -> None:
    raw = randn(400, 4, 3, seed=1)
    p = places(Tokens(4, 3, 1), raw)
    for row, text in zip(raw, p.mode.tolist(), strict=True):
        row[Tokens.START], row[Tokens.STOP, 0] = -math.inf, -math.inf
        greedy = row.argmax(0).tolist()
        stop = greedy.index(Tokens.STOP) if Tokens.STOP in greedy else 3
        assert text == greedy[:stop] + [Tokens.STOP] * (3 - stop)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = p.sample((5,))
    assert drawn.shape == (5, 400, 3)
    assert p.log_prob(drawn).isfinite().all()
    assert len(drawn.flatten(0, 1).unique(dim=0)) == 14  # all texts of one to three symbols


def test_logits_are_raised_to_float32() -> None:
    raw = randn(2, 4, 3).bfloat16()
    assert places(Tokens(4, 3), raw).log_prob(texts_up_to(3)[:2]).dtype == torch.float32


def test_there_is_a_logit_for_each_class_and_symbol() -> None:
    likelihood = CategoricalLikelihood()
    assert likelihood.numbers(Classes(7)) == 7
    assert likelihood.numbers(Tokens(5, 3)) == 5
    assert likelihood.misfit(Tokens(5, 3)) is None
    assert GaussianLikelihood().misfit(Tokens(5, 3)) is not None


class Places(CategoricalLikelihood):
    """A likelihood that scores tokens, but not those that a network writes symbol by symbol."""

    writes = False


def test_a_likelihood_that_does_not_write_gets_independent_places() -> None:
    form: Form = Tokens(4, 3)
    architecture = Transformer(width=8, heads=2)
    assert isinstance(architecture.decoder(form, 3, CategoricalLikelihood()), WrittenDecoder)
    decoder = architecture.decoder(form, 3, Places())
    assert isinstance(decoder, RawDecoder)
    assert decoder(torch.randn(2, 3)).log_prob(texts_up_to(3)[:2]).shape == (2,)
    with pytest.raises(NotImplementedError, match="GaussianLikelihood"):
        GaussianLikelihood().written(decoder.head, torch.randn(2, 3))  # type: ignore[arg-type]
