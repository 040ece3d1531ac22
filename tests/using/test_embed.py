"""`mmt embed`: where the rows of a table lie in the latent space."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

import mmtoolkit
from endless import Endless
from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmtoolkit import Batch, Observed, TrainedRun
from mmtoolkit.using.embedding import Embedder, read_by
from mmtoolkit.using.run_table import RunTable
from runs import assert_refused, mmt
from table_runs import cells_of, read_csv, truth, with_holes, write_csv
from untrained import untrained

NAMES = [f"{what}_{k}" for what in ("mean", "logvar") for k in range(3)]


@pytest.fixture(scope="module")
def run(things: Path) -> TrainedRun:
    return mmtoolkit.load(things)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "new.csv", with_holes(truth(40, tmp_path, 5), 0.4))


def numbers(rows: list[dict[str, str]]) -> torch.Tensor:
    return torch.tensor([[float(row[name]) for name in NAMES] for row in rows], dtype=torch.float64)


def test_rows_are_those_of_infer(run: TrainedRun, new: Path) -> None:
    done = mmt("embed", run.folder, new, "--out", new.with_name("z.csv"))
    assert (done.status, done.out, done.err) == (0, f"{new.with_name('z.csv')}\n", "")
    rows = read_csv(new.with_name("z.csv"))
    assert list(rows[0]) == NAMES
    q = run.infer([cells_of(run, row, new.parent) for row in read_csv(new)])
    expected = torch.cat([q.mean, q.variance.log()], dim=1).double()
    torch.testing.assert_close(numbers(rows), expected, rtol=1e-4, atol=1e-5)


def test_formats_and_copied_columns(run: TrainedRun, new: Path) -> None:
    for ending in ("csv", "parquet", "feather", "jsonl"):
        out = new.with_name(f"z.{ending}")
        assert mmt("embed", run.folder, new, "--out", out, "--keep", "note", "--keep", "id").status == 0
    table = pa.parquet.read_table(new.with_name("z.parquet"))
    assert table.schema.names == ["note", "id", *NAMES]
    assert {table.schema.field(name).type for name in NAMES} == {pa.float32()}
    assert table["id"].to_pylist() == [row["id"] for row in read_csv(new)]
    assert table["note"].to_pylist() == [row["note"] for row in read_csv(new)]
    assert pa.feather.read_table(new.with_name("z.feather")).equals(table)
    text = read_csv(new.with_name("z.csv"))
    assert np.array_equal(numbers(text).float().numpy(), np.stack([table[name].to_numpy() for name in NAMES], 1))
    lines = [json.loads(line) for line in new.with_name("z.jsonl").read_text().splitlines()]
    assert [line["note"] for line in lines] == table["note"].to_pylist()


def test_an_empty_row_has_the_prior_and_is_counted(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("price,ripe,extra\n2.5,yes,1\n,NA,1\n")
    done = mmt("embed", run.folder, tmp_path / "t.csv", "--out", tmp_path / "z.csv")
    (line,) = done.err.splitlines()
    assert_facts(line, f"{tmp_path / 't.csv'}: ", "rows", "z", "1; ", "prior")
    first, second = numbers(read_csv(tmp_path / "z.csv")).tolist()
    assert second == [0.0] * 6
    assert all(first)


def test_only_what_z_is_inferred_from_is_read(things: Path, tmp_path: Path) -> None:
    schema = mmtoolkit.read_schema(things.parent / "things.yaml", ["model={kind: vae, latent_dim: 3, modality: price}"])
    run = mmtoolkit.run(schema, tmp_path / "run", figures=False)
    assert read_by(run) == ["price"]
    (tmp_path / "t.csv").write_text("price,the sort\n2.5,no such\n,pear\n")
    done = mmt("embed", run.folder, tmp_path / "t.csv", "--out", tmp_path / "z.csv", "--on-bad-cell", "error")
    assert done.status == 0, done.err
    (tmp_path / "u.csv").write_text("the sort\npear\n")
    done = mmt("embed", run.folder, tmp_path / "u.csv", "--out", tmp_path / "v.csv")
    assert_facts(done.err, f"{tmp_path / 'u.csv'}: ", "none of the columns", "price; ", "the sort")


def test_what_is_refused(run: TrainedRun, new: Path) -> None:
    out = new.with_name("z.csv")
    words = ("embed", run.folder, new, "--out", out)
    columns = "id, photo, title, the sort, price, width, height, ripe, sweet, sour, note"
    assert_refused(mmt(*words, "--keep", "notes"), [f"{new}: ", "no column 'notes'", "'note'", columns])
    (clash := new.with_name("c.csv")).write_text("mean_1,price\n1,2\n")
    assert_refused(
        mmt("embed", run.folder, clash, "--out", out, "--keep", "mean_1"), [f"{clash}: ", "'mean_1'", "; rename it"]
    )
    assert_refused(mmt("embed", run.folder, new, "--out", new, "--overwrite"), [f"{new}: ", "table", "; ", "--out"])
    assert not out.exists()
    out.write_text("mine")
    assert_refused(mmt(*words), [f"{out}: ", "already; ", "--overwrite"])
    assert out.read_text() == "mine"
    assert mmt(*words, "--overwrite").status == 0


def test_a_posterior_that_is_no_gaussian(tmp_path: Path) -> None:
    """A mixture has a mean and a variance too; they are written."""

    class Mixture:
        def __init__(self, q: mmtoolkit.Posterior) -> None:
            self.mean, self.variance = q.mean + 1, q.variance * 2

    run = untrained({"b": Label(classes=("x", "y"))}, tmp_path, train={"b": ["x", "y"]})
    plain = run.embed({"b": ["x", None, "y"]})
    infer = run.model.infer_all
    run.model.infer_all = lambda batch: Mixture(infer(batch))  # type: ignore[assignment, method-assign, return-value]
    other = run.embed({"b": ["x", None, "y"]})
    for k in range(3):
        np.testing.assert_allclose(other[f"mean_{k}"], plain[f"mean_{k}"] + 1, rtol=1e-5)
        np.testing.assert_allclose(other[f"logvar_{k}"], plain[f"logvar_{k}"] + np.log(2), rtol=1e-5, atol=1e-6)


def test_pieces_are_of_the_size_that_suits_and_rows_are_let_go(tmp_path: Path) -> None:
    modalities = {"a": Numeric(mean=(0.0,), std=(1.0,)), "b": Label(classes=("x", "y"))}
    run = untrained(modalities, tmp_path, train={"a": [1.0, 2.0], "b": ["x", "y"]})
    table = Endless(10 * 4096)
    sizes = [values.shape[1] for _, values in Embedder(run, RunTable(run, table, None, "error")).pieces()]
    assert sizes == [4096] * 10
    assert table.most <= 3


def test_it_is_ready_for_scikit_learn(run: TrainedRun, new: Path) -> None:
    pandas = pytest.importorskip("pandas")
    cluster = pytest.importorskip("sklearn.cluster")
    mmt("embed", run.folder, new, "--out", new.with_name("z.parquet"), "--keep", "id")
    z = pandas.read_parquet(new.with_name("z.parquet")).set_index("id")
    clusters = cluster.KMeans(2, n_init=1, random_state=0).fit_predict(z.filter(like="mean_"))
    assert set(clusters) == {0, 1}


def test_a_run_without_its_data_embeds(things: Path, new: Path, tmp_path: Path) -> None:
    shutil.copytree(things, tmp_path / "moved")
    schema = tmp_path / "moved" / "schema.yaml"
    schema.write_text(schema.read_text().replace("things.csv", "gone.csv"))
    done = mmt("embed", tmp_path / "moved", new, "--out", tmp_path / "z.csv")
    assert done.status == 0, done.err


def test_every_batch_gives_the_same(tmp_path: Path) -> None:
    """The batch that rows are in does not matter; nor does what is missing beside them."""
    run = untrained({"a": Numeric(mean=(0.0,), std=(1.0,))}, tmp_path, train={"a": [1.0, 2.0]})
    values = np.linspace(-2, 2, 300)
    z = run.embed({"a": values})
    x = torch.from_numpy(values)
    q = run.model.infer(Batch({"a": Observed(x, torch.ones(300, dtype=torch.bool))}), ["a"])
    np.testing.assert_allclose(z["mean_1"], q.mean[:, 1].detach(), rtol=1e-4, atol=1e-5)
