"""The Bernoulli and categorical likelihoods against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit import BernoulliLikelihood, CategoricalLikelihood, Classes, Grid, Numbers, Series
from toys import EXAMPLES, randn

FORMS = (Numbers(3, support="unit"), Classes(2, support="unit"), Grid(2, 3, 2, support="unit"), Series(2, 3))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_bernoulli(form: Numbers | Classes | Grid | Series) -> None:
    raw = randn(4, 1, *form.places, seed=1)
    x = torch.rand(raw.squeeze(1).shape, dtype=torch.float64)
    p = BernoulliLikelihood().head(form)(raw)
    explicit = [
        value * math.log(1 / (1 + math.exp(-logit))) + (1 - value) * math.log(1 / (1 + math.exp(logit)))
        for value, logit in zip(x.flatten().tolist(), raw.flatten().tolist(), strict=True)
    ]
    expected = torch.tensor(explicit, dtype=torch.float64).reshape(x.shape)
    if p.event_shape:  # a grid is scored as a whole
        expected = expected.flatten(1).sum(1)
    torch.testing.assert_close(p.log_prob(x), expected)
    torch.testing.assert_close(p.mean, torch.sigmoid(raw.squeeze(1)))


@EXAMPLES
@given(st.integers(2, 9), st.integers(0, 1000))
def test_categorical(count: int, seed: int) -> None:
    form = Classes(count)
    likelihood = CategoricalLikelihood()
    raw = 5 * randn(3, likelihood.numbers(form), seed=seed)
    p = likelihood.head(form)(raw)
    for row, logits in enumerate(raw.tolist()):
        total = math.fsum(map(math.exp, logits))
        for k, logit in enumerate(logits):
            value = torch.full((3,), k)
            assert float(p.log_prob(value)[row]) == pytest.approx(math.log(math.exp(logit) / total), abs=1e-9)


@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_far_out_nothing_overflows(size: float) -> None:
    for likelihood, form in (
        (BernoulliLikelihood(), Grid(1, 2, 2, support="unit")),
        (BernoulliLikelihood(), Numbers(2, support="unit")),
        (CategoricalLikelihood(), Classes(4)),
    ):
        raw = (size * randn(5, likelihood.numbers(form), *form.places)).float().requires_grad_()
        p = likelihood.head(form)(raw)
        log_prob = p.log_prob(torch.ones(5, *form.places))
        log_prob.sum().backward()
        assert log_prob.isfinite().all()
        assert raw.grad is not None
        assert raw.grad.isfinite().all()


def test_misfits() -> None:
    assert "classes" in str(BernoulliLikelihood().misfit(Classes(3)))
    assert "0 to 1" in str(BernoulliLikelihood().misfit(Numbers(2)))
    assert "classes" in str(CategoricalLikelihood().misfit(Numbers(2)))
