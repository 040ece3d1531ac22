"""Tables for multiple imputation: draws from p(x | what a row has), in every kind of column and of table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Count, Date, Numeric, Ordinal
from mmt_record import Record
from mmtoolkit import MVAE, DataWarning, Modality, TrainedRun, UserError, build
from readings import Readings
from runs import assert_refused, mmt
from table_runs import SORTS, read_csv, truth, with_holes, write_csv
from untrained import untrained

FILLED = ("photo", "title", "the sort", "price", "width", "height", "ripe", "sweet", "sour")


@pytest.fixture(scope="module")
def run(things: Path) -> TrainedRun:
    return mmtoolkit.load(things)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A table with holes, in a folder of its own."""
    return write_csv(tmp_path / "new.csv", with_holes(truth(20, tmp_path, 5), 0.4))


# The truth: x_m = w_m z + s_m e, all standard normal; the experts are exact.

WEIGHTS = {"a": (1.0, 1.0), "b": (1.5, 0.5), "c": (-1.0, 0.8)}


class Linear(Numeric):
    """A number x ~ N(w z, s²)."""

    w: float
    s: float

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return Expert(self.w, self.s)

    def decoder(self, size: int) -> nn.Module:
        return Line(self.w, self.s)


class Expert(nn.Module):
    def __init__(self, w: float, s: float) -> None:
        super().__init__()
        self.w, self.s = w, s

    def forward(self, x: Tensor) -> Tensor:
        mean = (x / self.w).float()
        return torch.stack([mean, torch.full_like(mean, 2 * np.log(self.s / abs(self.w)))], 1)


class Line(nn.Module):
    def __init__(self, w: float, s: float) -> None:
        super().__init__()
        self.w, self.s, self.unused = w, s, nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Distribution:
        return distributions.Normal(self.w * z[:, 0].double(), self.s, validate_args=False)


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    modalities = {name: Linear(w=w, s=s, mean=(0.0,), std=(1.0,), decimals=(12,)) for name, (w, s) in WEIGHTS.items()}
    cells = {name: [0.0, 1.0] for name in WEIGHTS}
    run = untrained(modalities, tmp_path_factory.mktemp("linear"), train=cells)
    return replace(run, model=build(MVAE(latent_dim=1), run.modalities, seed=0).eval())


def test_draws_have_the_posterior_predictive_mean_and_covariance(linear: TrainedRun) -> None:
    rows = 4000
    frame = pd.DataFrame({"a": np.full(rows, 2.0), "b": np.nan, "c": np.nan})
    tables = linear.impute(frame, tables=5)
    precision = 1 + 1.0  # of the prior and of a, whose w and s are 1
    mean, variance = 2.0 / precision, 1 / precision
    expected = np.array([1.5, -1.0]) * mean
    covariance = variance * np.outer([1.5, -1.0], [1.5, -1.0]) + np.diag([0.5**2, 0.8**2])
    drawn = np.stack([table[["b", "c"]].to_numpy() for table in tables])
    error = np.sqrt(np.diag(covariance) / (5 * rows))
    assert (np.abs(drawn.mean((0, 1)) - expected) < 4 * error).all()
    assert np.cov(drawn.reshape(-1, 2).T) == pytest.approx(covariance, abs=0.06)
    # Between tables: the variance of one cell, with the mean of tables taken away; so tables are independent.
    between = drawn.var(0, ddof=1).mean(0)
    assert between == pytest.approx(np.diag(covariance), rel=0.05)


def test_the_seed_fixes_each_table_however_many_there_are(linear: TrainedRun) -> None:
    frame = pd.DataFrame({"a": [1.0, 0.0, np.nan], "b": np.nan, "c": [np.nan, 1.0, 2.0]})
    tables = linear.impute(frame, tables=3, seed=4)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = linear.impute(frame, tables=2, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    for table, other in zip(tables, again, strict=False):
        pd.testing.assert_frame_equal(table, other)
    assert len({float(table["b"][0]) for table in [*tables, *linear.impute(frame, tables=3, seed=5)]}) == 6


# Every kind of column.


def test_tables_differ_in_holes_alone_and_keep_the_kind_of_each_column(run: TrainedRun, new: Path) -> None:
    rows = read_csv(new)
    out = new.with_name("filled.csv")
    done = mmt("impute", run.folder, new, "--out", out, "--tables", "3")
    assert done.status == 0, done.err
    paths = [new.with_name(f"filled_{place}.csv") for place in (1, 2, 3)]
    assert done.out.splitlines() == [str(path) for path in paths]
    assert done.err.count("filled ") == 1
    assert not out.exists()
    tables = [read_csv(path) for path in paths]
    differ = set()
    for place, row in enumerate(rows):
        for name, cell in row.items():
            cells = [table[place][name] for table in tables]
            if name not in FILLED or cell not in ("", "NA"):
                assert cells == [cell] * 3
            elif len(set(cells)) > 1:
                differ.add(name)
    assert differ == {*FILLED}
    for number, table in enumerate(tables, 1):
        assert {row["the sort"] for row in table} <= set(SORTS)
        assert {row["ripe"] for row in table} == {"yes", "no"}
        assert {row["sweet"] for row in table} == {"0", "1"}
        assert all(row["width"].lstrip("-").isdigit() for row in table)
        holes = [new for old, new in zip(rows, table, strict=True) if old["photo"] in ("", "NA")]
        assert all(row["photo"].startswith(f"filled_{number}_images/") for row in holes)
        assert all((new.parent / row["photo"]).is_file() for row in holes)


def test_dates_counts_grades_and_columns_of_a_record_are_drawn_in_their_kind(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=40, freq="7D")
    cells: dict[str, list[Any]] = {
        "day": [day.date().isoformat() for day in days],
        "visits": [n % 6 for n in range(40)],
        "grade": [n % 3 + 1 for n in range(40)],
        "size": [n / 4 for n in range(40)],
    }
    modalities: dict[str, Modality] = {
        "day": Date(),
        "visits": Count(),
        "grade": Ordinal(classes=("1", "2", "3")),
        "size": Numeric(),
    }
    run = untrained(modalities, tmp_path, train=cells)
    record = Record(columns={name: run.modalities[name] for name in ("visits", "grade", "size")})
    units = {"day": run.modalities["day"], "row": record}
    run = replace(run, model=build(MVAE(latent_dim=2), units, seed=0).eval())
    frame = pd.DataFrame({**cells, "grade": pd.array(cells["grade"], dtype="Int64")})
    frame["visits"] = pd.array(cells["visits"], dtype="Int64")
    holed = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.4)
    tables = run.impute(holed, tables=4)
    for table in tables:
        assert (table.dtypes == holed.dtypes).all()
        assert table.notna().all().all()
        assert table["grade"].isin([1, 2, 3]).all()
        assert (table["visits"] >= 0).all()
        assert pd.to_datetime(table["day"], format="%Y-%m-%d").notna().all()
        pd.testing.assert_frame_equal(table.where(holed.notna()), holed.astype(table.dtypes))
    for name in frame:
        hole = holed[name].isna()
        assert len({tuple(table[name][hole]) for table in tables}) == 4


def test_gaps_of_lists_are_drawn_and_known_elements_stay(tmp_path: Path) -> None:
    train = {"readings": [[n + 0.5, 2.0 * n, 7.0 - n] for n in range(20)], "size": [float(n) for n in range(20)]}
    run = untrained({"readings": Readings(), "size": Numeric()}, tmp_path, train=train)
    cells: list[Any] = [[0.1234567890123, None, 3], [1.0, 2.0, 3.0]]
    tables, counts = run.impute({"readings": cells, "size": [4.0, 1.0]}, tables=2, summary=True)
    gaps = [table["readings"][0][1] for table in tables]
    assert len(set(gaps)) == 2
    for table in tables:
        assert (repr(table["readings"][0][0]), table["readings"][0][2]) == ("0.1234567890123", 3)
        assert table["readings"][1] == [1.0, 2.0, 3.0]
    assert [of_table.filled for of_table in counts] == [{"readings": 1}] * 2


# Files.


def test_one_table_and_tables_in_folders_and_from_a_pipe(things: Path, tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2, 3], "price": [1.0, None, 2.0], "the sort": ["pear", "plum", None]})
    parts = tmp_path / "parts"
    parts.mkdir()
    pyarrow.parquet.write_table(rows.slice(0, 2), parts / "a.parquet")
    pyarrow.parquet.write_table(rows.slice(2), parts / "b.parquet")
    assert mmt("impute", things, parts, "--out", tmp_path / "new", "--tables", "1").status == 0
    assert sorted(path.name for path in (tmp_path / "new_1").iterdir()) == ["a.parquet", "b.parquet"]
    assert not (tmp_path / "new").exists()
    filled = pyarrow.parquet.read_table(tmp_path / "new_1")
    assert (filled["id"].to_pylist(), filled["price"].null_count) == ([1, 2, 3], 0)
    table = tmp_path / "t.csv"
    table.write_text("price,the sort\n1,pear\n,plum\n")
    assert mmt("impute", things, table, "--out", tmp_path / "t.csv.gz", "--tables", "2").status == 0
    assert {path.name for path in tmp_path.glob("*.gz")} == {"t_1.csv.gz", "t_2.csv.gz"}


def test_after_a_failure_no_table_is_there(things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmtoolkit.using import imputing

    table = write_csv(tmp_path / "t.csv", with_holes(truth(12, tmp_path, 5), 0.4))
    before = sorted(path.name for path in tmp_path.iterdir())
    fill, calls = imputing.Imputer._filling, []

    def failing(self: Any, *piece: Any) -> Any:
        calls.append(piece)
        if len(calls) == 3:
            raise UserError("the disk is full")
        return fill(self, *piece)

    monkeypatch.setattr(imputing.Imputer, "_filling", failing)
    assert_refused(mmt("impute", things, table, "--out", tmp_path / "x.csv", "--tables", "3"), ["the disk is full"])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_tables_that_are_there_are_replaced_only_if_you_say_so(things: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("price,the sort\n1,\n")
    words = ("impute", things, table, "--out", tmp_path / "x.csv", "--tables", "2")
    (tmp_path / "x_2.csv").write_text("mine")
    assert_refused(mmt(*words), [str(tmp_path / "x_2.csv"), "is there already", "--overwrite"])
    assert (tmp_path / "x_2.csv").read_text() == "mine"
    assert not (tmp_path / "x_1.csv").exists()
    assert mmt(*words, "--overwrite").status == 0
    assert read_csv(tmp_path / "x_2.csv")[0]["price"] == "1"


def test_options_that_do_not_go_together(things: Path, run: TrainedRun, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("price,the sort\n1,\n")
    both = ["tables 2 and samples 5", "single draws", "give one of the two"]
    words = ("impute", things, table, "--out", tmp_path / "x.csv")
    assert_refused(mmt(*words, "--tables", "2", "--samples", "5"), both)
    stream = mmt("impute", things, table, "--out", "-", "--tables", "2")
    assert_refused(stream, ["--tables 2", "standard output holds one table", "--out FILE"])
    assert mmt(*words, "--tables", "0").status == 2
    with pytest.raises(UserError) as error:
        run.impute({"price": [1.0, None]}, tables=2, samples=5)
    assert_facts(str(error.value), *both)
    for tables in (0, 2.5, -1):
        with pytest.raises(UserError, match=rf"^tables: {tables} does not fit; give a whole number of 1 or more$"):
            run.impute({"price": [1.0, None]}, tables=tables)  # type: ignore[arg-type]


def test_pictures_of_each_table_go_to_a_folder_of_its_own(run: TrainedRun, tmp_path: Path) -> None:
    with pytest.warns(DataWarning):
        tables = run.impute(pa.table({"price": [1.0, 2.0]}), tables=2, images=tmp_path / "new")
    for number, table in enumerate(tables, 1):
        assert [Path(cell).parent.name for cell in table["photo"].to_pylist()] == [f"new_{number}"] * 2
        assert all(Path(cell).is_file() for cell in table["photo"].to_pylist())
