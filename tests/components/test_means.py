import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.components.means import MeanWithError
from toys import EXAMPLES

NUMBERS = st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30)
OFFSETS = st.sampled_from([0.0, -1e5, 1e8])


def mean_of(*chunks):
    mean = MeanWithError()
    for chunk in chunks:
        mean.update(torch.as_tensor(chunk, dtype=torch.float64))
    return mean


def assert_agrees_with_numpy(mean, values):
    scores = mean.compute()
    values = np.asarray(values, dtype=np.float64)
    resolution = np.spacing(np.abs(values).max()) * 4  # what float64 tells apart at the size of the values
    assert scores["examples"] == len(values)
    assert scores["value"] == pytest.approx(values.mean(), abs=resolution, rel=1e-14)
    assert scores["stderr"] == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), abs=resolution, rel=1e-9)


@EXAMPLES
@given(NUMBERS, st.integers(0, 30), OFFSETS)
def test_mean_and_standard_error_agree_with_numpy_however_rows_are_chunked(values, cut, offset):
    values = [offset + value for value in values]
    assert_agrees_with_numpy(mean_of(values[:cut], values[cut:]), values)


@EXAMPLES
@given(NUMBERS, NUMBERS, OFFSETS)
def test_two_means_merge_to_that_of_all_rows(first, second, offset):
    first, second = ([offset + value for value in values] for values in (first, second))
    mean = mean_of(first)
    mean.merge(mean_of(second))
    assert_agrees_with_numpy(mean, first + second)


def test_a_mean_merges_with_one_of_no_rows():
    mean = mean_of([1.0, 2.0])
    mean.merge(mean_of())
    empty = mean_of()
    empty.merge(mean)
    assert mean.compute() == empty.compute() == mean_of([1.0, 2.0]).compute()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_large_offset_costs_the_error_no_digits(size):
    values = 1e8 + np.random.default_rng(0).normal(size=10_000)
    assert_agrees_with_numpy(mean_of(*np.array_split(values, len(values) // size)), values)


def test_float32_rows_are_averaged_in_float64():
    mean = MeanWithError()
    mean.update(torch.tensor([2.0**24]))
    for _ in range(10):
        mean.update(torch.ones(1))
    assert mean.compute()["value"] == pytest.approx((2.0**24 + 10) / 11, rel=1e-15)


def test_no_row_has_neither_mean_nor_error():
    assert mean_of([]).compute() == {"value": None, "stderr": None, "examples": 0}


def test_one_row_has_a_mean_and_no_error():
    assert mean_of([3.0]).compute() == {"value": 3.0, "stderr": None, "examples": 1}


def test_equal_rows_have_no_error():
    assert mean_of([0.1] * 500, [0.1] * 500).compute()["stderr"] == pytest.approx(0, abs=1e-15)


def test_a_row_that_is_nan_is_not_hidden():
    scores = mean_of([1.0], [math.nan, 2.0]).compute()
    assert math.isnan(scores["value"])
    assert math.isnan(scores["stderr"])


@pytest.mark.slow
def test_neither_the_mean_nor_evaluators_load_torchmetrics():
    code = (
        "import sys, mmtoolkit, mmtoolkit.evaluators\n"
        "mmtoolkit.MeanWithError(), mmtoolkit.Elbo(), mmtoolkit.Prediction(), mmtoolkit.LogLikelihood()\n"
        "print('torchmetrics' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "False\n"
