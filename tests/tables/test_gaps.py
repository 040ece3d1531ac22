"""Gaps in lists and in their texts, by random lists."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.tables.gaps import has_gaps, in_place_of, with_gaps_filled

NUMBERS = st.one_of(st.none(), st.integers(-9, 10**20), st.floats(-1e3, 1e3))
LISTS = st.recursive(st.lists(NUMBERS, min_size=1, max_size=5), lambda inner: st.lists(inner, min_size=1, max_size=3))


def _filled(cell: Any, fills: Any) -> Any:
    if isinstance(cell, list):
        return [_filled(old, new) for old, new in zip(cell, fills, strict=True)]
    return fills if cell is None else cell


def _like(cell: Any, number: float) -> Any:
    return [_like(element, number + place) for place, element in enumerate(cell)] if isinstance(cell, list) else number


@given(cell=LISTS, seed=st.integers(0, 99))
def test_known_elements_stay_as_they_are(cell: list[Any], seed: int) -> None:
    fills = _like(cell, 0.25)
    assert repr(with_gaps_filled(cell, fills)) == repr(_filled(cell, fills))
    assert has_gaps(cell) == ("None" in repr(cell))
    draw = random.Random(seed)
    text = "".join(letter + " " * draw.randrange(3) if letter in ",[]" else letter for letter in json.dumps(cell))
    for new in (fills, json.dumps(fills)):
        after = with_gaps_filled(text, new)
        assert json.loads(after) == _filled(cell, fills)
        # Without the new elements and the gaps, the letters are the same.
        if not has_gaps(cell):
            assert after == text


def test_the_letters_of_known_elements_stay() -> None:
    assert with_gaps_filled(' [1.50,null , "null", NaN,1e2]', [9, 8.5, 9, 7, 9]) == ' [1.50,8.5 , "null", 7,1e2]'


def test_arrays_keep_their_type() -> None:
    whole = np.array([[0.1, np.nan], [np.nan, 3.0]], dtype=np.float32)
    filled = with_gaps_filled(whole, [[9.0, 1.5], [2.5, 9.0]])
    assert filled.dtype == np.float32
    assert filled.tolist() == [[np.float32(0.1), 1.5], [2.5, 3.0]]
    nested = np.empty(2, dtype=object)
    nested[0], nested[1] = np.array([1.0, np.nan]), [2, None]
    filled = with_gaps_filled(nested, [[9.0, 1.5], [9.0, 2.5]])
    assert filled[0].tolist() == [1.0, 1.5]
    assert filled[1] == [2, 2.5]
    assert np.isnan(nested[0][1])  # the old cell does not change


@pytest.mark.parametrize(
    ("cell", "new"), [([1, None], [1.0]), ([1, None], 3.0), ([[1], None], [[1], [2]]), ("[1, null]", "[1]")]
)
def test_lists_of_other_lengths_fill_nothing(cell: Any, new: Any) -> None:
    assert with_gaps_filled(cell, new) is None
    assert in_place_of(cell, new) is None


@pytest.mark.parametrize("cell", [None, 3.0, "text", "[1, 2", "[1, 2]", [1, 2], [], {"a": None}, np.array(np.nan)])
def test_other_cells_have_no_gaps(cell: Any) -> None:
    assert not has_gaps(cell)
    assert in_place_of(cell, "new") == "new"
