"""Labels alone, for training that takes no time."""

from __future__ import annotations

import pytest

from mmtoolkit.data.dataset import Dataset
from short_training import labels


@pytest.fixture(scope="module")
def data() -> Dataset:
    return labels()
