"""The contract of the modality `counts`, and its likelihoods against formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mmt_counts import Counts, ZeroInflatedPoissonLikelihood
from pydantic import ValidationError

from mmtoolkit import MLP, Grid, Likelihood, NegativeBinomialLikelihood, Numbers
from mmtoolkit.testing import check_likelihood, check_modality

TWO = ("heron", "lark")
LARGEST = 2**53
ZERO_INFLATED, NEGATIVE_BINOMIAL = ZeroInflatedPoissonLikelihood(), NegativeBinomialLikelihood()


@pytest.mark.parametrize("likelihood", [ZERO_INFLATED, NEGATIVE_BINOMIAL], ids=lambda likelihood: likelihood.kind)
@pytest.mark.parametrize("columns", [None, TWO], ids=["one", "several"])
def test_it_keeps_its_promises(columns: tuple[str, ...] | None, likelihood: Likelihood) -> None:
    bad: list[Any] = ["many", -1, 2.5, math.inf, 10**400]
    entries = [{"heron": cell} for cell in bad]
    check_modality(Counts(columns=columns, likelihood=likelihood), bad=bad if columns is None else [*entries, "7"])


def decoded(z: float = 0.3, rows: int = 1) -> tuple[Any, float, float]:
    """The zero-inflated distribution of a single count, the same in each row, its rate and the share of its zeros."""
    torch.manual_seed(0)
    decoder = Counts(likelihood=ZERO_INFLATED, typical=(7.0,)).decoder(3).double()
    with torch.no_grad():
        p = decoder(torch.full((rows, 3), z, dtype=torch.float64))
    return p, float(p.base.rate[0]), 1 / (1 + math.exp(-float(p.base.logit[0])))


@pytest.mark.parametrize("z", [-40.0, 0.3, 40.0])
def test_zero_inflated_poisson(z: float) -> None:
    p, rate, zeros = decoded(z)
    for x in (0, 1, 7, 1000):
        poisson = x * math.log(rate) - rate - math.lgamma(x + 1)
        expected = math.log(zeros + (1 - zeros) * math.exp(-rate)) if x == 0 else math.log1p(-zeros) + poisson
        found = float(p.log_prob(torch.tensor([float(x)], dtype=torch.float64)))
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_probabilities_sum_to_one_and_have_the_variance_that_is_promised() -> None:
    x = torch.arange(2000, dtype=torch.float64)
    p, rate, zeros = decoded(rows=len(x))
    weights = p.log_prob(x).exp()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-9)
    mean = (1 - zeros) * rate
    assert float((weights * x).sum()) == pytest.approx(mean, rel=1e-9)
    assert float((weights * (x - mean) ** 2).sum()) == pytest.approx(float(p.base.variance[0]), rel=1e-9)


def test_at_output_zero_the_rate_is_the_typical_count() -> None:
    form = Counts(columns=TWO, typical=(3.0, 20.0)).form()
    p = ZERO_INFLATED.head(form)(torch.zeros(1, 2, 2))
    torch.testing.assert_close(p.rate[0], torch.tensor([3.0, 20.0]).double(), rtol=1e-6, atol=0)


def test_typical_counts_are_learned() -> None:
    counts = Counts(columns=TWO)
    cells = [{"heron": 2, "lark": 30}, {"heron": "4"}, {"lark": "many"}, {"lark": 10}]
    assert counts.fit(iter([cells[:1], cells[1:]])).typical == (3.0, 20.0)
    given = Counts(columns=TWO, typical=(1.0, 2.0))
    assert given.fit(iter([cells])) is given
    assert Counts().fit(iter([[0, 0]])).typical == (0.01,)  # a unit of zero would divide by it


def test_old_options_stay_valid() -> None:
    counts = Counts.model_validate({"likelihood": "poisson", "hidden": 32, "typical": [4.0]})
    assert (counts.likelihood.kind, counts.network) == ("poisson", MLP(width=32, depth=1, decoder_depth=1))
    assert "hidden" not in counts.model_dump()
    with pytest.raises(ValidationError, match="hidden is given here and in network"):
        Counts.model_validate({"network": {"kind": "mlp", "width": 8}, "hidden": 8})


def test_networks_read_the_logarithm_of_each_count_and_whether_it_is_known() -> None:
    counts = Counts(columns=TWO, typical=(2.0, 10.0))
    x = torch.stack([counts.parse({"heron": 6, "lark": 5}), counts.parse({"lark": 30})])
    read = counts.reader()(x)
    expected = [[math.log(7 / 3), math.log(6 / 11), 1, 1], [0, math.log(31 / 11), 0, 1]]
    torch.testing.assert_close(read, torch.tensor(expected, dtype=torch.float64))
    single = Counts(typical=(2.0,))
    torch.testing.assert_close(single.reader()(single.parse(6)[None])[0, 0], torch.tensor(math.log(7 / 3)).double())


def test_pixels_may_be_counts() -> None:
    form = Grid(2, 3, 3, support="whole")
    assert ZERO_INFLATED.misfit(form) is None
    assert "whole numbers" in str(ZERO_INFLATED.misfit(Numbers(3)))
    raw = torch.randn(4, 2, 2, 3, 3, dtype=torch.float64)
    p = ZERO_INFLATED.head(form)(raw)
    torch.testing.assert_close(p.mean, (raw[:, 0].exp() + 1e-6) * torch.sigmoid(-raw[:, 1]))
    assert p.log_prob(torch.ones(4, 2, 3, 3)).shape == (4, 2, 3, 3)


def test_the_likelihood_keeps_its_promises() -> None:
    check_likelihood(ZERO_INFLATED)


def test_what_is_not_known_yet_is_told() -> None:
    with pytest.raises(ValueError, match="typical counts are not known yet; give typical, or let `fit` learn it"):
        Counts().decoder(2)
    with pytest.raises(ValidationError, match="typical has 1 entries and there are 2 counts; give one each"):
        Counts(columns=TWO, typical=(1.0,))


@pytest.mark.parametrize(("cell", "value"), [(3, 3), ("12", 12), (4.0, 4), (0, 0), (LARGEST, LARGEST), (" 7 ", 7)])
def test_counts_come_back(cell: Any, value: int) -> None:
    counts = Counts(typical=(4.0,))
    x = counts.prepare(counts.parse(cell)[None], None, None)[0]
    assert counts.cell(x) == value
    assert isinstance(counts.cell(x), int)


@pytest.mark.parametrize("cell", ["many", -1, 2.5, math.inf, 10**400, LARGEST * 2, [1]])
def test_what_is_no_count_is_a_fault(cell: Any) -> None:
    parsed = Counts().parse_column([cell, None, 1, math.nan])
    assert parsed.present.tolist() == [False, False, True, False]
    assert parsed.faults == {0: f"{cell!r} is no count; give 0 or a positive whole number"}
