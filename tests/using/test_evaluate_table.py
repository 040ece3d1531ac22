"""`mmt evaluate RUN TABLE`: the run's scores on a table that is not of its data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from facts import assert_facts
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
    evaluation = json.loads((run / "evaluations" / "1.json").read_text())
    assert json.loads(done.out) == evaluation
    assert evaluation["table"] == str(new)
    (score,) = evaluation["scores"]
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
    result = next(result for result in whole["results"] if result["metric"] == parts[0]["metric"])
    assert result["examples"] == sum(part["examples"] for part in parts)
    mean = sum(part["value"] * part["examples"] for part in parts) / result["examples"]
    assert result["value"] == pytest.approx(mean, rel=1e-5)
    assert result["baseline"] != result["value"]


def test_strangers_are_bad_cells(run: Path, tmp_path: Path) -> None:
    rows = [{"the sort": sort, "price": "2"} for sort in ("pear", "fig", "plum", "kiwi")]
    table = write_csv(tmp_path / "t.csv", rows)
    done = mmt("evaluate", run, table, *sets(SCORED), "--on-bad-cell", "error")
    assert done.status == 2
    first, second = (line for line in done.err.splitlines() if not line.startswith("preparing"))
    assert_facts(first, f"{table}, row 2, column the sort: 'fig'", "3 classes", "; ", "data.on_bad_cell", "missing")
    assert_facts(second, f"{table}, row 4, column the sort: 'kiwi'")
    done = mmt("evaluate", run, table, *sets("evaluate=[{kind: elbo}]", "data.on_bad_cell=missing"), "--json")
    assert done.status == 0, done.err
    assert_facts(done.err, f"{table}, column the sort: 2 of 4 cells", "missing", f"{table}, row 2: 'fig'")
    assert_facts(done.err, f"{table}: ", "no columns width, height", "size")
    results = json.loads(done.out)["scores"][0]["results"]
    counts = {result["target"][0]: result["examples"] for result in results if len(result["target"]) == 1}
    assert counts == {"photo": 0, "title": 0, "sort": 2, "price": 4, "size": 0, "ripe": 0, "traits": 0}


def test_an_evaluator_that_reads_training_rows_gets_those_of_the_run(run: Path, new: Path) -> None:
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
    assert_facts(first, "gone.csv: ", "No such file or directory")
    assert_facts(second, f"{new}: ", "the run's own data")
    assert not (run / "evaluations").exists()


def test_options_that_do_not_go_together(run: Path, new: Path) -> None:
    reading = ["data.format", "data.delimiter", "data.quote", "data.head", "data.encoding", "data.missing"]
    reading += ["data.absent_files", "data.files_outside", "data.on_bad_cell"]
    cases: list[tuple[Any, ...]] = [
        ((new, "--split", "valid"), "--split valid: ", "; ", str(new)),
        (("--on-bad-cell", "error"), "--on-bad-cell: ", "TABLE", "; leave it out"),
        (("--set", "data.encoding=utf-8"), "--set data.encoding=utf-8: ", "trained run; ", "evaluate", "TABLE"),
        ((new, "--set", "data.rows=3"), "--set data.rows=3: ", "; ", *reading),
        ((new, "--set", "train.epochs=3"), "--set train.epochs=3: ", "trained run; ", "evaluate"),
    ]
    for options, *facts in cases:
        ended = mmt("evaluate", run, *options)
        assert (ended.status, ended.out) == (2, "")
        (line,) = ended.err.splitlines()
        assert_facts(line, *facts)


def test_tables_that_are_refused(run: Path, tmp_path: Path) -> None:
    done = mmt("evaluate", run, tmp_path / "none.csv")
    assert done.status == 2
    assert_facts(done.err, f"{tmp_path / 'none.csv'}: ", "no such file; ", "path")
    (other := tmp_path / "other.csv").write_text("a\n1\n")
    done = mmt("evaluate", run, other)
    assert done.status == 2
    assert_facts(done.err, f"{other}: ", "none of the columns", "photo, title")
    (empty := tmp_path / "empty.csv").write_text("price,ripe\n")
    done = mmt("evaluate", run, empty, *sets("evaluate=[{kind: elbo}]"))
    assert done.status == 2
    assert_facts(done.err.splitlines()[-1], f"{empty}: ", "no rows", "; give")
