"""The ordinal likelihood against differences of cumulative probabilities (McCullagh 1980)."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import softplus

from mmt_attributes import Label
from mmtoolkit import Classes, Numbers, OrdinalLikelihood
from mmtoolkit.likelihoods.ordinal import OrdinalHead
from toys import EXAMPLES


def head_of(count: int) -> OrdinalHead:
    head = OrdinalLikelihood().head(Classes(count))
    assert isinstance(head, OrdinalHead)
    return head


def probabilities(thresholds: Tensor, f: Tensor) -> Tensor:
    """P(class k) = logistic(t_k - f) - logistic(t_(k-1) - f), slowly: (N, K)."""
    rows = []
    for location in f.tolist():
        below = [0.0, *(1 / (1 + float(torch.exp(location - t))) for t in thresholds), 1.0]
        rows.append([b - a for a, b in pairwise(below)])
    return torch.tensor(rows, dtype=torch.float64)


@EXAMPLES
@given(st.integers(2, 7), st.integers(0, 100), st.floats(-6, 6))
def test_probabilities(count: int, seed: int, f: float) -> None:
    head = head_of(count).double()
    torch.manual_seed(seed)
    with torch.no_grad():
        head.raw_thresholds.add_(torch.randn(count - 1))
    locations = torch.tensor([f, -f / 3], dtype=torch.float64)
    p = head(locations.unsqueeze(1))
    torch.testing.assert_close(p.probs, probabilities(head.thresholds.detach(), locations), rtol=1e-9, atol=1e-12)
    # They sum to one before the Categorical normalises them.
    raw = head.raw_thresholds
    assert (head.thresholds.diff() > 0).all()
    torch.testing.assert_close(head.thresholds.diff(), softplus(raw[1:]) + 1e-3 / count, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [2, 3, 100])
def test_at_first_all_classes_are_equally_likely_at_zero(count: int) -> None:
    p = head_of(count)(torch.zeros(3, 1))
    torch.testing.assert_close(p.probs, torch.full((3, count), 1 / count))


def test_two_classes_are_logistic_regression() -> None:
    f = torch.linspace(-9, 9, 7, dtype=torch.float64)
    p = head_of(2).double()(f.unsqueeze(1))
    torch.testing.assert_close(p.probs[:, 1], torch.sigmoid(f))


@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_far_out_nothing_overflows(size: float) -> None:
    head = head_of(4)
    raw = torch.tensor([[size], [-size]], requires_grad=True)
    p = head(raw)
    for k in range(4):
        log_prob = p.log_prob(torch.tensor([k, k]))
        head.zero_grad()
        log_prob.sum().backward(retain_graph=True)
        assert log_prob.isfinite().all()
        assert raw.grad is not None
        assert raw.grad.isfinite().all()
        assert head.raw_thresholds.grad is not None
        assert head.raw_thresholds.grad.isfinite().all()
    assert p.probs.argmax(1).tolist() == [3, 0]


def test_a_larger_location_moves_mass_up() -> None:
    head = head_of(5).double()
    upto = head(torch.linspace(-5, 5, 50, dtype=torch.float64).unsqueeze(1)).probs.cumsum(1)
    assert (upto.diff(dim=0)[:, :-1] < 0).all()


def test_a_label_takes_it() -> None:
    label = Label(classes=("bad", "fair", "good"), likelihood=OrdinalLikelihood())
    torch.manual_seed(0)
    p = label.decoder(2)(torch.randn(4, 2))
    assert label.point(p).shape == (4,)
    torch.testing.assert_close(label.average(p, 2).sum(1), torch.ones(2))
    assert label.decoder(2)(torch.zeros(1, 2)).logits.shape == (1, 3)


def test_misfits() -> None:
    likelihood = OrdinalLikelihood()
    assert "two" in str(likelihood.misfit(Classes(1)))
    assert "numbers" in str(likelihood.misfit(Numbers(2)))
    assert likelihood.misfit(Classes(3, support="unit")) is not None
    assert likelihood.misfit(Classes(2)) is None
