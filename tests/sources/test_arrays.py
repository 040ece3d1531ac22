"""The source `arrays`: rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pyarrow as pa
import pytest
import torch

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmt_image import Image
from mmtoolkit import Arrays, UserError, load, parse_schema, prepare, read_schema, run

COLUMNS: dict[str, list[Any]] = {
    "colour": ["red", None, "blue", None, "red", "blue"] * 5,
    "price": [1.0, 2.0, None, float("nan"), 5.0, 6.0] * 5,
}


@pytest.mark.parametrize(
    "make",
    [
        dict,
        pl.DataFrame,
        pa.table,
        pd.DataFrame,
        lambda columns: {"colour": columns["colour"], "price": np.array(columns["price"], dtype=float)},
        lambda columns: {
            "colour": columns["colour"],
            "price": torch.tensor([float("nan") if cell is None else cell for cell in columns["price"]]),
        },
    ],
)
def test_a_table_of_any_kind_is_cut_into_splits(make: Callable[[Any], Any]) -> None:
    source = Arrays.of(make(COLUMNS), split={"train": 0.5, "test": 0.5}, split_seed=1)
    dataset = prepare(source, {"colour": Label(), "price": Numeric()})
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 15, "test": 15}
    assert torch.cat([split.present for split in dataset.splits.values()]).sum(0).tolist() == [20, 20]
    assert dataset.modalities["colour"].classes == ("blue", "red")  # type: ignore[attr-defined]
    values = torch.cat([v for split in dataset.splits.values() for v in split.values("price")])
    assert sorted(values.tolist()) == [1.0] * 5 + [2.0] * 5 + [5.0] * 5 + [6.0] * 5


@pytest.mark.parametrize("make", [dict, pl.DataFrame, pa.table, pd.DataFrame])
def test_every_text_is_a_value_unless_it_is_listed(make: Callable[[Any], Any]) -> None:
    table = make({"country": ["NA", "DE", None, "", "FR"] * 5})
    for options, classes in [
        ({}, ("", "DE", "FR", "NA")),
        ({"missing": [""]}, ("DE", "FR", "NA")),
        ({"missing": ["NA", ""]}, ("DE", "FR")),
    ]:
        source = Arrays.of(table, split={"train": 1.0}, **options)
        dataset = prepare(source, {"country": Label()})
        assert int(dataset.splits["train"].present.sum()) == 5 * len(classes)
        assert dataset.modalities["country"].classes == classes  # type: ignore[attr-defined]


def test_a_table_for_each_split_and_pictures_in_memory() -> None:
    train = {
        "picture": [PIL.Image.new("L", (8, 8), 10), np.full((8, 8), 20, np.uint8), None],
        "price": np.array([1.0, 2.0, 3.0]),
    }
    test = {"picture": np.full((2, 1, 8, 8), 30, np.uint8), "price": [4.0, "x"]}
    source = Arrays.of({"train": train, "test": test}, on_bad_cell="missing")
    dataset = prepare(source, {"picture": Image(shape=(1, 8, 8), network="mlp"), "price": Numeric()})
    assert dataset.splits["train"].stored["picture"][:2, 0, 0, 0].tolist() == [10, 20]
    assert dataset.splits["train"].present.tolist() == [[True, True], [True, True], [False, True]]
    assert dataset.splits["test"].stored["picture"][:, 0, 0, 0].tolist() == [30, 30]
    assert dataset.splits["test"].present.tolist() == [[True, True], [True, False]]
    assert_facts(dataset.notes[0], "the table, row 2: 'x'", "number")


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1, 2, 3.5]},
        {"a": [1, 2, "3"]},
        {"b": [1, 2, 3]},
        {"a": [1, 2, 3, 4]},
        {"a": np.array([1, 2, 3], dtype=np.int32)},
        {"train": {"a": [1, 2, 3]}},
        {"a": [np.zeros(2), 2, 3]},
        {"a": [np.ones(2), 2, 3]},
        {"a": [PIL.Image.new("L", (2, 2), 1), 2, 3]},
        {"a": [PIL.Image.new("L", (2, 2), 2), 2, 3]},
    ],
)
def test_the_digest_is_that_of_the_data(other: dict[str, Any]) -> None:
    same = {Arrays.of({"a": [1, 2, 3]}).digest for _ in range(2)}
    assert len(same) == 1
    assert len(same.pop()) == 64
    assert Arrays.of(other).digest != Arrays.of({"a": [1, 2, 3]}).digest
    assert Arrays.of(other).digest == Arrays.of(other).digest


def test_a_slice_of_a_frame_is_what_it_shows() -> None:
    frame = pl.DataFrame({"a": ["x", "y", "z", "w"]})
    assert Arrays.of(frame[1:3]).digest == Arrays.of(pl.DataFrame({"a": ["y", "z"]})).digest
    assert Arrays.of(frame[0:2]).digest != Arrays.of(frame[1:3]).digest


def test_a_run_over_data_in_memory(tmp_path: Path) -> None:
    declared = {
        "name": "own",
        "data": Arrays.of(pd.DataFrame(COLUMNS), split={"train": 0.8, "test": 0.2}),
        "modalities": {"colour": {"kind": "label"}, "price": {"kind": "numeric"}},
        "model": {"kind": "mvae", "latent_dim": 2},
        "train": {"epochs": 1},
    }
    trained = run(parse_schema(declared), tmp_path / "run", figures=False)
    assert trained.results["scores"][0]["split"] == "test"
    again = load(tmp_path / "run")
    assert again.sample(2)["price"].shape == (2,)
    with pytest.raises(UserError, match="run already"):
        run(parse_schema(declared), tmp_path / "run", figures=False)
    more = {**declared, "train": {"epochs": 2}}
    assert len(run(parse_schema(more), tmp_path / "run", resume=True, figures=False).history) == 2
    schema = read_schema(tmp_path / "run" / "schema.yaml")
    with pytest.raises(UserError, match=r"data: .*in memory.*; pass it again .*mmtoolkit.Arrays.of"):
        run(schema, tmp_path / "new", figures=False)


def test_faults() -> None:
    with pytest.raises(UserError, match=r"list .*table; .*pandas or polars frame"):
        Arrays.of([1, 2])
    with pytest.raises(ValueError, match=r"tables are test.*none is train; name one train"):
        Arrays.of({"test": {"a": [1]}})
    with pytest.raises(ValueError, match=r"split and group .*; remove"):
        Arrays.of({"train": {"a": [1]}}, split={"train": 1})
    with pytest.raises(ValueError, match="no share for train; add"):
        Arrays.of({"a": [1]}, split={"test": 1})
    with pytest.raises(UserError, match="two columns are named 'a'"):
        Arrays.of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
