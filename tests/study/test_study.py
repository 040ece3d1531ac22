"""Studies: their files and faults, their grid, how they resume, their table and figure."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue import shipped
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.study.figure import study_figure
from mmtoolkit.study.file import Study
from mmtoolkit.study.grid import read_study
from mmtoolkit.study.process import Outcome, RunOutput
from mmtoolkit.study.table import Number, markdown_text, means, table_of
from runs import mmt, sets

STUDY = """\
name: tiny
base: fashion_mini
set:
  data.rows: {train: 120, valid: 20, test: 40}
  train: {epochs: 2, batch_size: 30}
  model.latent_dim: 2
axes:
  data.supervision.paired: [0.5, 1]
  rows:
    all rows: {data.supervision.rest: keep}
    paired rows alone: {data.supervision.rest: drop}
scores:
  - {name: MVAE, kind: prediction, target: [label], given: [image], metric: accuracy}
  - {name: bound, kind: elbo, target: [image, label], given: [label, image]}
"""
SMALL = STUDY.replace("    paired rows alone: {data.supervision.rest: drop}\n", "")
SMALLER = SMALL.replace("[0.5, 1]", "[0.5]")


def written(folder: Path, text: str = STUDY, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        read_study(path, overrides)
    return raised.value.faults


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "table.csv").read_text())))


# The grid.


def test_every_combination_is_a_run(tmp_path: Path) -> None:
    text = changed(STUDY, "scores:", "seeds: {keys: [train.seed, data.supervision.seed], values: [3, 7]}\nscores:")
    study, cells = read_study(written(tmp_path, text))
    assert [cell.title for cell in cells] == [
        f"paired={paired}  {rows}  seed {seed}"
        for paired in ("0.5", "1")
        for rows in ("all rows", "paired rows alone")
        for seed in (3, 7)
    ]
    by_hand = ["data.rows={train: 120, valid: 20, test: 40}", "train={epochs: 2, batch_size: 30}", "model.latent_dim=2"]
    by_hand += ["data.supervision.paired=0.5", "data.supervision.rest=drop", "train.seed=7", "data.supervision.seed=7"]
    assert cells[3].schema == read_schema("fashion_mini", by_hand)
    assert cells[3].labels == {"data.supervision.paired": 0.5, "rows": "paired rows alone"}
    assert len({cell.folder for cell in cells}) == 8
    assert cells[3].folder.startswith("paired=0.5_paired-rows-alone_seed-7_")
    assert study.x == "data.supervision.paired"


def test_combinations_can_be_left_out(tmp_path: Path) -> None:
    without = "without: [{data.supervision.paired: 1, rows: paired rows alone}]\nscores:"
    _, cells = read_study(written(tmp_path, changed(STUDY, "scores:", without)))
    assert [cell.title for cell in cells] == [
        "paired=0.5  all rows  seed 0",
        "paired=0.5  paired rows alone  seed 0",
        "paired=1  all rows  seed 0",
    ]


def test_a_folder_follows_from_all_settings_of_its_run(tmp_path: Path) -> None:
    path = written(tmp_path)
    first = {cell.folder for cell in read_study(path)[1]}
    assert {cell.folder for cell in read_study(path)[1]} == first
    assert {cell.folder for cell in read_study(path, ["train.learning_rate=0.1"])[1]}.isdisjoint(first)
    grown = changed(STUDY, "[0.5, 1]", "[0.25, 0.5, 1]")
    assert {cell.folder for cell in read_study(written(tmp_path, grown))[1]} > first


def test_labels_make_folders_that_a_file_system_takes(tmp_path: Path) -> None:
    text = changed(STUDY, "all rows:", "'../ö/ #1':").replace("paired rows alone:", f"{'long ' * 60}:")
    folders = [cell.folder for cell in read_study(written(tmp_path, text))[1]]
    assert len(set(folders)) == 4
    assert all(set(folder).isdisjoint("/ #ö") and len(folder) < 100 and folder[0] != "." for folder in folders)


def test_set_is_the_last_of_what_all_runs_share(tmp_path: Path) -> None:
    study, cells = read_study(written(tmp_path), ["train.epochs=5", "model.latent_dim=3"])
    assert {(c.schema.train.epochs, c.schema.train.batch_size, c.schema.model.latent_dim) for c in cells} == {
        (5, 30, 3)
    }
    resolved = written(tmp_path, study.to_yaml(), "resolved.yaml")
    assert [cell.folder for cell in read_study(resolved)[1]] == [cell.folder for cell in cells]


def test_a_base_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(read_schema("fashion_mini").to_yaml())
    study, cells = read_study(written(tmp_path, changed(STUDY, "base: fashion_mini", "base: base.yaml")))
    assert study.base == str(tmp_path / "base.yaml")
    assert cells[0].schema.train.batch_size == 30


def test_each_is_a_score_for_each_target(tmp_path: Path) -> None:
    each = "  - {name: accuracy, kind: prediction, each: [label, image], given: [image]}\n"
    study, _ = read_study(written(tmp_path, STUDY + each))
    assert [(s.name, s.target) for s in study.expanded_scores[2:]] == [
        ("accuracy: label", ("label",)),
        ("accuracy: image", ("image",)),
    ]


# Faults of the file.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "line", "key", "facts"),
    [
        ("axes:", "axis:", 7, "axis", ("unknown key", "'axes'", "name, base, set")),
        ("name: tiny", "name: a/b", 1, "name", ("name of a folder",)),
        ("data.supervision.paired:", "data.supervison.paired:", 8, "axes.data.supervison", ("'supervision'",)),
        ("train: {epochs: 2", "train: {epochs: many", 5, "set.train.epochs", ("integer",)),
        ("model.latent_dim: 2", "model.latent_dims: 2", 6, "set.model.latent_dims", ("unknown key", "'latent_dim'")),
        ("rest: drop", "rest: dorp", 11, 'axes.rows."paired rows alone".data.supervision.rest', ("'drop'",)),
        ("[0.5, 1]", "[0.5, 1.5]", 8, "axes.data.supervision.paired", ("less than or equal to 1",)),
        ("[0.5, 1]", "[0.5, 0.5]", 8, 'axes."data.supervision.paired".1', ("0.5", "twice", "remove")),
        ("[0.5, 1]", "0.5", 8, 'axes."data.supervision.paired"', ("list of values", "mapping label -> {key")),
        (
            "rows:\n    all rows: {data.supervision.rest: keep}",
            "rows:\n    all rows: keep",
            10,
            'axes.rows."all rows"',
            ("mapping {key",),
        ),
        ("base: fashion_mini", "base: fashon_mini", 2, "base", ("fashon_mini", "file", "schema", "'fashion_mini'")),
        ("kind: elbo", "kind: elbow", 14, "scores.1.kind", ("'elbow'", "'elbo'", "elbo, prediction", "set evaluate")),
        (
            "kind: elbo",
            "kind: elbo, options: {samples: 7}",
            14,
            "scores.1.options",
            ("elbo", "these options", "change"),
        ),
        ("target: [label]", "target: [lable]", 13, "scores.0.target", ("'lable'", "'label'", "image, label")),
        ("target: [label], ", "", 13, "scores.0", ("target", "each", "one of the two")),
        ("name: bound", "name: MVAE", 14, "scores.1.name", ("'MVAE'", "twice", "own name")),
        ("scores:", "figure: {x: row}\nscores:", 12, "figure.x", ("no such axis", "'rows'", "the axes are")),
        ("scores:", "without: [{row: all}]\nscores:", 12, "without.0.row", ("no such axis", "'rows'", "the axes are")),
        ("scores:", "without: [{rows: all}]\nscores:", 12, "without.0.rows", ("all", "axis", "all rows")),
        ("scores:", "without: [{}]\nscores:", 12, "without", ("no run", "remove")),
        ("scores:", "seeds: []\nscores:", 12, "seeds", ("at least 1",)),
        ("scores:", "seeds: {keys: [train.sed], values: [1]}\nscores:", 12, "seeds.train.sed", ("unknown key",)),
        ("  rows:", "  seed:", 9, "axes.seed", ("column", "table", "something else")),
        ("model.latent_dim: 2", "train.seed: 4", 6, "set.train.seed", ("every run", "change or remove")),
        ("model.latent_dim: 2", "model..x: 2", 6, 'set."model..x"', ("key of a schema", "train.epochs")),
        ("metric: accuracy", "reference: [table2, log p(x)]", 13, "scores.0.reference", ("published", "add reference")),
    ],
)
def test_faults_name_the_line_of_the_study(
    tmp_path: Path, old: str, new: str, line: int, key: str, facts: tuple[str, ...]
) -> None:
    path = written(tmp_path, changed(STUDY, old, new))
    lines = faults(path)
    fault = next(one for one in lines if one.startswith(f"{path}:{line}: {key}"))
    assert_facts(fault.removeprefix(f"{path}:{line}: {key}"), *facts)
    ended = mmt("study", path)
    assert (ended.status, ended.err.splitlines()) == (2, lines)
    assert not (tmp_path / "runs").exists()


REFERRED = STUDY.replace("metric: accuracy", "reference: [table2, log p(x)]")


@pytest.mark.parametrize(
    ("reference", "key", "facts"),
    [
        ("{published: wu, by: rows, column: mnist}", "published", ("no published results 'wu'", "catalogue")),
        ("{published: wu_goodman_2018, by: row, column: mnist}", "by", ("no such axis", "'rows'", "the axes are")),
        ("{published: wu_goodman_2018, by: rows, column: mnst}", "column", ("table2", "'mnst'", "it has")),
    ],
)
def test_faults_of_references(tmp_path: Path, reference: str, key: str, facts: tuple[str, ...]) -> None:
    (fault,) = faults(written(tmp_path, f"{REFERRED}reference: {reference}\n"))
    assert_facts(fault, f"tiny.yaml:15: reference.{key}: ", *facts)


def test_the_key_of_0_1_that_names_published_results(tmp_path: Path) -> None:
    (fault,) = faults(written(tmp_path, f"{REFERRED}reference: {{results: wu, by: rows, column: mnist}}\n"))
    assert_facts(fault, "tiny.yaml:15: reference: ", "results is called published", "write published: wu")


def test_an_unknown_row_of_published_results(tmp_path: Path) -> None:
    reference = "reference: {published: wu_goodman_2018, by: rows, column: mnist}\n"
    (fault,) = faults(written(tmp_path, changed(REFERRED, "log p(x)", "log p(y)") + reference))
    place = "tiny.yaml:13: scores.0.reference: "
    assert_facts(fault, place, "wu_goodman_2018", "no row 'log p(y)'", "'table2'", "name a row")


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, changed(changed(STUDY, "latent_dim", "latent_dims"), "rest: drop", "rest: dorp"))
    assert [fault.split(": ")[0] for fault in faults(path)] == [f"{path}:6", f"{path}:11"]


def test_set_on_an_axis_is_refused_and_its_faults_stay_its_own(tmp_path: Path) -> None:
    path = written(tmp_path)
    (fault,) = faults(path, "data.supervision.paired=0.1")
    assert_facts(fault, "--set data.supervision.paired: ", "every run", "change or remove its axis")
    (fault,) = faults(path, "train.epoch=1")
    assert_facts(fault, "--set train.epoch: ", "unknown key", "'epochs'")


def test_a_study_that_is_not_there() -> None:
    assert_facts(mmt("study", "figure4-mnits").err, "figure4-mnits: ", "file", "study", "'figure4-mnist'")
    assert_facts(mmt("study", "none.yaml").err, "none.yaml: ", "no such file", "`mmt list studies`")


# The catalogue.


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped.studies())
def test_every_study_of_the_catalogue_is_read_with_all_its_runs(name: str) -> None:
    study, cells = read_study(name)
    assert study.name == name
    assert len(shipped.about(shipped.studies()[name])) > 20
    assert len({cell.folder for cell in cells}) == len(cells)
    assert len({score.name for score in study.expanded_scores}) == len(study.expanded_scores)
    has_small_form = f"{name}-small" in shipped.studies()
    assert has_small_form != (name.endswith("-small") or name in {"zoo", "zoo-speed"})  # theirs is up to the base


def test_the_catalogue_lists_studies_and_results() -> None:
    listing = json.loads(mmt("list", "--json").out)
    assert listing["studies"]["figure3"]["about"].startswith("Figure 3 of Wu & Goodman 2018")
    assert set(listing["published"]) == {"hwang_2021", "wu_goodman_2018"}


def test_conditional_rows_of_the_paper_are_exchanged() -> None:
    """log p(x, y) - log p(x | y) is log p(y), ln 0.1 on MNIST, with the rows exchanged and not as printed."""
    tables = shipped.published("wu_goodman_2018")
    column = tables["table2"]["columns"].index("mnist")

    def log_p_y(joint: str, conditional: str) -> float:
        read = [tables[joint]["log p(x, y)"], tables[conditional]["log p(x | y)"]]
        return float(read[0]["jmvae"][column] - read[1]["jmvae"][column])

    for joint, other in (("table2", "table3"), ("table3", "table2")):
        assert log_p_y(joint, other) == pytest.approx(math.log(0.1), abs=0.04)
        assert abs(log_p_y(joint, joint) - math.log(0.1)) > 0.2
    study, _ = read_study("tables-mnist")
    referred = {score.name: score.reference for score in study.expanded_scores}
    assert referred["log p(x | y), z from x"] == ("table3", "log p(x | y)")
    assert referred["variance of log p(x | y), z from x, y"] == ("table4", "conditional")


# Running.


class InThisProcess:
    """Stands for a process that runs `mmt`, which would import PyTorch anew."""

    interrupted = killed = False

    def __init__(self, arguments: Sequence[str], threads: int, known: Collection[str] = ()) -> None:
        ended = mmt(*arguments)
        self.output = RunOutput(known)
        for line in ended.err.splitlines():
            self.output.add(line)
        self.outcome = self.output.outcome(ended.status, 0.0, "mmt")

    def wait(self) -> Outcome:
        return self.outcome


@pytest.fixture
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmtoolkit.study.jobs.RunProcess", InThisProcess)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """The folder of a study of two runs, in two processes."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMT_CACHE", str(session_cache))
        ended = mmt("study", written(folder, SMALL), "--out", folder / "out", "--jobs", "2")
    assert ended.status == 0, ended.err
    (folder / "err").write_text(ended.err)
    return folder / "out"


@pytest.mark.slow
def test_a_study_ends_in_a_table_and_a_figure(done: Path) -> None:
    rows = {(row["data.supervision.paired"], row["rows"], row["score"]): row for row in table(done)}
    _, cells = read_study(done / "study.yaml")
    assert len(rows) == 4
    for cell in cells:
        results = json.loads((done / "runs" / cell.folder / "results.json").read_text())
        bound, prediction = (score["results"] for score in results["scores"])
        accuracy = next(r for r in prediction if (r["target"], r["given"]) == (["label"], ["image"]))
        for name, result in (("MVAE", accuracy), ("bound", bound[2])):
            row = rows[(str(cell.labels["data.supervision.paired"]), cell.labels["rows"], name)]
            assert (float(row["value"]), float(row["stderr"])) == (result["value"], result["stderr"])
            assert (row["examples"], row["seed"], row["reference"]) == ("40", "0", "")
    assert "| data.supervision.paired | rows | MVAE | bound |" in (done / "table.md").read_text()
    with Image.open(done / "figure.png") as picture:
        assert picture.size[0] > 900


@pytest.mark.slow
def test_a_run_of_a_study_has_a_report_but_no_checkpoint_and_no_pictures(done: Path) -> None:
    for run in (done / "runs").iterdir():
        assert {"results.json", "weights.safetensors", "report.html"} <= {path.name for path in run.iterdir()}
        assert not list(run.rglob("checkpoint"))
        assert not list(run.rglob("*.png"))


@pytest.mark.slow
def test_a_study_prints_a_line_for_each_run_and_its_notes(done: Path) -> None:
    lines = (done.parent / "err").read_text().splitlines()
    assert lines[0] == "2 runs"
    assert len([line for line in lines if line.startswith("run ")]) == 2
    assert not [line for line in lines if "training: " in line or "epoch " in line]
    assert len([line for line in lines if "preparing train" in line]) <= 2  # each process may be the first


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
def test_finished_runs_stay_and_axes_may_grow(done: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.glob("runs/*/results.json")}
    again = mmt("study", done / "study.yaml", "--out", done, "--json")
    assert again.status == 0
    (line,) = again.err.splitlines()
    assert_facts(line, "2 runs", "2", "finished")
    assert len(json.loads(again.out)["runs"]) == 4
    (checkpoint := next(done.glob("runs/*")) / "checkpoint").mkdir()  # as if the study was killed before it removed it
    ended = mmt("study", written(tmp_path, changed(SMALL, "[0.5, 1]", "[0.5, 0.75, 1]")), "--out", done)
    assert ended.status == 0
    assert_facts(ended.err.splitlines()[0], "3 runs", "2", "finished")
    assert not checkpoint.exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(table(done)) == 6
    assert mmt("study", written(tmp_path, SMALL), "--out", done).status == 0
    assert len(table(done)) == 4


@pytest.mark.slow
def test_another_study_is_refused(done: Path, tmp_path: Path) -> None:
    refused = mmt("study", written(tmp_path, SMALL), "--out", done, *sets("train.epochs=3"))
    assert refused.status == 2
    assert_facts(refused.err, f"{done}: ", "another study", "(set.train.epochs differ)", "undo", "--out FOLDER")
    other = changed(changed(STUDY, "name: tiny", "name: other"), "latent_dim: 2", "latent_dim: 3")
    refused = mmt("study", written(tmp_path, other), "--out", done)
    assert_facts(refused.err, "another study", "(name, set.model.latent_dim differ)")
    run = next(done.glob("runs/*"))
    assert_facts(mmt("study", written(tmp_path), "--out", run).err, f"{run}: ", "holds a run", "--out FOLDER")


@pytest.mark.slow
def test_two_studies_do_not_write_one_folder(done: Path) -> None:
    with FileLock(done / ".lock"):
        refused = mmt("study", done / "study.yaml", "--out", done)
    assert refused.status == 2
    assert_facts(refused.err.splitlines()[-1], f"{done}: ", "another `mmt study`", "wait", "--out FOLDER")


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
def test_a_run_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    text = changed(SMALLER, "data.supervision.paired: [0.5]", "train.learning_rate: [1.0e+30, 0.001]")
    path = written(tmp_path, text.replace("{data.supervision.rest: keep}", "{}"))
    ended = mmt("study", path, "--out", tmp_path / "out")
    assert ended.status == 2
    last = ended.err.splitlines()[-1]
    assert last.startswith("learning_rate=1e+30  all rows  seed 0: ")
    assert_facts(last, "stopped", "train.learning_rate")
    values = [(row["train.learning_rate"], bool(row["value"])) for row in table(tmp_path / "out")]
    assert values == [("1e+30", False)] * 2 + [("0.001", True)] * 2
    assert "| 1e+30 | all rows |  |  |" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
def test_a_score_that_a_run_does_not_give_is_named(tmp_path: Path) -> None:
    """The VAE gives no label; two metrics match if the score names none."""
    text = changed(SMALLER, "data.supervision.paired: [0.5]", "model.kind: [vae, mvae]")
    text = text.replace("{data.supervision.rest: keep}", "{}").replace(", metric: accuracy", "")
    ended = mmt("study", written(tmp_path, text), "--out", tmp_path / "out")
    assert ended.status == 0
    none, several = ended.err.splitlines()[-2:]
    assert_facts(none, "MVAE; bound: ", "1 of 2 runs", "kind=vae  all rows  seed 0", "no result")
    assert_facts(several, "MVAE: ", "1 of 2 runs", "kind=mvae  all rows  seed 0", "several results", "metric")
    assert [row["score"] for row in table(tmp_path / "out")] == ["bound"]


REFINED = """\
name: refined
base: fashion_mini
set:
  data.rows: {train: 60, valid: 20, test: 10}
  train: {epochs: 1, batch_size: 30}
  model.latent_dim: 2
  evaluate: [{kind: log_likelihood, samples: 2, refine: 3, entries: [{target: [label]}]}]
scores:
  - {name: plain, kind: log_likelihood, target: [label]}
  - {name: refined, kind: log_likelihood, target: [label], refined: true}
"""


@pytest.mark.usefixtures("_one_process")
def test_a_score_is_of_the_plain_or_of_the_refined_proposal(tmp_path: Path) -> None:
    ended = mmt("study", written(tmp_path, REFINED), "--out", tmp_path / "out")
    assert ended.status == 0, ended.err
    (results,) = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("results.json")]
    expected = [result["value"] for result in results["scores"][0]["results"]]
    assert [float(row["value"]) for row in table(tmp_path / "out")] == expected
    path = written(tmp_path, changed(REFINED, "refine: 3, ", ""))
    (fault,) = faults(path)
    assert_facts(fault, f"{path}:10: scores.1.refined: no log_likelihood ", "refine: STEPS", "remove this key")


def test_a_process_that_is_killed_ends_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr("mmtoolkit.study.process.PROGRAM", (sys.executable, "-S", "-c", script))
    out = tmp_path / "out"
    killed = mmt("study", written(tmp_path, SMALLER), "--out", out)
    assert killed.status == 2
    assert_facts(killed.err.splitlines()[-1], f"{out}: ", "killed", "smaller --jobs")


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C reaches the run, in place of the study."""
    monkeypatch.setattr("mmtoolkit.study.process.PROGRAM", (sys.executable, "-S", "-c", "raise SystemExit(130)"))
    out, plugin = tmp_path / "out", tmp_path / "own.py"
    plugin.write_text("from mmtoolkit import hookimpl\n\n\n@hookimpl\ndef mmt_components():\n    return []\n")
    stopped = mmt("--plugin", plugin, "study", written(tmp_path, SMALLER), "--out", out)
    assert stopped.status == 130
    last = stopped.err.splitlines()[-1]
    assert "interrupted" in last
    assert last.endswith(f": mmt --plugin {plugin} study {out / 'study.yaml'} --out {out} --jobs 1 --device auto")
    assert not (out / "table.csv").exists()


OFTEN = Path(__file__).parents[1] / "helpers" / "killing.py"  # a plugin with which checkpoints come often


@pytest.fixture
def long(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A study of two runs in two processes, which have both written a checkpoint and train on, and its folder."""
    text = changed(SMALL, "epochs: 2", "epochs: 60")
    command = [sys.executable, "-m", "mmtoolkit", "study", str(written(tmp_path, text)), "--out", str(tmp_path / "out")]
    often = {**os.environ, "MMT_TEST_OFTEN": "yes"}
    process = subprocess.Popen(
        [*command, "--jobs", "2", "--plugin", str(OFTEN)], stderr=subprocess.PIPE, text=True, env=often
    )
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("out/runs/*/checkpoint"))) < 2 or len(epochs_done(tmp_path / "out")) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, tmp_path / "out"
    finally:
        process.kill()
        process.communicate()


def epochs_done(out: Path) -> list[int]:
    return [len(path.read_text().splitlines()) for path in sorted(out.glob("runs/*/history.jsonl"))]


@pytest.mark.slow
def test_ctrl_c_has_every_run_write_its_checkpoint(long: tuple[subprocess.Popen[str], Path]) -> None:
    process, out = long
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert_facts(err.splitlines()[-1], ": mmt --plugin ", " study ")
    assert len(list(out.glob("runs/*/checkpoint"))) == 2
    before = epochs_done(out)
    assert all(0 < epochs < 60 for epochs in before)
    time.sleep(1)
    assert epochs_done(out) == before


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
def test_a_study_that_was_killed_takes_its_processes_along_and_goes_on(
    long: tuple[subprocess.Popen[str], Path],
) -> None:
    process, out = long
    process.kill()
    process.wait()
    time.sleep(0.5)
    before = epochs_done(out)
    assert all(0 < epochs < 60 for epochs in before)
    time.sleep(1)
    assert epochs_done(out) == before
    again = mmt("study", out / "study.yaml", "--out", out)
    assert again.status == 0, again.err
    assert_facts(again.err, "after epoch")
    assert epochs_done(out) == [60, 60]
    assert not list(out.rglob("checkpoint"))


# Tables and figures.


def study_of(names: str = "ab", **options: Any) -> Study:
    scores = [{"name": name, "kind": "elbo", "target": ["image"]} for name in names]
    return Study.model_validate({"name": "s", "base": "b", "scores": scores, **options})


def number(x: Any, score: str, value: float | None, seed: int = 0, **options: Any) -> Number:
    rest: dict[str, Any] = {"stderr": 0.5, "examples": 4, "reference": None, **options}
    return Number({"x": x}, (seed,), score, value, **rest)


def test_means_are_over_seeds_with_their_standard_error() -> None:
    averages = means([number(1, "a", 2.0), number(1, "a", 4.0, 1), number(1, "a", 9.0, 2), number(2, "a", None, 0)])
    assert averages[0].value == 5.0
    assert averages[0].stderr == pytest.approx(math.sqrt((9 + 1 + 16) / 2 / 3))
    assert averages[0].seeds == (0, 1, 2)
    assert (averages[1].value, averages[1].stderr, averages[1].seeds) == (None, None, ())


def test_a_mean_of_one_seed_is_that_runs_own_number() -> None:
    (mean,) = means([number(1, "a", 2.0), number(1, "a", None, 1)])
    assert (mean.value, mean.stderr, mean.seeds) == (2.0, 0.5, (0,))


def test_a_table_with_published_numbers_has_a_line_a_score() -> None:
    study = study_of(axes={"x": {"vae": {}}}, reference={"published": "r", "by": "x", "column": "c"})
    head, lines = table_of(study, [number("vae", "a", -90.5, reference=-91.126), number("vae", "b", 1.25)])
    assert head == ["score", "x", "here", "published", "difference"]
    assert lines == [["a", "vae", "-90.50 ± 0.50", "-91.13", "0.63"], ["b", "vae", "1.2500 ± 0.5000", "", ""]]


def test_many_scores_stand_below_each_other() -> None:
    study = study_of("gfedcba", axes={"x": {"p | q": {}}})
    numbers = [number("p | q", name, 6.0) for name in "abcdefg"]
    head, lines = table_of(study, numbers)
    assert head == ["score", "x", "value"]
    assert [line[0] for line in lines] == list("gfedcba")  # as the study has them
    assert "| g | p \\| q | 6.0000 ± 0.5000 |\n" in markdown_text(study, numbers)
    assert table_of(study_of("gfedcb", axes=study.axes), numbers[1:])[0] == ["x", *"gfedcb"]


def drawn(study: Study, numbers: list[Number]) -> Any:
    figure = study_figure(study, numbers)
    figure.canvas.draw()
    return figure


def test_the_figure_has_a_line_for_each_score_with_error_bars() -> None:
    study = study_of(axes={"x": [0.001, 0.1, 1]})
    numbers = [number(x, score, 2 * x) for x in (1, 0.001, 0.1) for score in "ab"]
    (axes,) = drawn(study, numbers).axes
    lines = [c.lines[0] for c in axes.containers]
    assert [list(line.get_xdata()) for line in lines] == [[0.001, 0.1, 1]] * 2
    assert list(lines[0].get_ydata()) == [0.002, 0.2, 2]
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "elbo"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


@pytest.mark.parametrize(
    ("xs", "scale", "expected"),
    [([1, 2, 30], None, "linear"), ([0, 0.01, 1], None, "symlog"), ([-1, 100], None, "linear"), ([1, 2], "log", "log")],
)
def test_the_scale_suits_the_values(xs: list[float], scale: str | None, expected: str) -> None:
    study = study_of(axes={"x": xs}, figure={"scale": scale})
    (axes,) = drawn(study, [number(x, "a", 1.0) for x in xs]).axes
    assert axes.get_xscale() == expected


def test_categories_stand_side_by_side_and_published_numbers_are_hollow() -> None:
    study = study_of(axes={"x": {"vae": {}, "mvae": {}}})
    numbers = [number(x, score, 1.0, reference=2.0 if x == "vae" else None) for x in ("vae", "mvae") for score in "ab"]
    (axes,) = drawn(study, numbers).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["vae", "mvae"]
    first, second = (list(c.lines[0].get_xdata()) for c in axes.containers)
    assert all(-0.5 < x < y < 1.5 for x, y in zip(first, second, strict=True))
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    assert [list(line.get_ydata()) for line in hollow] == [[2.0]] * 2
    assert axes.get_legend().get_texts()[-1].get_text() == "published"


def test_a_panel_for_each_unit() -> None:
    scores = [
        {"name": "a", "kind": "prediction", "target": ["y"], "metric": "accuracy"},
        {"name": "b", "kind": "log_likelihood", "target": ["x"], "field": "log_weight_variance"},
    ]
    study = study_of(axes={"x": [1, 2]}, scores=scores)
    figure = drawn(study, [number(x, score, 1.0) for x in (1, 2) for score in "ab"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "log weight variance"]
    assert figure.axes[1].get_xlabel() == "x"


def test_a_study_whose_runs_all_failed_still_has_a_figure(tmp_path: Path) -> None:
    study_figure(study_of(axes={"x": [1]}), [number(1, "a", None)]).savefig(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0
