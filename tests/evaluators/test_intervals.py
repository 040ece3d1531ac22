"""Coverage and CRPS of draws, against loops, closed forms, and a model whose predictions are right by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes import Attributes, Count, Label, Numeric
from mmt_record import Record
from mmt_series import SeriesModality
from mmt_text import Text
from mmtoolkit import MVAE, Modality, TrainedRun, build
from mmtoolkit.evaluators import Imputation
from mmtoolkit.evaluators.intervals import IntervalScores, coverage, crps
from toys import EXAMPLES, seeded
from untrained import untrained


def _cover_by_hand(draws: Sequence[float], x: float, share: float, parts: int = 2000) -> float:
    """The share of ranks of x among its equals, and of places within a rank, that lie in the interval."""
    hits = []
    for rank in range(sum(d < x for d in draws), sum(d <= x for d in draws) + 1):
        for place in range(parts):
            u = (rank + (place + 0.5) / parts) / (len(draws) + 1)
            hits.append((1 - share) / 2 < u < (1 + share) / 2)
    return float(np.mean(hits))


def _crps_by_hand(draws: Sequence[float], x: float) -> float:
    count = len(draws)
    pairs = sum(abs(draws[i] - draws[j]) for i in range(count) for j in range(count) if i != j)
    return sum(abs(d - x) for d in draws) / count - pairs / (count * (count - 1)) / 2


@EXAMPLES
@given(
    draws=st.lists(st.integers(-3, 3), min_size=2, max_size=7), x=st.integers(-4, 4), share=st.sampled_from([0.5, 0.9])
)
def test_coverage_and_crps_are_those_of_explicit_loops(draws: list[int], x: int, share: float) -> None:
    numbers = torch.tensor(draws, dtype=torch.float64)[:, None]
    truth = torch.tensor([float(x)], dtype=torch.float64)
    assert float(coverage(numbers, truth, share)) == pytest.approx(_cover_by_hand(draws, x, share), abs=1e-3)
    assert float(crps(numbers, truth)) == pytest.approx(_crps_by_hand(draws, x), abs=1e-12)


@pytest.mark.parametrize("count", [2, 5, 20])
@pytest.mark.parametrize("whole", [False, True])
def test_right_distributions_are_covered_as_often_as_they_say_whatever_the_draws(count: int, whole: bool) -> None:
    scores = torch.randn(count + 1, 100_000, generator=seeded(count)).double()
    scores = (2 * scores).round() if whole else scores
    for share in (0.5, 0.9):
        of = coverage(scores[1:], scores[0], share)
        assert float(of.mean()) == pytest.approx(share, abs=4 * float(of.std()) / math.sqrt(len(of)))


def test_crps_of_draws_is_that_of_the_normal_distribution() -> None:
    x = torch.tensor([-2.0, 0.3, 5.0]).double()
    mean, std = torch.tensor([0.0, 1.0, 4.0]).double(), torch.tensor([1.0, 2.0, 0.5]).double()
    z = (x - mean) / std
    normal = distributions.Normal(0.0, 1.0)
    exact = std * (z * (2 * normal.cdf(z) - 1) + 2 * normal.log_prob(z).exp() - 1 / math.sqrt(math.pi))
    for count in (2, 3, 50):  # without bias, however few draws there are
        draws = mean + std * torch.randn(count, 40_000, 3, generator=seeded(count)).double()
        of = crps(draws, x.expand(40_000, 3))
        error = of.std(0) / math.sqrt(len(of))
        assert ((of.mean(0) - exact).abs() < 4 * error).all()
        assert (error < 0.02).all()


def test_a_row_counts_once_and_unknown_parts_do_not() -> None:
    draws = torch.randn(4, 3, 2, generator=seeded()).double()
    x, known = torch.zeros(3, 2).double(), torch.tensor([[True, True], [True, False], [False, True]])
    scores = IntervalScores()
    scores.add(draws, x, known, torch.tensor([1.0, 3.0]).double())
    by_metric = {result["metric"]: result for result in scores.results()}
    assert list(by_metric) == ["coverage_50", "coverage_90", "crps"]
    of = crps(draws, x)
    assert by_metric["crps"]["value"] == pytest.approx(float((of[0].mean() + of[1, 0] + of[2, 1]) / 3))
    assert by_metric["crps"]["baseline"] == pytest.approx((2 + 1 + 3) / 3)
    assert [by_metric[f"coverage_{share}"]["nominal"] for share in (50, 90)] == [0.5, 0.9]
    assert {result["examples"] for result in by_metric.values()} == {3}
    assert IntervalScores().results() == []


# A model that is right by construction: x = z + e for each modality, all standard normal.


class Sum(Modality):
    """A number x ~ N(z, 1), whose expert is N(x, 1): their product with the prior is the exact posterior."""

    kind: Literal["sum"] = "sum"
    error: float = 1.0

    def event_shape(self) -> tuple[int, ...]:
        return ()

    def parse(self, cell: Any) -> Tensor:
        return torch.tensor(cell, dtype=torch.float32)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return Expert()

    def decoder(self, size: int) -> nn.Module:
        return Around(self.error)


class Expert(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x, torch.zeros_like(x)], 1)


class Around(nn.Module):
    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Distribution:
        return distributions.Normal(z[:, 0], self.error, validate_args=False)


def sums(folder: Path, rows: int, error: float = 1.0) -> TrainedRun:
    draw = np.random.default_rng(0)
    z = draw.normal(size=rows)
    cells = {name: (z + draw.normal(size=rows)).tolist() for name in "ab"}
    run = untrained({name: Sum(error=error) for name in "ab"}, folder, train=cells)
    return replace(run, model=build(MVAE(latent_dim=1), run.modalities, seed=0).eval())


def scores_of(run: TrainedRun, **options: Any) -> dict[tuple[str, str], dict[str, Any]]:
    (score,) = run.evaluate([Imputation(neighbours=0, **options)], run.default_split())
    return {(result["target"][0], result["metric"]): result for result in score["results"]}


@pytest.mark.parametrize("samples", [2, 25])
def test_the_intervals_of_a_right_model_hold_what_they_say(samples: int, own_cache: Path, tmp_path: Path) -> None:
    results = scores_of(sums(tmp_path, 4000), hide={"b": 1.0}, samples=samples, rows=4000)
    for share in (0.5, 0.9):
        result = results["b", f"coverage_{100 * share:.0f}"]
        assert (result["examples"], result["nominal"], result["better"]) == (4000, share, None)
        assert abs(result["value"] - share) < 4 * result["stderr"]
    exact = math.sqrt(1.5 / math.pi)  # of N(a / 2, 3 / 2), if x is of it too
    result = results["b", "crps"]
    assert abs(result["value"] - exact) < 4 * result["stderr"]
    assert result["value"] < result["baseline"]
    assert result["better"] == "low"


def test_the_intervals_of_a_model_too_sure_of_itself_hold_less(own_cache: Path, tmp_path: Path) -> None:
    results = scores_of(sums(tmp_path, 2000, error=0.2), hide={"b": 1.0}, samples=20)
    assert results["b", "coverage_50"]["value"] < 0.4
    assert results["b", "coverage_90"]["value"] < 0.8


def test_other_scores_are_the_same_and_without_samples_nothing_is_added(own_cache: Path, tmp_path: Path) -> None:
    run = sums(tmp_path, 300)
    assert {metric for _, metric in scores_of(run, samples=1)} == {"squared_error"}
    assert {metric for _, metric in scores_of(run)} == {"squared_error"}
    both, alone = scores_of(run, samples=4, hide=0.3), scores_of(run, samples=4, hide={"a": 0.3, "b": 0.3})
    assert both == alone
    torch.manual_seed(9)
    assert both == scores_of(run, samples=4, hide=0.3)


def test_every_modality_of_quantities_has_intervals_and_no_other(own_cache: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    modalities: dict[str, Modality] = {
        "size": Numeric(),
        "body": Numeric(columns=("height", "weight")),
        "curve": SeriesModality(length=5),
        "pet": Label(classes=("cat", "dog")),
        "face": Attributes(columns=("old", "rare"), values=("0", "1")),
        "word": Text(length=2, alphabet=("a", "b")),
    }
    cells: dict[str, Any] = {name: draw.normal(size=80).tolist() for name in ("size", "height", "weight")}
    cells |= {"curve": draw.normal(size=(80, 5)).tolist(), "pet": ["cat", "dog"] * 40, "word": ["ab", "ba"] * 40}
    cells |= {name: ["0", "1"] * 40 for name in ("old", "rare")}
    results = scores_of(untrained(modalities, tmp_path, train=cells), samples=3, hide=0.5)
    with_intervals = {target for target, metric in results if metric == "crps"}
    assert with_intervals == {"size", "body", "curve"}
    for name in with_intervals:
        assert results[name, "crps"]["examples"] == results[name, "coverage_90"]["examples"] > 20
        assert results[name, "crps"]["examples"] == results[name, "squared_error"]["examples"]
        assert math.isfinite(results[name, "crps"]["value"])


def test_columns_of_a_record_have_intervals(own_cache: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns: dict[str, Modality] = {"size": Numeric(), "visits": Count(), "pet": Label(classes=("cat", "dog"))}
    cells: dict[str, Any] = {"size": draw.normal(size=60).tolist(), "visits": draw.poisson(3.0, size=60).tolist()}
    cells |= {"pet": ["cat", "dog"] * 30, "age": draw.normal(size=60).tolist()}
    run = untrained({**columns, "age": Numeric()}, tmp_path, train=cells)
    record = Record(columns={name: run.modalities[name] for name in columns})
    model = build(MVAE(latent_dim=2), {"row": record, "age": run.modalities["age"]}, seed=0).eval()
    results = scores_of(replace(run, model=model), samples=19, hide=0.5)
    assert {target for target, metric in results if metric == "crps"} == {"size", "visits", "age"}
    assert all(0 < results[name, "coverage_90"]["value"] <= 1 for name in ("size", "visits", "age"))
