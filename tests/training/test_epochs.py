"""Which rows an epoch has, and how often each comes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facts import assert_facts
from mmtoolkit.schema.train import EpochSampling
from mmtoolkit.training.epochs import Epochs
from runs import SMALL, mmt, sets
from toys import EXAMPLES

COUNTS = st.integers(1, 40)


def epochs(there: int, whole: int, rows: int | None = None, complete: float | None = None) -> Epochs:
    """Epochs over the rows 100, 101, …, of which the first `whole` are complete."""
    options = EpochSampling(rows=rows, complete=complete)
    return Epochs(100 + torch.arange(there), torch.arange(there) < whole, options)


def test_by_default_every_row_comes_once_in_another_order_each_time() -> None:
    plain = epochs(30, 4)
    first, again, other = (plain.order(seed).tolist() for seed in (1, 1, 2))
    assert sorted(first) == list(range(100, 130)) == sorted(other)
    assert first == again != other


@EXAMPLES
@given(COUNTS, COUNTS, st.integers(1, 150), st.none() | st.floats(0.01, 1), st.integers(0, 5))
def test_rows_come_as_often_as_was_asked(rows: int, whole_rows: int, size: int, share: float | None, seed: int) -> None:
    complete = min(whole_rows, rows)
    plan = epochs(rows, complete, size, share)
    order = plan.order(seed).tolist()
    assert plan.size == len(order) == size
    whole = [row for row in order if row < 100 + complete]
    rest = [row for row in order if row >= 100 + complete]
    assert rest == [] or max(rest) < 100 + rows
    if share is not None and 0 < complete < rows:
        assert len(whole) == max(1, round(share * size))
        groups = [(whole, complete), (rest, rows - complete)]
    else:
        groups = [(order, rows)]
    for group, there in groups:
        often = Counter(group)
        times = [often.get(row, 0) for row in often] + [0] * (there - len(often))
        assert max(times) - min(times) <= 1  # none twice more often than another


def test_complete_rows_are_spread_over_the_epoch() -> None:
    order = epochs(1000, 10, complete=0.5).order(0)
    shares = [(part < 110).double().mean().item() for part in order.split(100)]
    assert min(shares) > 0.3
    assert max(shares) < 0.7


def test_where_no_row_or_every_row_is_complete_rows_come_as_they_are() -> None:
    plain = epochs(9, 0).order(3).tolist()
    assert epochs(9, 0, complete=0.5).order(3).tolist() == plain == epochs(9, 9, complete=0.5).order(3).tolist()


@pytest.mark.slow
def test_a_run_trains_on_as_many_rows_as_its_epoch_has(tmp_path: Path) -> None:
    changes = ["data.supervision={paired: 0.02}", "train.sampling={rows: 120, complete: 0.5}"]
    some = mmt("run", "fashion_mini", *sets(*SMALL, *changes), "--out", tmp_path / "run")
    assert some.status == 0, some.err
    assert_facts(some.err, "training", "2 epochs", "3 steps", "120 rows")
    none = mmt(
        "run", "fashion_mini", *sets(*SMALL, "data.supervision={paired: 0}", changes[1]), "--out", tmp_path / "no"
    )
    assert none.status == 0
    assert_facts(none.err, "train.sampling.complete: ", "no training row has every modality")
    assert "train.sampling.complete" not in some.err
    bad = mmt("run", "fashion_mini", *sets("train.sampling={complete: 0}"), "--out", tmp_path / "bad")
    assert bad.status == 2
    assert "--set train.sampling" in bad.err
