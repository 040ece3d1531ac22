"""Columns of every type that frames have: known cells, types, index and attributes stay, or one line says why not."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import DataWarning, Modality, TrainedRun, UserError
from untrained import untrained

pytestmark = pytest.mark.filterwarnings("ignore::mmtoolkit.DataWarning")

DAYS = [datetime.date(2024, 5, 1), datetime.date(2024, 6, 2)]
INDEX = pandas.Index(["i", "i", "k", "k"], name="twice")


def of_pandas(cells: Any, dtype: Any = None) -> pandas.DataFrame:
    frame = pandas.DataFrame({"first": [1, 2, 3, 4], "x": pandas.array(cells, dtype=dtype), 7: list("abcd")})
    frame.index = INDEX
    frame.attrs = {"from": "here"}
    return frame


def of_polars(cells: list[Any], dtype: Any = None) -> polars.DataFrame:
    return polars.DataFrame({"first": [1, 2, 3, 4], "x": polars.Series(cells, dtype=dtype), "z": list("abcd")})


NUMBERS, NUMBERS_FILLED = [1.5, None, 2.5, None], [1.5, 2.5, 1.5, 2.5]
WHOLE, WORDS, BOOLS = [1, None, 2, None], ["oats", None, "rye", None], [True, None, False, None]
STAMPS = [datetime.datetime(2024, 5, 1, 12), None, datetime.datetime(2024, 6, 2), None]
PERIODS, SPANS = pandas.period_range("2024-01", periods=2, freq="M"), pandas.interval_range(0.0, 2.0)

# Name -> the frame, and whether the predictions fit into the column.
PANDAS: dict[str, tuple[Callable[[], pandas.DataFrame], bool]] = {
    "float16": (lambda: of_pandas(np.array([1.5, np.nan, 2.5, np.nan], np.float16)), True),
    "float32": (lambda: of_pandas(np.array([1.5, np.nan, 2.5, np.nan], np.float32)), True),
    "Float64": (lambda: of_pandas(NUMBERS, "Float64"), True),
    "Int8": (lambda: of_pandas(WHOLE, "Int8"), True),
    "Int64": (lambda: of_pandas(WHOLE, "Int64"), True),
    "boolean": (lambda: of_pandas(BOOLS, "boolean"), True),
    "string": (lambda: of_pandas(WORDS, "string"), True),
    "str": (lambda: of_pandas(WORDS, "str"), True),
    "object": (lambda: of_pandas(np.array(WORDS, object), object), True),
    "object of dates": (lambda: of_pandas(np.array([DAYS[0], None, DAYS[1], None], object), object), True),
    "category": (lambda: of_pandas(pandas.Categorical(WORDS)), True),
    "category of numbers": (lambda: of_pandas(pandas.Categorical(WHOLE)), True),
    "category of intervals": (lambda: of_pandas(pandas.cut([0.5, np.nan, 1.5, np.nan], [0, 1, 2])), True),
    "datetime": (lambda: of_pandas(STAMPS, "datetime64[ns]"), True),
    "datetime with zone": (lambda: of_pandas(pandas.to_datetime(STAMPS).tz_localize("Europe/Berlin")), True),
    "timedelta": (lambda: of_pandas(pandas.to_timedelta([1, None, 2, None], unit="h")), False),
    "period": (lambda: of_pandas([PERIODS[0], None, PERIODS[1], None], PERIODS.dtype), True),
    "interval": (lambda: of_pandas([SPANS[0], None, SPANS[1], None], SPANS.dtype), True),
    "complex": (lambda: of_pandas(np.array([1j, np.nan, 2j, np.nan])), True),
    "sparse": (lambda: of_pandas(pandas.arrays.SparseArray([1.5, np.nan, 2.5, np.nan])), True),
    "sparse, mostly 0": (
        lambda: of_pandas(pandas.arrays.SparseArray([0.0, np.nan, 2.5, np.nan], fill_value=0.0)),
        True,
    ),
    "arrow int": (lambda: of_pandas(WHOLE, pandas.ArrowDtype(pa.int16())), True),
    "arrow text": (lambda: of_pandas(WORDS, pandas.ArrowDtype(pa.string())), True),
    "arrow bool": (lambda: of_pandas(BOOLS, pandas.ArrowDtype(pa.bool_())), True),
    "arrow decimal": (
        lambda: of_pandas(
            [decimal.Decimal("1.50"), None, decimal.Decimal("2.50"), None], pandas.ArrowDtype(pa.decimal128(5, 2))
        ),
        True,
    ),
    "arrow date": (lambda: of_pandas([DAYS[0], None, DAYS[1], None], pandas.ArrowDtype(pa.date32())), True),
    "arrow stamp": (lambda: of_pandas(STAMPS, pandas.ArrowDtype(pa.timestamp("us", "UTC"))), True),
    "arrow list": (lambda: of_pandas([[1], None, [2], None], pandas.ArrowDtype(pa.list_(pa.int64()))), True),
    "arrow dictionary": (
        lambda: of_pandas(
            pandas.array(
                pa.array(WORDS).dictionary_encode(), dtype=pandas.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
            )
        ),
        True,
    ),
}
POLARS: dict[str, tuple[Callable[[], polars.DataFrame], bool]] = {
    "Float32": (lambda: of_polars(NUMBERS, polars.Float32), True),
    "UInt8": (lambda: of_polars(WHOLE, polars.UInt8), True),
    "Int128": (lambda: of_polars(WHOLE, polars.Int128), True),
    "Boolean": (lambda: of_polars(BOOLS), True),
    "String": (lambda: of_polars(WORDS), True),
    "Categorical": (lambda: of_polars(WORDS, polars.Categorical), True),
    "Enum": (lambda: of_polars(WORDS, polars.Enum(["oats", "rye"])), True),
    "Decimal": (
        lambda: of_polars([decimal.Decimal("1.50"), None, decimal.Decimal("2.50"), None], polars.Decimal(6, 2)),
        True,
    ),
    "Date": (lambda: of_polars([DAYS[0], None, DAYS[1], None]), True),
    "Datetime": (lambda: of_polars(STAMPS, polars.Datetime("ms", "UTC")), True),
    "Time": (lambda: of_polars([datetime.time(1), None, datetime.time(2), None]), True),
    "Duration": (lambda: of_polars([datetime.timedelta(1), None, datetime.timedelta(2), None]), True),
    "List": (lambda: of_polars([[1], None, [2], None]), False),
    "Array": (lambda: of_polars([[1, 2], None, [2, 2], None], polars.Array(polars.Int64, 2)), False),
    "Struct": (lambda: of_polars([{"a": 1}, None, {"a": 2}, None]), True),
    "Object": (lambda: of_polars([1j, None, 2j, None], polars.Object), True),
    "Binary": (lambda: of_polars([b"1", None, b"2", None]), True),
    "Null": (lambda: of_polars([None] * 4), True),
}


def run_on(frame: Any, folder: Path) -> TrainedRun:
    """A run that predicts classes of the texts of a column's cells, or numbers if they are."""
    cells = [cell for cell in list(frame["x"]) if cell is not None and str(cell) not in ("nan", "NaT", "<NA>")]
    texts = sorted({cell.isoformat() if isinstance(cell, datetime.date) else str(cell) for cell in cells})
    numbers = all(isinstance(cell, (float, np.floating)) for cell in cells) and bool(cells)
    modality: Modality = Numeric() if numbers else Label(classes=tuple(texts or ["oats", "rye"]))
    train: dict[str, Any] = {"x": cells if numbers else list(modality.example_cells()), "first": [1.0, 2.0]}
    length = min(map(len, train.values()))
    return untrained({"x": modality, "first": Numeric()}, folder, train={n: c[:length] for n, c in train.items()})


def is_hole(cell: Any) -> bool:
    return cell is None or cell is pandas.NA or cell is pandas.NaT or bool(cell != cell)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PANDAS)
def test_pandas(kind: str, tmp_path: Path) -> None:
    make, fits = PANDAS[kind]
    frame, before = make(), make()
    filled, counts = run_on(frame, tmp_path).impute(frame, on_bad_cell="missing", summary=True)
    pandas.testing.assert_frame_equal(frame, before)
    assert list(filled.columns) == ["first", "x", 7]
    assert filled.index.equals(INDEX)
    assert filled.index.name == "twice"
    assert filled.attrs == {"from": "here"}
    assert list(filled.dtypes) == list(before.dtypes)
    for old, new in zip(before["x"], filled["x"], strict=True):
        assert is_hole(new) != fits if is_hole(old) else new == old
    assert counts.filled.get("x", 0) == 2 * fits
    assert bool(counts.unfilled) != fits
    pandas.testing.assert_frame_equal(filled.drop(columns="x"), before.drop(columns="x"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", POLARS)
def test_polars(kind: str, tmp_path: Path) -> None:
    make, fits = POLARS[kind]
    frame, before = make(), make()
    filled, counts = run_on(frame, tmp_path).impute(frame, on_bad_cell="missing", summary=True)
    assert filled.columns == before.columns
    assert kind == "Null" or filled.schema == before.schema
    for old, new in zip(before["x"].to_list(), filled["x"].to_list(), strict=True):
        assert is_hole(new) != fits if is_hole(old) else new == old
    assert counts.filled.get("x", 0) == (4 if kind == "Null" else 2) * fits
    assert bool(counts.unfilled) != fits


def test_a_fill_outside_an_enum_stays_missing(tmp_path: Path) -> None:
    run = untrained({"x": Label(classes=("apple", "pear"))}, tmp_path, train={"x": ["apple", "pear"]})
    frame = polars.DataFrame({"x": polars.Series(["oats", None], dtype=polars.Enum(["oats", "rye"]))})
    with pytest.warns(DataWarning) as warned:
        filled = run.impute(frame, on_bad_cell="missing")
    assert filled.equals(frame)
    assert_facts(str(warned[-2].message) + str(warned[-1].message), "cells of x that stay missing: 1; the type")


def test_attributes_stay_with_columns_that_are_added(tmp_path: Path) -> None:
    frame = of_pandas(NUMBERS_FILLED)
    run = untrained({"x": Numeric(), "y": Numeric()}, tmp_path, train={"x": [1.0, 2.0], "y": [1.0, 2.0]})
    filled = run.impute(frame)
    assert list(filled.columns) == ["first", "x", 7, "y"]
    assert filled.attrs == {"from": "here"}
    assert filled.index.equals(INDEX)


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (
            pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("a", "x"), ("a", "y")])),
            ("levels", "; join"),
        ),
        (pandas.Series([1.0], name="x"), ("Series", "; ", "to_frame()")),
        (polars.Series("x", [1.0]), ("Series", "; ", "to_frame()")),
        (polars.LazyFrame({"x": [1.0]}), ("LazyFrame", "; ", "collect()")),
        (pandas.DataFrame([[1, 2]], columns=[0, "0"]), ("two columns", "'0'", "; rename")),
        (pandas.DataFrame(), ("the table: ", "none of the columns", "x")),
        (polars.DataFrame(), ("the table: ", "none of the columns", "x")),
        ({}, ("the table: ", "none of the columns", "x")),
        (np.zeros((2, 2)), ("ndarray", "no table", "; give")),
    ],
)
def test_what_is_no_table_says_so(data: Any, facts: tuple[str, ...], tmp_path: Path) -> None:
    run = untrained({"x": Numeric()}, tmp_path, train={"x": [1.0, 2.0]})
    for use in (run.impute, run.embed, run.evaluate_on):
        with pytest.raises(UserError) as raised:
            use(data)
        assert_facts(str(raised.value), *facts)


@pytest.mark.parametrize("empty", [pandas.DataFrame({"x": []}), polars.DataFrame({"x": []}), pa.table({"x": []})])
def test_frames_without_rows(empty: Any, tmp_path: Path) -> None:
    run = untrained({"x": Numeric(), "y": Label()}, tmp_path, train={"x": [1.0, 2.0], "y": ["a", "b"]})
    assert len(run.impute(empty)) == 0
    assert len(run.embed(empty)) == 0


def test_names_of_columns_that_are_numbers(tmp_path: Path) -> None:
    run = untrained({"0": Numeric()}, tmp_path, train={"0": [1.0, 2.0]})
    filled = run.impute(pandas.DataFrame({0: [1.0, np.nan], 1: ["a", "b"]}))
    assert list(filled.columns) == [0, 1]
    assert filled[0].notna().all()
    assert run.embed(pandas.DataFrame({0: [1.0], 1: ["a"]}), keep=["1"])[1].tolist() == ["a"]
    assert run.impute({0: [1.0, None]})[0][1] is not None


class Owned(pandas.DataFrame):  # type: ignore[misc]
    """A frame of an owner, as geopandas has them."""

    _metadata = ["owner"]  # noqa: RUF012

    @property
    def _constructor(self) -> type[Owned]:
        return Owned


def test_all_that_a_frame_has_stays_with_columns_that_are_added(tmp_path: Path) -> None:
    run = untrained({"x": Numeric(), "y": Numeric()}, tmp_path, train={"x": [1.0, 2.0], "y": [1.0, 2.0]})
    frame = Owned(of_pandas(NUMBERS)).set_axis(["i", "j", "k", "l"]).rename_axis(columns="things")
    frame.attrs, frame.owner = {"from": "here"}, "me"
    frame.flags.allows_duplicate_labels = False
    for new in (run.impute(frame), run.impute(frame, samples=2), run.embed(frame, keep=["x"])):
        assert type(new) is Owned
        assert (new.owner, new.attrs, new.columns.name) == ("me", {"from": "here"}, "things")
        assert not new.flags.allows_duplicate_labels
        assert list(new.index) == ["i", "j", "k", "l"]


def test_a_column_without_any_value_takes_the_type_of_its_fills(tmp_path: Path) -> None:
    """Pandas reads a column of a file that has no value as floats."""
    train = {"x": ["oats", "rye"], "y": [1.0, 2.0]}
    run = untrained({"x": Label(classes=("oats", "rye")), "y": Numeric()}, tmp_path, train=train)
    frame = pandas.DataFrame({"x": [float("nan")] * 2, "y": [float("nan")] * 2})
    filled, counts = run.impute(frame, summary=True)
    assert {*filled["x"]} <= {"oats", "rye"}
    assert filled["x"].dtype == "str"
    assert filled["y"].dtype == float
    assert not counts.unfilled
    assert frame["x"].isna().all()


def test_a_spread_without_a_filled_cell_is_a_column_of_numbers_with_nulls(tmp_path: Path) -> None:
    run = untrained({"x": Numeric(), "y": Numeric()}, tmp_path, train={"x": [1.0, 2.0], "y": [1.0, 2.0]})
    columns = {"x": [1.0, 2.0], "y": [1.0, None]}
    table = run.impute(pa.table(columns), samples=2)
    assert table.schema.field("x_std").type == pa.float64()
    assert table.column("x_std").null_count == 2
