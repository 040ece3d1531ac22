"""`Imputer`: the holes of frames and arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mmtoolkit import DataWarning
from mmtoolkit.sklearn import Imputer


@pytest.mark.slow
def test_known_cells_stay_and_holes_are_filled(imputer: Any, table: pd.DataFrame) -> None:
    with warnings.catch_warnings(action="error"):
        filled = imputer.transform(table)
    assert filled.notna().all(axis=None)
    pd.testing.assert_frame_equal(filled.where(table.notna()), table)
    pd.testing.assert_series_equal(filled.dtypes, table.dtypes)
    assert filled.index.equals(table.index)


def test_holes_are_filled_from_the_other_cells(imputer: Any, table: pd.DataFrame) -> None:
    filled = imputer.transform(table)
    known = table["kind"].isna() & table["size"].notna()
    assert known.sum() >= 5
    right = filled["kind"].eq(np.where(table["size"] > 0, "large", "small"))
    assert right[known].mean() > 0.7
    both = table["weight"].isna() & table["size"].notna()
    error = (filled["weight"] - 2 * table["size"])[both].abs().mean()
    assert error < (table["weight"].mean() - 2 * table["size"])[both].abs().mean()


def test_columns_that_need_no_model(imputer: Any, table: pd.DataFrame) -> None:
    filled = imputer.transform(table)
    assert "year" not in imputer.schema_.modalities
    assert "heft" not in imputer.schema_.modalities
    assert filled.loc[5, "year"] == 2024
    pd.testing.assert_series_equal(filled["heft"], filled["weight"], check_names=False)


def test_cells_of_columns_that_the_model_does_not_read_stay_missing(imputer: Any, table: pd.DataFrame) -> None:
    table = table.assign(name=None)
    with pytest.warns(DataWarning) as caught:
        filled = imputer.transform(table)
    (warning,) = caught
    assert str(warning.message) == (
        "the table: cells of name that stay missing: 60; the model does not read the column; give a schema that has it"
    )
    assert warning.filename == __file__
    assert filled["name"].isna().all()
    assert filled["kind"].notna().all()


def test_a_frame_of_polars_comes_back_as_one(imputer: Any, table: pd.DataFrame) -> None:
    frame = pl.from_pandas(table)
    filled = imputer.transform(frame)
    assert isinstance(filled, pl.DataFrame)
    assert filled.schema == frame.schema
    pd.testing.assert_frame_equal(filled.to_pandas(), imputer.transform(table))


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(object, marks=pytest.mark.slow)])
def test_an_array_comes_back_with_its_type(dtype: Any, table: pd.DataFrame) -> None:
    holed = table[["size", "weight"]].to_numpy().astype(dtype)
    filled = Imputer(steps=1).fit_transform(holed)
    assert filled.dtype == dtype
    assert not pd.isna(filled).any()
    known = ~pd.isna(holed)
    assert (filled[known] == holed[known]).all()


def test_an_array_has_the_columns_of_fit_in_order(imputer: Any, table: pd.DataFrame) -> None:
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        filled = imputer.transform(table.to_numpy(dtype=object))
    assert (filled == imputer.transform(table).to_numpy(dtype=object)).all()


def test_a_frame_has_the_names_of_fit(table: pd.DataFrame) -> None:
    numbers = table[["size", "weight"]]
    with pytest.warns(UserWarning, match="fitted without feature names"):
        filled = Imputer(steps=1).fit(numbers.to_numpy()).transform(numbers)
    assert list(filled.columns) == ["x0", "x1"]
    unnamed = numbers.set_axis([0, 1], axis=1)
    assert list(Imputer(steps=1).fit_transform(unnamed).columns) == [0, 1]


def test_draws_depend_on_the_seed(imputer: Any, table: pd.DataFrame) -> None:
    def filled(seed: int) -> pd.DataFrame:
        drawing = Imputer(samples=3, run=imputer.run_, random_state=seed)
        frame: pd.DataFrame = drawing.fit_transform(table.drop(columns=["name", "year", "heft"]))
        return frame

    pd.testing.assert_frame_equal(filled(1), filled(1))
    assert list(filled(1).columns) == ["size", "weight", "kind"]
    assert not filled(1)["size"].equals(filled(2)["size"])
