"""The modalities ordinal and count."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributions

from mmt_attributes import Count, Ordinal
from mmtoolkit import ColumnSummary, Marks
from mmtoolkit.components.known_numbers import Entries

GRADES = Ordinal(classes=("poor", "fair", "good", "best"))


def summary(cells: list[Any], counts: list[int] | None = None, name: str = "x", **more: Any) -> ColumnSummary:
    counts = [10] * len(cells) if counts is None else counts
    return ColumnSummary(name, sum(counts), 0, tuple(cells), tuple(counts), **more)


# Ordinal.


def test_the_order_is_that_of_the_list_or_of_size() -> None:
    assert Ordinal().fit([[10, "9", 2.0], [1]]).names == ("1", "2", "9", "10")
    assert GRADES.fit(iter([["fair"]])) is GRADES
    with pytest.raises(ValueError, match="'high' is no number; list them from the lowest to the highest"):
        Ordinal().fit(iter([["low", "high", "3"]]))
    with pytest.raises(ValueError, match="an ordinal modality needs two classes or more"):
        Ordinal().fit(iter([["1", "1"]]))


def test_scores_tell_how_many_ranks_it_is_off() -> None:
    scores = GRADES.scores(torch.tensor([0, 3, 2]), torch.tensor([3, 3, 1]))
    assert scores["accuracy"].tolist() == [0, 1, 0]
    assert scores["rank_error"].tolist() == [3, 0, 1]
    assert GRADES.better() == {"accuracy": "high", "rank_error": "low"}


def test_the_point_is_the_most_probable_class() -> None:
    p = distributions.Categorical(probs=torch.tensor([[0.35, 0.05, 0.3, 0.3]]))
    assert GRADES.point(p).tolist() == [0]


def test_conditional_networks_see_the_order() -> None:
    assert GRADES.condition(torch.tensor([0, 2, 3])).tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert GRADES.condition_size == 3


def test_probabilities_of_the_decoder_sum_to_one_in_order() -> None:
    torch.manual_seed(0)
    p = GRADES.decoder(3).double()(torch.randn(5, 3, dtype=torch.float64))
    torch.testing.assert_close(p.probs.sum(1), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("cells", "name", "classes"),
    [
        (["high", "low", "medium"], "x", ["low", "medium", "high"]),
        (["Very Good", "Fair", "Ideal", "Good", "Premium"], "cut", ["Fair", "Good", "Very Good", "Premium", "Ideal"]),
        (["3rd", "1st", "2nd"], "class", ["1st", "2nd", "3rd"]),
        (["2", "1", "3", "4"], "stage", ["1", "2", "3", "4"]),
        (["2", "1", "3", "4"], "region", None),
        (["2", "1", "4"], "stage", None),
        (["cat", "dog", "owl"], "x", None),
        (["low", "high"], "x", None),
    ],
)
def test_proposals_of_ordinals(cells: list[str], name: str, classes: list[str] | None) -> None:
    proposal = Ordinal.propose(summary(cells, name=name))
    assert (None if proposal is None else proposal.options) == (None if classes is None else {"classes": classes})


# Count.


@pytest.mark.parametrize(
    ("cell", "value"), [(3, 3), ("12", 12), (4.0, 4), (0, 0), (" 7 ", 7), ("3.0", 3), (Decimal(5), 5), (np.int8(2), 2)]
)
def test_counts_are_read(cell: Any, value: int) -> None:
    count = Count()
    assert count.cell(count.parse(cell)) == value
    assert isinstance(count.cell(count.parse(cell)), int)


@pytest.mark.parametrize("cell", [-1, 2.5, "-3", "1.5", -0.5])
def test_what_is_no_count(cell: Any) -> None:
    with pytest.raises(ValueError, match="is no count; write 0 or a positive whole number"):
        Count().parse(cell)
    assert Count().parse_column(np.array([2.5, 3.0])).faults.keys() == {0}


def test_marks() -> None:
    count = Count(thousands=".", decimal=",")
    assert count.parse("1.204").item() == 1204
    column = summary(["1.204", "12"], text_format=True)
    assert count.style(column)(30417) == "30.417"


@pytest.mark.parametrize(
    ("cells", "written"),
    [([1, 2], 7), ([1.0, 2.0], 7.0), (["1", "2"], "7"), (["1.0", "2.0"], "7.0"), ([Decimal(1)], Decimal(7))],
)
def test_counts_are_written_as_the_column_writes_them(cells: list[Any], written: Any) -> None:
    cell = Count().style(summary(cells))(7)
    assert (cell, type(cell)) == (written, type(written))


def test_networks_read_standardised_logarithms() -> None:
    count = Count().fit(iter([[0, 3, 12]]))
    logs = np.log1p([0.0, 3.0, 12.0])
    torch.testing.assert_close(count.mean, (logs.mean(),))
    torch.testing.assert_close(count.std, (logs.std(),))
    read = count.reader()(torch.tensor([3.0]).double())
    assert read.item() == pytest.approx((math.log(4) - logs.mean()) / logs.std())


def test_the_prediction_is_the_rounded_mean_which_has_the_least_squared_error() -> None:
    logits, x = torch.tensor([[math.log(2.4)]]).double(), torch.arange(3000.0).double()
    base = distributions.NegativeBinomial(torch.ones(1, 1).double(), logits=logits, validate_args=False)
    p = Entries(base, single=True)
    weights = base.log_prob(x[:, None, None]).exp().flatten()
    errors = [float((weights * (x - guess).square()).sum()) for guess in range(8)]
    assert Count().point(p).tolist() == [float(np.argmin(errors))] == [2.0]
    two = Entries(distributions.Poisson(torch.tensor([[1.0], [4.2]])), single=True)
    assert Count().pooled(two, 2).tolist() == [3.0]


@pytest.mark.parametrize(
    ("cells", "counts", "proposed"),
    [
        (list(range(8)), [30, 15, 7, 4, 1, 1, 1, 1], True),
        (list(range(30)), [60, 30, 20, 10, *[1] * 26], True),
        (list(range(1, 9)), [30, 15, 7, 4, 1, 1, 1, 1], False),  # no zero
        (list(range(40)), [2] * 40, False),  # even
        ([0, 1, 2], [30, 15, 2], False),  # classes
        ([0.5, *range(9)], [10] * 10, False),
        ([-1, *range(9)], [1, 60, 30, 20, 10, 4, 3, 2, 1, 1], False),
        ([18, 25, 40, 61, 70], [10, 30, 20, 10, 5], False),  # ages
    ],
)
def test_proposals_of_counts(cells: list[Any], counts: list[int], proposed: bool) -> None:
    assert (Count.propose(summary(cells, counts, marks=(Marks(),))) is not None) == proposed
