"""Arrow columns of every layout: texts and numbers that are stored as views or runs are filled like all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pytest

from mmt_attributes import Label, Numeric
from mmtoolkit import Modality
from mmtoolkit.tables.fitting import replaced
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.user_table import UserFile
from untrained import untrained

WORDS, NUMBERS = ["oats", "oats", None, "rye", None], [1.5, 1.5, None, 2.5, None]
COLUMNS: dict[str, Callable[[], pa.Array]] = {
    "view": lambda: pa.array(WORDS, pa.string_view()),
    "runs of texts": lambda: pc.run_end_encode(pa.array(WORDS)),
    "runs of numbers": lambda: pc.run_end_encode(pa.array(NUMBERS), run_end_type=pa.int16()),
    "dictionary of texts": lambda: pa.array(WORDS).dictionary_encode(),
}
NEVER: dict[str, Callable[[], pa.Array]] = {
    "views of lists": lambda: pa.array([["a"], None], pa.list_view(pa.string())),
    "union": lambda: pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array(["a", ""]), pa.array([0, None])]),
    "map": lambda: pa.array([{"a": 1}, None], pa.map_(pa.string(), pa.int64())),
}


def modality_of(kind: str) -> Modality:
    return Numeric() if "numbers" in kind else Label(classes=("oats", "rye"))


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("part", [slice(None), slice(1, 4)])
def test_filled_in_memory(kind: str, part: slice, tmp_path: Path) -> None:
    column = COLUMNS[kind]()[part]
    modality = modality_of(kind)
    cells = NUMBERS if isinstance(modality, Numeric) else WORDS
    run = untrained({"x": modality, "y": Numeric()}, tmp_path, train={"x": cells, "y": [1.0, 2.0, 3.0, 4.0, 5.0]})
    filled = run.impute(pa.table({"x": column, "y": [1.0] * len(column)}))
    assert filled.schema.field("x").type == column.type
    new = filled.column("x").to_pylist()
    assert None not in new
    assert all(old in (None, cell) for old, cell in zip(column.to_pylist(), new, strict=True))


@pytest.mark.parametrize("kind", ["view", "dictionary of texts"])
def test_filled_in_a_file(kind: str, tmp_path: Path) -> None:
    run = untrained({"x": modality_of(kind)}, tmp_path, train={"x": WORDS})
    old = pa.table({"x": COLUMNS[kind]()})
    pa.feather.write_feather(old, tmp_path / "t.arrow")
    impute_table(run, UserFile.for_run(run, {}, path=tmp_path / "t.arrow"), tmp_path / "out.arrow")
    new = pa.feather.read_table(tmp_path / "out.arrow")
    assert new.schema == old.schema
    assert new.column("x").null_count == 0


def test_signs_are_known_in_runs(tmp_path: Path) -> None:
    run = untrained({"x": Numeric(), "y": Numeric()}, tmp_path, train={"x": NUMBERS, "y": NUMBERS})
    column = pc.run_end_encode(pa.array([-99.0, -99.0, 1.5]))
    filled = run.impute(pa.table({"x": column, "y": [1.0, 2.0, 3.0]}), missing=[-99])
    assert -99 not in filled.column("x").to_pylist()


@pytest.mark.parametrize("kind", NEVER)
def test_a_column_that_holds_no_prediction_stays(kind: str) -> None:
    column = NEVER[kind]()
    cells: list[Any] = ["oats"]
    new, unfit = replaced(column, [1], cells)
    assert isinstance(new, pa.Array)
    assert new.equals(column)
    assert unfit == 1
