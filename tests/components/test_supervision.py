from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from facts import assert_facts
from mmtoolkit.components import Supervision
from toys import EXAMPLES

NAMES = ["a", "b", "c", "d"]
ONE_OF_TWO = ("paired (a fraction of rows)", "keep (a probability of cells)")
PAIRED_ONLY = ("groups and rest", "paired", "keep")
EMPTY = ("groups", "empty", "name modalities")


def patterns(supervision, rows=100):
    """How many rows keep which modalities, written as one word."""
    kept = supervision.kept(NAMES, rows)
    assert kept.shape == (rows, len(NAMES))
    assert kept.dtype == bool
    return Counter("".join(n for n, stays in zip(NAMES, row, strict=True) if stays) for row in kept)


def test_a_fraction_stays_paired_and_the_rest_is_split_evenly_among_single_modalities():
    assert patterns(Supervision(paired=0.2)) == {"abcd": 20, "a": 20, "b": 20, "c": 20, "d": 20}


def test_an_unpaired_row_keeps_one_group_and_what_is_in_no_group():
    supervision = Supervision(paired=0.2, groups=(("a",), ("b", "c")))
    assert patterns(supervision) == {"abcd": 20, "ad": 40, "bcd": 40}


def test_a_modality_of_two_groups_stays_with_both():
    supervision = Supervision(paired=0.2, groups=(("a", "b"), ("b", "c", "d")))
    assert patterns(supervision) == {"abcd": 20, "ab": 40, "bcd": 40}


def test_the_rest_can_be_dropped():
    assert patterns(Supervision(paired=0.3, rest="drop")) == {"abcd": 30, "": 70}


@EXAMPLES
@given(st.floats(0, 1), st.integers(0, 60))
def test_counts_are_the_fraction_to_the_row_and_even_to_the_row(paired, rows):
    counts = patterns(Supervision(paired=paired), rows)
    assert abs(counts["abcd"] - paired * rows) <= 0.5
    alone = [counts[name] for name in NAMES]
    assert sum(alone) == rows - counts["abcd"]
    assert max(alone) - min(alone) <= 1


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 1.0])
def test_each_cell_stays_with_the_given_probability(keep):
    kept = Supervision(keep=keep).kept(NAMES, 20_000)
    deviation = np.sqrt(keep * (1 - keep) / 20_000)
    np.testing.assert_allclose(kept.mean(0), keep, rtol=0, atol=4 * deviation)
    np.testing.assert_allclose((kept[:, 0] & kept[:, 1]).mean(), keep**2, rtol=0, atol=4 * deviation)


@pytest.mark.parametrize("options", [{"paired": 0.5}, {"paired": 0.5, "rest": "drop"}, {"keep": 0.5}])
def test_the_draw_is_fixed_by_the_seed(options):
    first, again = (Supervision(**options, seed=1).kept(NAMES, 50) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, Supervision(**options, seed=2).kept(NAMES, 50))


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ONE_OF_TWO),
        ({"paired": 0.5, "keep": 0.5}, ONE_OF_TWO),
        ({"keep": 0.5, "groups": [["a"]]}, PAIRED_ONLY),
        ({"keep": 0.5, "rest": "drop"}, PAIRED_ONLY),
        ({"paired": 0.5, "groups": []}, EMPTY),
        ({"paired": 0.5, "groups": [["a"], []]}, EMPTY),
        ({"paired": 1.5}, ("less than or equal to 1",)),
        ({"keep": -0.1}, ("greater than or equal to 0",)),
        ({"paired": 0.5, "pairs": 1}, ("Extra inputs are not permitted",)),
    ],
)
def test_faults_say_what_is_wrong(options, facts):
    with pytest.raises(ValidationError) as caught:
        Supervision(**options)
    (error,) = caught.value.errors()
    assert_facts(error["msg"], *facts)
