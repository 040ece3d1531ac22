"""A first schema for a table in memory equals that of the same table in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmtoolkit import Arrays, UserError, load_plugins
from mmtoolkit.first_schema import first_schema, first_schema_of
from mmtoolkit.tables import Reading


def test_it_equals_that_of_a_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"size": draw.normal(size=40).round(3), "kind": [["a", "b", None][place] for place in draw.integers(0, 3, 40)]}
    )
    frame["grade"] = [None if number == 3 else str(number) for number in draw.integers(0, 9, 40)]
    frame.loc[0, "grade"] = "?"
    frame["same"], frame["copy"] = 1.5, frame["size"]
    frame["set"] = ["train"] * 30 + ["test"] * 10  # no split: it is a label like any other
    path = tmp_path / "table.parquet"
    frame.drop(columns="set").to_parquet(path)
    of_file = first_schema(path, tmp_path / "table.yaml", Reading(), load_plugins())
    first = first_schema_of(frame, load_plugins())
    assert {name: of_file.schema.modalities[name] for name in of_file.schema.modalities} == {
        name: modality for name, modality in first.schema.modalities.items() if name != "set"
    }
    assert first.schema.train == of_file.schema.train
    assert first.copies == of_file.copies == {"copy": "size"}
    source = first.schema.data
    assert isinstance(source, Arrays)
    assert source.missing == ("?",)
    assert source.load("train").names == tuple(frame.columns)


def test_a_table_without_rows() -> None:
    with pytest.raises(UserError, match="the table has no rows; add rows"):
        first_schema_of(pd.DataFrame({"a": []}), load_plugins())
