"""A dictionary of columns of every kind: known cells and kinds stay, and what its library calls missing is filled."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest
import torch

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import Arrays, Modality, TrainedRun, UserError
from untrained import untrained

WORDS = ["oats", None, "rye", None]
NAN = float("nan")
MASK = [False, True, False, True]

NUMBERS: dict[str, Callable[[], Any]] = {
    "list of NumPy numbers": lambda: [np.float32(1.5), np.float32("nan"), np.float32(2.5), None],
    "tensor": lambda: torch.tensor([1.5, NAN, 2.5, NAN]),
    "tensor with gradients": lambda: torch.tensor([1.5, NAN, 2.5, NAN], requires_grad=True),
    "tensor of bfloat16": lambda: torch.tensor([1.5, NAN, 2.5, NAN], dtype=torch.bfloat16),
    "masked array": lambda: np.ma.array([1.5, 7.0, 2.5, 7.0], mask=MASK),
    "masked array of whole numbers": lambda: np.ma.array([1, 99, 2, 99], mask=MASK),
    "hard mask": lambda: np.ma.array([1.5, 7.0, 2.5, 7.0], mask=MASK, hard_mask=True),
    "pandas array": lambda: pandas.array([1, None, 2, None], dtype="Int64"),
    "pandas series": lambda: pandas.Series([1.5, None, 2.5, None], index=[7, 7, 8, 9], name="mine"),
    "polars series": lambda: polars.Series("mine", [1, None, 2, None], dtype=polars.Int8),
    "Arrow array": lambda: pa.array([1, None, 2, None], pa.int16()),
    "Arrow chunks": lambda: pa.chunked_array([[1.5, None], [2.5, None]]),
    "decimals": lambda: [decimal.Decimal("1.50"), decimal.Decimal("NaN"), decimal.Decimal("2.50"), None],
}
CLASSES: dict[str, Callable[[], Any]] = {
    "list of every kind of nothing": lambda: ["oats", pandas.NA, "rye", pandas.NaT],
    "array of every kind of nothing": lambda: np.array(["oats", pandas.NA, np.datetime64("NaT"), NAN], object),
    "masked array of texts": lambda: np.ma.array(["oats", "?", "rye", "?"], mask=MASK),
    "days": lambda: np.array(["2024-05-01", "NaT", "2024-06-02", "NaT"], "datetime64[D]"),
    "spans": lambda: np.array([1, "NaT", 2, "NaT"], "timedelta64[h]"),
    "pandas array": lambda: pandas.array(WORDS),
    "pandas categories": lambda: pandas.Categorical(WORDS),
    "pandas series": lambda: pandas.Series(WORDS, index=[7, 7, 8, 9], name="mine"),
    "polars series": lambda: polars.Series("mine", WORDS, dtype=polars.Categorical),
    "Arrow array": lambda: pa.array(WORDS),
    "Arrow chunks": lambda: pa.chunked_array([WORDS]),
}


def is_hole(cell: Any) -> bool:
    cell = cell.as_py() if isinstance(cell, pa.Scalar) else cell
    if cell is None or cell is pandas.NA or cell is pandas.NaT or cell is np.ma.masked:
        return True
    return bool(cell != cell)


def run_on(modality: Modality, folder: Path) -> TrainedRun:
    cells = [1.0, 2.0] if isinstance(modality, Numeric) else list(modality.example_cells())[:2]
    return untrained({"x": modality, "y": Numeric()}, folder, train={"x": cells, "y": [1.0, 2.0]})


def check(run: TrainedRun, make: Callable[[], Any]) -> Any:
    column = make()
    filled, counts = run.impute({"x": column, "y": [1.0, 2.0, 3.0, 4.0]}, summary=True)
    new = filled["x"]
    assert type(new) is type(column)
    assert getattr(new, "dtype", None) == getattr(column, "dtype", None)
    if not isinstance(column, torch.Tensor):
        for attribute in ("name", "type"):
            assert getattr(new, attribute, None) == getattr(column, attribute, None)
    if isinstance(new, pandas.Series):
        assert new.index.equals(column.index)
    for old, untouched, cell in zip(make(), column, new, strict=True):
        assert is_hole(old) == is_hole(untouched)
        assert not is_hole(cell)
        assert is_hole(old) or (cell == old and type(cell) is type(old))
    assert counts.filled["x"] == sum(map(is_hole, column))
    return new


@pytest.mark.slow
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers(kind: str, tmp_path: Path) -> None:
    check(run_on(Numeric(), tmp_path), NUMBERS[kind])


@pytest.mark.parametrize("kind", CLASSES)
def test_classes(kind: str, tmp_path: Path) -> None:
    known = [str(cell) for cell in CLASSES[kind]() if not is_hole(cell)]
    classes = known if len(known) > 1 else [*known, "barley"]
    check(run_on(Label(classes=tuple(classes)), tmp_path), CLASSES[kind])


def test_texts_in_an_array_are_never_cut(tmp_path: Path) -> None:
    run = run_on(Label(classes=("barley", "dinkel wheat")), tmp_path)
    new = run.impute({"x": np.array(["?", "?"]), "y": [1.0, 2.0]}, missing=["?"])["x"]
    assert new.dtype.kind == "U"
    assert {*new.tolist()} <= {"barley", "dinkel wheat"}


def test_a_dictionary_of_series_is_one_table() -> None:
    for make in (pandas.Series, polars.Series, lambda cells: pa.chunked_array([cells])):
        source = Arrays.of({"x": make(["oats", "rye"]), "y": make([1.0, 2.0])})
        assert source.of_splits() is None


@pytest.mark.parametrize("column", [{1.0, 2.0}, {0: 1.0, 1: 2.0}, np.array(3.0), torch.tensor(3.0), b"12", iter([1.0])])
def test_what_is_no_column_says_so(column: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        run_on(Numeric(), tmp_path).impute({"x": column, "y": [1.0, 2.0]})
    assert_facts(str(raised.value), "the column 'x'", "no list; give")


@pytest.mark.parametrize("options", [{"samples": -1}, {"samples": 2.5}, {"seed": -1}, {"samples": "many"}])
def test_a_wrong_number_of_draws_says_so(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        run_on(Numeric(), tmp_path).impute({"x": [1.0, None], "y": [1.0, 2.0]}, **options)
    (name,) = options
    assert_facts(str(raised.value), f"{name}: ", repr(options[name]), "; give a whole number")
