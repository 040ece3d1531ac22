"""Gaps inside lists are filled, and what is known in them stays as it is written, in every format and frame."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

from mmt_attributes import Numeric
from mmtoolkit import TrainedRun
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.user_table import UserFile
from readings import Readings
from untrained import untrained

TRAIN = {
    "readings": [[n + 0.5, 2.0 * n, 7.0 - n] for n in range(20)],
    "size": [float(n) for n in range(20)],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("gaps")
        patch.setenv("MMT_CACHE", str(folder / "cache"))
        return untrained({"readings": Readings(), "size": Numeric()}, folder, train=TRAIN)


def prediction(run: TrainedRun, row: dict[str, Any]) -> list[float]:
    """What the model says of the readings, from all that a row has."""
    decoded = run.decode(run.infer([row]).mean, ["readings"])["readings"]
    return [float(x) for x in run.modalities["readings"].point(decoded)[0, 0]]


def impute_file(run: TrainedRun, table: Path, out: Path, **options: Any) -> list[str]:
    return impute_table(run, UserFile.for_run(run, options, path=table), out)


def test_a_gap_gets_the_prediction_from_the_known_rest(run: TrainedRun) -> None:
    cells: list[Any] = [[0.1234567890123, None, 3], [1.0, 2.0, 3.0], None, [None, None, None], [math.nan, 5, math.nan]]
    sizes = [4.0, 1.0, 2.0, 3.0, None]
    filled, counts = run.impute({"readings": cells, "size": sizes}, summary=True)
    for before, after, size in zip(cells, filled["readings"], sizes, strict=True):
        given = {"readings": before, "size": size}
        expected = prediction(run, {k: v for k, v in given.items() if v not in (None, [None] * 3)})
        for place in range(3):
            known = None if before is None else before[place]
            if known is None or known != known:
                assert after[place] == pytest.approx(expected[place], rel=1e-5)
            else:
                assert repr(after[place]) == repr(known)
    assert filled["readings"][1] is cells[1]
    assert counts.filled == {"readings": 4, "size": 1}
    assert counts.unfilled == {}
    assert cells[0] == [0.1234567890123, None, 3]  # the owner's list


def test_known_elements_stay_letter_by_letter_in_csv(run: TrainedRun, tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    lines = ["readings,size", '"[1.50, null,  1e2]",1', '"[1,2,3]",', '" [NaN,-0.0, 7.50]",2', ",3", '"[ 4 ,5,null ]",']
    table.write_text("\n".join(lines) + "\n")
    notes = impute_file(run, table, out)
    after = out.read_text().splitlines()
    number = r"-?[0-9.e-]+"
    assert re.fullmatch(rf'"\[1\.50, {number},  1e2\]",1', after[1])
    assert after[2].startswith('"[1,2,3]",')
    assert re.fullmatch(rf'" \[{number},-0\.0, 7\.50\]",2', after[3])
    assert re.fullmatch(rf'"\[{number}, {number}, {number}\]",3', after[4])
    assert re.fullmatch(rf'"\[ 4 ,5,{number} \]",{number}', after[5])
    assert notes[0] == "filled 4 of readings, 2 of size"


def test_known_elements_stay_letter_by_letter_in_lines_of_json(run: TrainedRun, tmp_path: Path) -> None:
    table, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    table.write_text(
        '{"readings": [1.50,  null, 1e2], "size":  3.0}\n{"size": 1.00, "readings": [1,2,3]}\n'
        '{"readings": "[null, 2.50, 3]"}\n'
    )
    impute_file(run, table, out)
    first, second, third = out.read_text().splitlines()
    start, end = '{"readings": [1.50,  ', ', 1e2], "size":  3.0}'
    assert first.startswith(start)
    assert first.endswith(end)
    expected = prediction(run, {"readings": [1.5, None, 100.0], "size": 3.0})[1]
    assert float(first[len(start) : -len(end)]) == pytest.approx(expected, rel=1e-5)
    assert second == '{"size": 1.00, "readings": [1,2,3]}'
    assert third.startswith('{"readings": "[')
    assert ', 2.50, 3]"' in third
    assert all(isinstance(json.loads(line)["readings"], (list, str)) for line in (first, third))


KINDS: list[tuple[pa.DataType, Callable[[float], Any]]] = [
    (pa.list_(pa.float64()), lambda x: x),
    (pa.large_list(pa.float32()), lambda x: float(np.float32(x))),
    (pa.list_(pa.float64(), 3), lambda x: x),
    (pa.list_(pa.int16()), round),
]


@pytest.mark.parametrize(("kind", "stored"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_lists_keep_their_type(
    run: TrainedRun, tmp_path: Path, ending: str, kind: pa.DataType, stored: Callable[[float], Any]
) -> None:
    numbers: list[Any] = [[1 / 3, None, 3], [1, 2, 3], None, [None, 2 / 3, None]]
    cells = [None if c is None else [None if x is None else stored(x) for x in c] for c in numbers]
    old = pa.table({"readings": pa.array(cells, kind), "size": pa.array([1.0, None, 2.0, 3.0])})
    table, out = tmp_path / f"t.{ending}", tmp_path / f"out.{ending}"
    if ending == "parquet":
        pa.parquet.write_table(old, table)
    else:
        pa.feather.write_feather(old, table)
    impute_file(run, table, out)
    new = (pa.parquet.read_table if ending == "parquet" else pa.feather.read_table)(out)
    assert new.schema.field("readings").type == kind
    sizes = [1.0, None, 2.0, 3.0]
    for before, after, size in zip(cells, new["readings"].to_pylist(), sizes, strict=True):
        expected = prediction(run, {n: c for n, c in (("readings", before), ("size", size)) if c is not None})
        for place, known in enumerate(before or [None] * 3):
            if known is None:
                assert after[place] == pytest.approx(stored(expected[place]), rel=1e-5)
            else:
                assert after[place] == known


def _pandas_objects(cells: list[Any]) -> Any:
    pandas = pytest.importorskip("pandas")
    arrays = [None if c is None else np.array([np.nan if x is None else x for x in c]) for c in cells]
    return pandas.DataFrame({"readings": pandas.Series(arrays, ["w", "x", "y", "z"], dtype=object)})


def _pandas_arrow(cells: list[Any]) -> Any:
    pandas = pytest.importorskip("pandas")
    kind = pandas.ArrowDtype(pa.list_(pa.float64()))
    return pandas.DataFrame({"readings": pandas.Series(pa.array(cells).to_pylist(), dtype=kind)})


def _polars(cells: list[Any]) -> Any:
    return pytest.importorskip("polars").DataFrame({"readings": cells})


def _polars_array(cells: list[Any]) -> Any:
    polars = pytest.importorskip("polars")
    return polars.DataFrame({"readings": cells}, schema={"readings": polars.Array(polars.Float64, 3)})


def _masked(cells: list[Any]) -> Any:
    rows = [[np.nan if x is None else x for x in c or [None] * 3] for c in cells]
    return {"readings": np.ma.masked_invalid(rows)}


def _array(cells: list[Any]) -> Any:
    return {"readings": np.array([[np.nan if x is None else x for x in c or [None] * 3] for c in cells])}


def _tensor(cells: list[Any]) -> Any:
    return {"readings": torch.from_numpy(_array(cells)["readings"])}


@pytest.mark.parametrize(
    "frame",
    [
        _pandas_objects,
        _pandas_arrow,
        _polars,
        _polars_array,
        _masked,
        _array,
        _tensor,
        lambda cells: pa.table({"readings": pa.array(cells)}),
        lambda cells: {"readings": [json.dumps(c or cells[0]) for c in cells]},
    ],
)
def test_frames_keep_their_kind_and_known_elements(run: TrainedRun, frame: Callable[[list[Any]], Any]) -> None:
    cells: list[Any] = [[0.1234567890123, None, 3.5], [1.0, 2.0, 3.0], None, [None, 1 / 3, None]]
    data = frame(cells)
    if isinstance(data, dict) and isinstance(data["readings"], list):  # texts, whose holes the modality would spell
        cells[2] = cells[0]
    filled = run.impute(data)["readings"]
    assert type(filled) is type(data["readings"])
    assert getattr(filled, "dtype", None) == getattr(data["readings"], "dtype", None)
    for before, after in zip(cells, filled.to_pylist() if hasattr(filled, "to_pylist") else list(filled), strict=True):
        elements = json.loads(after) if isinstance(after, str) else [float(x) for x in after]
        expected = prediction(run, {} if before is None else {"readings": before})
        for place, known in enumerate(before or [None] * 3):
            assert elements[place] == (pytest.approx(expected[place], rel=1e-5) if known is None else known)


def test_lists_of_lists(own_cache: Path, tmp_path: Path) -> None:
    whole = [[[n, 1.0 + n], [2.0 * n, 0.0]] for n in range(9)]
    run = untrained({"readings": Readings(channels=2, length=2), "size": Numeric()}, tmp_path, train={
        "readings": whole, "size": [1.0, 2.0, 3.0] * 3,
    })  # fmt: skip
    cells: list[Any] = [[[1.5, None], [2, 3]], [[None, 1], [None, None]]]
    for data in ({"readings": cells}, pa.table({"readings": cells})):
        column = run.impute(data)["readings"]
        after = column.to_pylist() if isinstance(column, pa.ChunkedArray) else column
        for before, now in zip(cells, after, strict=True):
            expected = np.reshape(prediction(run, {"readings": before}), (2, 2))
            for c in range(2):
                for k in range(2):
                    known = before[c][k]
                    assert now[c][k] == (pytest.approx(expected[c, k], rel=1e-5) if known is None else known)


def test_gaps_that_cannot_be_filled_are_counted(run: TrainedRun) -> None:
    class Sparse(Readings):
        """It also reads a mapping place -> number, which is no list."""

        def parse(self, cell: Any) -> Any:
            return super().parse([cell.get(str(k)) for k in range(3)] if isinstance(cell, dict) else cell)

    class Padded(Readings):
        """It takes the end of a short list for unknown."""

        def parse(self, cell: Any) -> Any:
            return super().parse([*cell, *[None] * (3 - len(cell))])

    data: dict[str, list[Any]] = {"readings": [[1.0, None, 2.0], {"0": 1.0}], "size": [1, 2]}
    filled, counts = _with(run, Sparse()).impute(data, summary=True)
    assert filled["readings"][1] == {"0": 1.0}
    assert counts.filled == {"readings": 1}
    (reason,) = counts.unfilled["readings"]
    assert "no lists" in reason
    data = {"readings": [[1.0, None], [None, 2.0, 3.0]], "size": [1, 2]}
    filled, counts = _with(run, Padded()).impute(data, summary=True)
    assert filled["readings"][0] == [1.0, None]
    assert counts.filled == {"readings": 1}
    (reason,) = counts.unfilled["readings"]
    assert "long" in reason


def _with(run: TrainedRun, readings: Readings) -> TrainedRun:
    units = {**run.schema.units, "readings": readings}
    return dataclasses.replace(run, schema=run.schema.model_copy(update={"units": units}))


def test_an_element_that_cannot_be_read_stays(run: TrainedRun) -> None:
    class Lenient(Readings):
        """An element that it cannot read is unknown, with a fault."""

        def parse_column(self, cells: Any) -> Any:
            read = [c if c is None else [x if isinstance(x, (int, float)) else None for x in c] for c in cells]
            parsed = super().parse_column(read)
            faults = {row: "no number" for row, c in enumerate(cells) if c and any(isinstance(x, str) for x in c)}
            return type(parsed)(parsed.stored, parsed.present, faults)

    cells = [["dear", 1.0, 2.0], ["dear", None, 2.0]]
    data = {"readings": cells, "size": [1, 2]}
    filled, counts = _with(run, Lenient()).impute(data, on_bad_cell="missing", summary=True)
    assert filled["readings"][0] == ["dear", 1.0, 2.0]
    assert filled["readings"][1][::2] == ["dear", 2.0]
    assert isinstance(filled["readings"][1][1], float)
    assert counts.filled == {"readings": 1}
    assert counts.bad["readings"][0] == 2


def test_a_given_list_is_filled_in_samples(run: TrainedRun) -> None:
    values = run.sample(4, {"readings": [1.5, None, 2.5]})["readings"]
    assert (values[:, 1] == 1).all()
    assert (values[:, 0, [0, 2]] == torch.tensor([1.5, 2.5])).all()


def test_draws_fill_gaps_too(run: TrainedRun) -> None:
    filled, counts = run.impute({"readings": [[1.5, None, 2]], "size": [None]}, samples=20, summary=True)
    assert filled["readings"][0][::2] == [1.5, 2]
    assert isinstance(filled["readings"][0][1], float)
    assert counts.filled == {"readings": 1, "size": 1}
    assert filled["size_std"][0] > 0
