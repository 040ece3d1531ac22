"""A known cell is never harmed: whatever the table, `impute` by the schema of `mmt init` fills holes alone."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from known_cells import FORMATS, case


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_known_cells_stay_and_fills_are_values_of_their_column(name: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        case(name, random.Random(seed), Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_cells_are_filled(name: str, tmp_path: Path) -> None:
    """The property would also hold if nothing was filled."""
    draw = random.Random(3)
    fills = 0
    for place in range(5):
        folder = tmp_path / str(place)
        folder.mkdir()
        fills += case(name, draw, folder)
    assert fills > 50
