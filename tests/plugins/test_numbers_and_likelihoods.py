"""Numbers with likelihoods of their own: which cells they score, what is learned, what networks read."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, distributions, nn

from mmt_attributes import Attributes, Numeric
from mmt_binary import Binary
from mmtoolkit import (
    MLP,
    BernoulliLikelihood,
    CategoricalLikelihood,
    Form,
    GaussianLikelihood,
    Likelihood,
    Numbers,
    Records,
    Support,
)
from mmtoolkit.testing import check_modality
from rows import refused

XY = ("x", "y")


class Growth(Likelihood):
    """A log-normal distribution with scale 1 on the standardised logarithms."""

    kind: Literal["growth"] = "growth"
    scores: ClassVar[tuple[type[Form], ...]] = (Numbers,)
    support: ClassVar[Support] = "positive"

    def read(self, x: Tensor) -> Tensor:
        return x.log()

    def head(self, form: Form) -> nn.Module:
        return GrowthHead(form)


class GrowthHead(nn.Module):
    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, raw: Tensor) -> distributions.LogNormal:
        shift, scale = (torch.tensor(numbers, dtype=torch.float64) for numbers in (self.form.shift, self.form.scale))
        location = shift + scale * 3 * torch.tanh(raw.squeeze(1).double() / 3)
        return distributions.LogNormal(location, scale.expand_as(location), validate_args=False)


class RobustGrowth(Growth):
    kind: Literal["robust_growth"] = "robust_growth"  # type: ignore[assignment]
    robust: ClassVar[bool] = True


class Tally(Likelihood):
    """A likelihood of whole numbers."""

    kind: Literal["tally"] = "tally"
    scores: ClassVar[tuple[type[Form], ...]] = (Numbers,)
    support: ClassVar[Support] = "whole"

    def head(self, form: Form) -> nn.Module:
        raise NotImplementedError


# Cells.


@pytest.mark.parametrize("cell", [0, "0", -2.5, np.float32(0), "-1e3"])
def test_a_number_that_is_not_above_0_is_a_fault(cell: Any) -> None:
    price = Numeric(likelihood=Growth(), mean=(0.0,), std=(1.0,))
    for others in ([1.0, 2.0], ["1", "2"], [1, "2"]):
        parsed = price.parse_column([*others, cell, None, math.nan])
        assert parsed.present.tolist() == [True, True, False, False, False]
        (row,) = parsed.faults
        assert row == 2
        for word in (repr(cell), "not above 0", "likelihood growth", "mend the cell", "gaussian"):
            assert word in parsed.faults[row]
    with pytest.raises(ValueError, match="not above 0"):
        price.parse(cell)


def test_other_entries_of_a_row_stay() -> None:
    body = Numeric(columns=XY, likelihood=Growth(), mean=(0.0, 0.0), std=(1.0, 1.0))
    parsed = body.parse_column(Records({"x": [1.0, 0.0], "y": ["many", 3.0]}))
    assert parsed.stored.tolist() == [[[1, 0], [1, 0]], [[0, 3], [0, 1]]]
    assert parsed.faults[0].startswith("y: 'many' is no number")
    assert parsed.faults[1].startswith("x: 0.0 is not above 0")


def test_shares_lie_between_0_and_1() -> None:
    share = Numeric(likelihood=BernoulliLikelihood(), mean=(0.5,), std=(0.3,))
    parsed = share.parse_column([0, 1, 0.25, 1.5, -0.1])
    assert parsed.present.tolist() == [True, True, True, False, False]
    assert "1.5 is not from 0 to 1" in parsed.faults[3]
    assert share.form().support == "unit"
    assert Numeric(mean=(0.5,), std=(0.3,)).form().support == "real"


@pytest.mark.parametrize("likelihood", [Tally(), CategoricalLikelihood()], ids=lambda likelihood: likelihood.kind)
def test_likelihoods_of_whole_numbers_and_classes_do_not_fit(likelihood: Likelihood) -> None:
    for options in ({}, {"mean": (0.0,), "std": (1.0,)}):  # before fit and after it
        fault = refused(Numeric, likelihood=likelihood, **options)
        assert fault.startswith(f"{likelihood.kind} scores")


# What is learned and read.


def test_mean_and_spread_are_those_of_what_the_likelihood_reads() -> None:
    draws = np.random.default_rng(0).lognormal(3, 2, 200)
    cells = [None, 0.0, *draws.tolist()]  # 0 is no such number, and nothing is learned from it
    fitted = Numeric(likelihood=Growth()).fit([cells[:50], cells[50:]])
    assert fitted.mean == pytest.approx((np.log(draws).mean(),))
    assert fitted.std == pytest.approx((np.log(draws).std(),))
    robust = Numeric(likelihood=RobustGrowth()).fit([cells])
    low, middle, high = np.quantile(np.log(draws), (0.25, 0.5, 0.75))
    assert robust.mean == pytest.approx((middle,))
    assert robust.std == pytest.approx(((high - low) / 1.3489795003921634,))


def test_networks_read_standardised_logarithms() -> None:
    body = Numeric(columns=XY, likelihood=Growth(), mean=(1.0, 2.0), std=(2.0, 0.5))
    x = torch.stack([body.parse({"x": math.e**3, "y": math.e}), body.parse({"y": math.e**2})])
    expected = torch.tensor([[1.0, -2, 1, 1], [0, 0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(body.reader()(x), expected)
    garbage = x.clone()
    garbage[1, 0, 0] = -7.0
    assert torch.equal(body.reader()(garbage), body.reader()(x))


@pytest.mark.parametrize(("likelihood", "farthest"), [(Growth(), 1000), (RobustGrowth(), 10)])
def test_what_is_read_is_cut_off_sooner_where_outliers_are_allowed_for(likelihood: Likelihood, farthest: float) -> None:
    price = Numeric(likelihood=likelihood, mean=(0.0,), std=(1e-3,))
    assert price.condition(torch.tensor([1e-20, 1e20], dtype=torch.float64)).tolist() == [[-farthest], [farthest]]


def test_the_density_is_that_of_the_number_itself() -> None:
    body = Numeric(columns=XY, likelihood=Growth(), mean=(1.0, 2.0), std=(2.0, 0.5))
    decoder, z = body.decoder(3).double(), torch.randn(2, 3, dtype=torch.float64)
    x = torch.stack([body.parse({"x": 0.3, "y": 5.0}), body.parse({"y": 7.0})])
    raw = decoder.get_submodule("network.raw")(z)[:, 0]
    expected = torch.zeros(2, dtype=torch.float64)
    for row in range(2):
        for k in range(2):
            if x[row, 1, k]:
                location = body.standard[0][k] + body.standard[1][k] * 3 * torch.tanh(raw[row, k] / 3)
                y = (x[row, 0, k].log() - location) / body.standard[1][k]
                expected[row] += (
                    -0.5 * y**2 - math.log(body.standard[1][k] * math.sqrt(2 * math.pi)) - x[row, 0, k].log()
                )
    torch.testing.assert_close(decoder(z).log_prob(x), expected)


@pytest.mark.parametrize("columns", [None, pytest.param(XY, marks=pytest.mark.slow)], ids=["one", "several"])
def test_numbers_keep_their_promises_with_a_likelihood_of_positive_ones(columns: tuple[str, ...] | None) -> None:
    check_modality(Numeric(columns=columns, likelihood=Growth(), network=MLP(width=16)))


# Yes and no.


def test_other_networks_and_likelihoods_of_yes_and_no() -> None:
    face = Attributes(columns=XY, values=("no", "yes"), network=MLP(width=8), likelihood=GaussianLikelihood())
    z = torch.randn(5, 3)
    p = face.decoder(3)(z)
    assert torch.equal(face.point(p)[:, 0], (p.mean[:, 0] > 0.5).float())  # a Gaussian's mean lies in 0 to 1
    assert ((face.average(p, 1) > 0) & (face.average(p, 1) < 1)).all()
    narrow = Binary(values=("no", "yes"), network=MLP(width=8, depth=1))
    assert sum(weights.numel() for weights in narrow.encoder(6).parameters()) == 2 * 8 + 9 * 6
    assert refused(Binary, likelihood=GaussianLikelihood()).startswith("gaussian scores")
    assert refused(Attributes, columns=XY, likelihood=Tally()).startswith("tally scores whole numbers")
