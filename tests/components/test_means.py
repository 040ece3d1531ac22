import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.components.means import MeanWithError
from toys import EXAMPLES

NUMBERS = st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30)


def metric_of(*chunks):
    metric = MeanWithError()
    for chunk in chunks:
        metric.update(torch.as_tensor(chunk, dtype=torch.float64))
    return metric


def assert_agrees_with_numpy(result, values):
    assert result["examples"] == len(values)
    assert result["value"] == pytest.approx(np.mean(values), abs=1e-9)
    assert result["stderr"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-3, rel=1e-6)


@EXAMPLES
@given(NUMBERS, st.integers(0, 30))
def test_mean_and_standard_error_agree_with_numpy_however_rows_are_chunked(values, cut):
    assert_agrees_with_numpy(metric_of(values[:cut], values[cut:]).compute(), values)


@EXAMPLES
@given(NUMBERS, NUMBERS)
def test_two_processes_agree_with_one(mine, others):
    metric = metric_of(mine)
    metric.merge_state(metric_of(others))
    assert_agrees_with_numpy(metric.compute(), mine + others)


def test_log_likelihoods_of_large_size_keep_their_error():
    values = -1e5 + np.random.default_rng(0).normal(size=10_000)
    result = metric_of(values).compute()
    assert result["stderr"] == pytest.approx(np.std(values, ddof=1) / 100, rel=1e-4)


def test_float32_rows_are_summed_in_float64():
    metric = MeanWithError()
    metric.update(torch.tensor([2.0**24]))
    for _ in range(10):
        metric.update(torch.ones(1))
    assert metric.compute()["value"] == (2.0**24 + 10) / 11


def test_no_row_has_neither_mean_nor_error():
    assert metric_of([]).compute() == {"value": None, "stderr": None, "examples": 0}


def test_one_row_has_a_mean_and_no_error():
    assert metric_of([3.0]).compute() == {"value": 3.0, "stderr": None, "examples": 1}


def test_equal_rows_have_no_error():
    assert metric_of([0.1] * 1000).compute()["stderr"] == pytest.approx(0, abs=1e-9)


def test_a_row_that_is_nan_is_not_hidden():
    result = metric_of([1.0, float("nan")]).compute()
    assert np.isnan(result["value"])
    assert np.isnan(result["stderr"])
