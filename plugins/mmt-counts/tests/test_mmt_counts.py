"""The contract of the modality `counts`, and its likelihoods against formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mmt_counts import Counts, NegativeBinomialLikelihood, PoissonLikelihood
from pydantic import ValidationError

from mmtoolkit import MLP, Grid, Likelihood, Numbers
from mmtoolkit.testing import check_modality

TWO = ("heron", "lark")
LARGEST = 2**53
POISSON, NEGATIVE_BINOMIAL = PoissonLikelihood(), NegativeBinomialLikelihood()


@pytest.mark.parametrize("likelihood", [POISSON, NEGATIVE_BINOMIAL], ids=lambda likelihood: likelihood.kind)
@pytest.mark.parametrize("columns", [None, TWO], ids=["one", "several"])
def test_it_keeps_its_promises(columns: tuple[str, ...] | None, likelihood: Likelihood) -> None:
    bad: list[Any] = ["many", -1, 2.5, math.inf, 10**400]
    entries = [{"heron": cell} for cell in bad]
    check_modality(Counts(columns=columns, likelihood=likelihood), bad=bad if columns is None else [*entries, "7"])


def decoded(likelihood: Likelihood, z: float = 0.3, rows: int = 1) -> tuple[Any, float, float]:
    """The distribution of a single count, the same in each row, its mean and its dispersion."""
    torch.manual_seed(0)
    decoder = Counts(likelihood=likelihood, typical=(7.0,)).decoder(3).double()
    with torch.no_grad():
        p = decoder(torch.full((rows, 3), z, dtype=torch.float64))
    dispersions = [p for name, p in decoder.named_parameters() if name.endswith("raw_dispersion")]
    return p, float(p.mean[0]), sum(math.log1p(math.exp(float(raw.detach()))) + 1e-6 for raw in dispersions)


@pytest.mark.parametrize("z", [-40.0, 0.3, 40.0, 1e6])
def test_poisson(z: float) -> None:
    p, mean, _ = decoded(POISSON, z)
    for x in (0, 1, 7, 1000, 10**9):
        expected = x * math.log(mean) - mean - math.lgamma(x + 1)
        assert float(p.log_prob(torch.tensor([float(x)], dtype=torch.float64))) == pytest.approx(
            expected, rel=1e-12, abs=1e-9
        )


@pytest.mark.parametrize("z", [-40.0, 0.3, 40.0, 1e6])
def test_negative_binomial(z: float) -> None:
    p, mean, dispersion = decoded(NEGATIVE_BINOMIAL, z)
    r = 1 / dispersion
    for x in (0, 1, 7, 1000, 10**9):
        binomial = math.lgamma(x + r) - math.lgamma(r) - math.lgamma(x + 1)
        expected = binomial + r * math.log(r / (r + mean)) + x * (math.log(mean) - math.log(r + mean))
        assert float(p.log_prob(torch.tensor([float(x)], dtype=torch.float64))) == pytest.approx(
            expected, rel=1e-9, abs=1e-9
        )


def test_probabilities_sum_to_one_and_have_the_variance_that_is_promised() -> None:
    x = torch.arange(2000, dtype=torch.float64)
    p, mean, dispersion = decoded(NEGATIVE_BINOMIAL, rows=len(x))
    weights = p.log_prob(x).exp()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-9)
    assert float((weights * x).sum()) == pytest.approx(mean, rel=1e-9)
    assert float((weights * (x - mean) ** 2).sum()) == pytest.approx(mean + dispersion * mean**2, rel=1e-9)


def test_without_dispersion_a_negative_binomial_is_poisson() -> None:
    flat = Counts(typical=(7.0,)).decoder(2)
    with torch.no_grad():
        flat.get_parameter("network.head.raw_dispersion").fill_(-100.0)
        p = flat(torch.zeros(20, 2))
        mean = float(p.mean[0])
        expected = [x * math.log(mean) - mean - math.lgamma(x + 1) for x in range(20)]
        found = p.log_prob(torch.arange(20, dtype=torch.float64)).tolist()
    assert found == pytest.approx(expected, abs=1e-4)


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
    expected = [[math.log(4), math.log(1.5), 1, 1], [0, math.log(4), 0, 1]]
    torch.testing.assert_close(read, torch.tensor(expected, dtype=torch.float64))
    single = Counts(typical=(2.0,))
    torch.testing.assert_close(single.reader()(single.parse(6)[None])[0, 0], torch.tensor(math.log(4)).double())


def test_pixels_may_be_counts() -> None:
    form = Grid(2, 3, 3, support="whole", scale=(1.0, 5.0))
    for likelihood in (POISSON, NEGATIVE_BINOMIAL):
        assert likelihood.misfit(form) is None
        assert "whole numbers" in str(likelihood.misfit(Numbers(3)))
        raw = torch.randn(4, 1, 2, 3, 3, dtype=torch.float64)
        p = likelihood.head(form)(raw)
        means = torch.log1p(raw[:, 0].exp()) * torch.tensor([1.0, 5.0]).double()[:, None, None] + 1e-6
        torch.testing.assert_close(p.mean, means)
        assert p.log_prob(torch.ones(4, 2, 3, 3)).shape == (4, 2, 3, 3)


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
