"""`mmt evaluate RUN TABLE`: the run's scores on a table that is not of its data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mmtoolkit
from mmtoolkit import TrainedRun
from mmtoolkit.evaluators import Classifier, Elbo, Prediction
from runs import mmt, sets
from table_runs import truth, with_holes, write_csv

SCORED = "evaluate=[{kind: prediction, entries: [{target: [sort, price], given: [ripe]}, {target: [size], given: []}]}]"


@pytest.fixture
def run(things: Path, tmp_path: Path) -> Path:
    """A run folder of this test's own; the data stands where it was."""
    return Path(shutil.copytree(things, tmp_path / "run"))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "new.csv", with_holes(truth(40, tmp_path, 5), 0.3))


def test_scores_are_kept_with_the_table(run: Path, new: Path) -> None:
    done = mmt("evaluate", run, new, *sets(SCORED), "--json")
    assert done.status == 0, done.err
    kept = json.loads((run / "evaluations" / "1.json").read_text())
    assert json.loads(done.out) == kept
    assert kept["table"] == str(new)
    (score,) = kept["scores"]
    assert score["split"] == str(new)
    assert [result["metric"] for result in score["results"]][:2] == ["accuracy", "calibration_error"]
    assert mmtoolkit.load(run).results["scores"] == []


def test_the_training_table_gives_what_its_splits_give(run: Path, things: Path) -> None:
    """Of a table with all rows of the data, examples and means are those of the splits together."""
    loaded = mmtoolkit.load(run)
    evaluators = [Prediction(entries=[{"target": ["price"], "given": ["sort"]}])]
    data = things.parent / "things.csv"
    (whole,) = loaded.evaluate_on(data, evaluators)
    parts = [loaded.evaluate(evaluators, split)[0]["results"][0] for split in ("train", "valid", "test")]
    found = next(result for result in whole["results"] if result["metric"] == parts[0]["metric"])
    assert found["examples"] == sum(part["examples"] for part in parts)
    mean = sum(part["value"] * part["examples"] for part in parts) / found["examples"]
    assert found["value"] == pytest.approx(mean, rel=1e-5)
    assert found["baseline"] != found["value"]


def test_strangers_are_bad_cells(run: Path, tmp_path: Path) -> None:
    rows = [{"the sort": sort, "price": "2"} for sort in ("pear", "fig", "plum", "kiwi")]
    table = write_csv(tmp_path / "t.csv", rows)
    done = mmt("evaluate", run, table, *sets(SCORED), "--on-bad-cell", "error")
    assert done.status == 2
    first, second = (line for line in done.err.splitlines() if not line.startswith("preparing"))
    assert first.startswith(f"{table}, row 2, column the sort: 'fig' is none of the 3 classes")
    assert first.endswith("; mend the cell, or set data.on_bad_cell to missing")
    assert second.startswith(f"{table}, row 4, column the sort: 'kiwi'")
    done = mmt("evaluate", run, table, *sets("evaluate=[{kind: elbo}]", "data.on_bad_cell=missing"), "--json")
    assert done.status == 0, done.err
    assert (
        f"{table}, column the sort: 2 of 4 cells cannot be read and count as missing; first, {table}, row 2: 'fig'"
        in done.err
    )
    assert f"{table}: has no columns width, height: all rows lack size" in done.err
    results = json.loads(done.out)["scores"][0]["results"]
    counts = {result["target"][0]: result["examples"] for result in results if len(result["target"]) == 1}
    assert counts == {"photo": 0, "title": 0, "sort": 2, "price": 4, "size": 0, "ripe": 0, "traits": 0}


def test_what_reads_the_training_rows_has_those_of_the_run(run: Path, new: Path) -> None:
    task = {"target": ["sort"], "given": ["price"]}
    loaded = mmtoolkit.load(run)
    (score,) = loaded.evaluate_on(new, [Classifier(entries=[task], steps=5)])
    assert score["results"][0]["rows"] > 50
    assert 10 < score["results"][0]["examples"] < 40


def test_where_the_runs_own_data_is_gone(run: Path, new: Path) -> None:
    schema = run / "schema.yaml"
    schema.write_text(schema.read_text().replace("things.csv", "gone.csv"))
    loaded: TrainedRun = mmtoolkit.load(run)
    assert loaded.evaluate_on(new, [Elbo()])[0]["results"]
    task = "evaluate=[{kind: classifier, steps: 5, entries: [{target: [sort], given: [price]}]}]"
    done = mmt("evaluate", run, new, *sets(task))
    assert done.status == 2
    first, second = (line for line in done.err.splitlines() if not line.startswith("preparing"))
    assert "gone.csv: cannot be read: No such file or directory" in first
    assert second == f"{new}: what is scored on it needs the run's own data, which cannot be read"
    assert not (run / "evaluations").exists()


def test_options_that_do_not_go_together(run: Path, new: Path) -> None:
    for options, said in (
        ((new, "--split", "valid"), f"--split valid: is of the run's own data; leave it out to score on {new}"),
        (("--on-bad-cell", "error"), "--on-bad-cell: is of a TABLE, and the run's own data is prepared; leave it out"),
        (
            ("--set", "data.encoding=utf-8"),
            "--set data.encoding=utf-8: cannot change a trained run; evaluate alone can be set here, and data of a "
            "TABLE",
        ),
        (
            (new, "--set", "data.rows=3"),
            "--set data.rows=3: says nothing of how a table is read; what does is data.format, data.delimiter, "
            "data.encoding, data.missing, data.absent_files, data.files_outside, data.on_bad_cell",
        ),
        (
            (new, "--set", "train.epochs=3"),
            "--set train.epochs=3: cannot change a trained run; evaluate alone can be set here",
        ),
    ):
        done = mmt("evaluate", run, *options)
        assert (done.status, done.out, done.err) == (2, "", f"{said}\n")


def test_tables_that_are_refused(run: Path, tmp_path: Path) -> None:
    done = mmt("evaluate", run, tmp_path / "none.csv")
    assert (done.status, done.err) == (2, f"{tmp_path / 'none.csv'}: there is no such file; correct the path\n")
    (other := tmp_path / "other.csv").write_text("a\n1\n")
    done = mmt("evaluate", run, other)
    assert done.status == 2
    assert done.err.startswith(f"{other}: has none of the columns that the run reads, photo, title")
    (empty := tmp_path / "empty.csv").write_text("price,ripe\n")
    done = mmt("evaluate", run, empty, *sets("evaluate=[{kind: elbo}]"))
    assert done.status == 2
    assert done.err.splitlines()[-1] == f"{empty}: has no rows to score; give it rows"
