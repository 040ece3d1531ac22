"""Ranks among the scores of training cells, and the suspicion that goes on below the last of them."""

from __future__ import annotations

import math

import pytest
import torch

from mmtoolkit.using.references import Reference
from toys import randn

NAN = float("nan")


def test_the_rank_counts_what_is_less_likely_and_half_of_what_is_equal() -> None:
    reference = Reference({"a": torch.tensor([3.0, 1.0, 2.0, 2.0]), "b": torch.zeros(0)})
    ranks = reference.rank("a", torch.tensor([0.0, 1.0, 2.0, 2.5, 9.0, NAN]).double())
    expected = torch.tensor([0.5, 1.0, 2.5, 3.5, 4.5, NAN]).double() / 5
    torch.testing.assert_close(ranks, expected, equal_nan=True)
    assert reference.rank("b", torch.zeros(2)).isnan().all()
    assert reference.suspicion("b", torch.zeros(2)).isnan().all()


def test_the_rank_of_one_more_cell_is_uniform() -> None:
    log_probs = -randn(3000, seed=1).square()
    ranks = Reference({"a": log_probs[:1000]}).rank("a", log_probs[1000:])
    places = torch.arange(1, 2001) / 2000
    assert (ranks.sort().values - places).abs().max() < 1.63 * math.sqrt(1 / 2000 + 1 / 1000)  # Kolmogorov-Smirnov


def test_the_suspicion_is_the_log_of_the_rank_and_goes_on_by_the_columns_own_scale() -> None:
    values = -torch.arange(1, 1002).double()  # a tail of q_0.1 - q_0.02 = 80 nats
    reference = Reference({"wide": values, "narrow": values / 100, "constant": torch.zeros(9)})
    log_probs = torch.tensor([-100.0, -900.0, -950.0, -5000.0, NAN]).double()
    suspicion = reference.suspicion("wide", log_probs)
    torch.testing.assert_close(suspicion[:2], -reference.rank("wide", log_probs[:2]).log())
    scale = 80 / math.log(5)
    assert float(suspicion[3]) == pytest.approx(math.log(10) + (5000 - 901) / scale)
    assert suspicion[:4].diff().min() > 0
    assert suspicion[4].isnan()
    torch.testing.assert_close(reference.suspicion("narrow", log_probs[3:4] / 100), suspicion[3:4])
    assert reference.suspicion("constant", torch.tensor([-1.0]).double()) == pytest.approx(math.log(10) + 10)
