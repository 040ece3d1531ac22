"""Run folders without a run, or with an unfinished, damaged or foreign one: one line names folder and remedy."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from PIL import Image as PILImage
from safetensors.torch import load_file, save_file

import mmtoolkit
from facts import assert_facts
from mmtoolkit import Evaluator, Run, Scores
from mmtoolkit.base.errors import UserError
from mmtoolkit.runs.folder import read_declared, read_finished_record, read_history, read_record, read_results
from runs import Ended, mmt

SCHEMA = """\
name: tiny
data: {kind: fashion_mini, rows: {train: 40, valid: 10, test: 10}}
modalities:
  label: {kind: label}
  again: {kind: label, column: label}
model: {kind: mvae, latent_dim: 2}
train: {epochs: 2, batch_size: 20}
"""
COMMANDS = ("evaluate", "sample", "report", "compare")
LOADING = ("evaluate", "sample")
READERS = {
    "run.json": COMMANDS,
    "schema.yaml": COMMANDS,
    "weights.safetensors": LOADING,
    "baselines.safetensors": LOADING,
    "results.json": ("report", "compare"),
    "history.jsonl": ("report",),
    "data.json": ("report",),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(SCHEMA)
    mmtoolkit.run(mmtoolkit.read_schema(folder / "tiny.yaml"), folder / "run", figures=False)
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run of the test's own."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def assert_refused(ended: Ended, *facts: str) -> None:
    """Status 2 and one line that begins with the first fact and has the others."""
    assert (ended.status, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(facts[0]), line
    assert_facts(line, *facts)


def change_json(path: Path, edit: Callable[[Any], Any]) -> None:
    """Change a JSON file; what `edit` returns takes the place of all, where it is not None."""
    data = json.loads(path.read_text())
    new = edit(data)
    path.write_text(json.dumps(data if new is None else new))


RESUME = "mmt run {run}/schema.yaml --out {run} --resume"


# No run.


@pytest.mark.parametrize("command", COMMANDS)
def test_what_holds_no_run(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, fault in (
        (tmp_path, "schema.yaml"),
        (tmp_path / "file", "folder"),
        (tmp_path / "none", "no such folder"),
        (tmp_path / ("x" * 300), "no such folder"),
    ):
        assert_refused(mmt(command, path), f"{path}: ", fault, "; give the folder", "`mmt run`")
    with pytest.raises(UserError, match="no such folder"):
        mmtoolkit.load(tmp_path / "none")


# Unfinished.


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_is_not_finished(command: str, run: Path) -> None:
    change_json(run / "run.json", lambda data: data["times"].update(finished=None))
    assert_refused(mmt(command, run), f"{run}: ", "not finished; ", f"`{RESUME.format(run=run)}`")


class Stops:
    """A watcher that interrupts training before it begins."""

    def begin(self, start: mmtoolkit.TrainingStart) -> None:
        raise KeyboardInterrupt

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None: ...

    def epoch(self, line: dict[str, Any]) -> None: ...


def test_a_finished_run_that_resumes_is_unfinished_until_it_ends(run: Path) -> None:
    """Its weights and scores may be of different epochs."""
    more = mmtoolkit.read_schema(run / "schema.yaml", ["train.epochs=3"])
    with pytest.raises(KeyboardInterrupt):
        mmtoolkit.run(more, run, resume=True, watcher=Stops(), figures=False)
    assert_refused(mmt("sample", run), f"{run}: ", "not finished; ", f"`{RESUME.format(run=run)}`")
    mmtoolkit.run(more, run, resume=True, figures=False)
    assert len(mmtoolkit.load(run).history) == 3


def test_the_remedy_names_the_plugin_file(run: Path) -> None:
    def edit(data: Any) -> None:
        data["times"]["finished"] = None
        data["plugins"].append({"name": "mine", "distribution": "/a/my own.py", "version": "1", "checksum": "1"})

    change_json(run / "run.json", edit)
    with pytest.raises(UserError, match=r"; .*`mmt --plugin '/a/my own\.py' run "):
        mmtoolkit.load(run)


# Of another version.


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("version", ["0.0.9", "0.3.0", "1.0.0"])
def test_a_run_of_another_version(command: str, version: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_json(run / "run.json", lambda data: {"versions": {"mmtoolkit": version}, "all": "the rest may be otherwise"})
    monkeypatch.setattr("mmtoolkit.runs.folder.metadata.version", lambda name: "0.2.0")
    again = f"`mmt run {run}/schema.yaml --out FOLDER`"
    assert_refused(mmt(command, run), f"{run}: ", version, "0.2.0; ", "version", again)


@pytest.mark.parametrize(
    ("made_by", "this", "read"),
    [
        ("0.3.0", "0.3.7", True),
        ("0.3.0", "0.30.0", False),
        ("1.0.0", "1.4.2", True),
        ("1.9.0", "2.0.0", False),
        ("0.1.0", "0.2.0", True),
        ("0.1.4", "0.2.1", True),
    ],
)
def test_which_versions_read_each_other(
    made_by: str, this: str, read: bool, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_json(run / "run.json", lambda data: data["versions"].update(mmtoolkit=made_by))
    monkeypatch.setattr("mmtoolkit.runs.folder.metadata.version", lambda name: this)
    if read:
        assert read_record(run)["versions"]["mmtoolkit"] == made_by
    else:
        with pytest.raises(UserError) as raised:
            read_record(run)
        assert_facts(str(raised.value), f"{run}: ", made_by, this, "; ")


# Damaged.


def test_files_that_are_gone(run: Path) -> None:
    resume = f"`{RESUME.format(run=run)}`"
    for name, command, remedy in [
        ("results.json", "compare", resume),
        ("history.jsonl", "report", resume),
        ("run.json", "report", f"`mmt run {run}/schema.yaml --out FOLDER`"),
        ("weights.safetensors", "sample", "train the run again"),
        ("baselines.safetensors", "evaluate", resume),
    ]:
        (run / name).rename(run / "aside")
        assert_refused(mmt(command, run), f"{run / name}: ", "o such file", "; ", remedy)
        (run / name).mkdir()
        assert mmt(command, run).err.startswith(f"{run / name}: "), name
        (run / name).rmdir()
        (run / "aside").rename(run / name)


@pytest.mark.parametrize("name", ["results.json", "history.jsonl", "baselines.safetensors"])
@pytest.mark.slow
def test_what_follows_from_the_checkpoint_is_written_again(name: str, run: Path) -> None:
    before = (run / name).read_bytes()
    (run / name).write_bytes(before[: len(before) // 2 + 3])
    faults = [mmt(command, run).err for command in READERS[name]]
    assert all(f"`{RESUME.format(run=run)}`" in fault for fault in faults), faults
    assert mmt(*RESUME.format(run=run).split()[1:]).status == 0
    if name != "history.jsonl":  # it holds how long the epochs took
        assert (run / name).read_bytes() == before
    assert [mmt(command, run).status for command in READERS[name]] == [0] * len(faults)


def test_tensors_of_other_shapes(run: Path) -> None:
    save_file({"label": torch.zeros(()), "again": torch.zeros(3)}, run / "baselines.safetensors")
    with pytest.raises(UserError) as raised:
        mmtoolkit.load(run)
    place = f"{run / 'baselines.safetensors'}: "
    assert_facts(str(raised.value), place, "shapes", "'again': (3,)", "modalities; ", "--resume`")
    save_file({"label": torch.zeros(())}, run / "baselines.safetensors")
    with pytest.raises(UserError) as raised:
        mmtoolkit.load(run)
    assert_facts(str(raised.value), place, "shapes", "{'label': ()}", "modalities; ", "--resume`")
    weights = load_file(run / "weights.safetensors")
    first = next(iter(weights))
    save_file({**weights, first: weights[first][:1].clone()}, run / "weights.safetensors")
    with pytest.raises(UserError, match=r"weights\.safetensors: .*networks.*; train the run again"):
        mmtoolkit.load(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("run.json", b"[]", (": ", "damaged", "mapping; ", "`mmt run ")),
        ("run.json", b'{"versions": {"mmtoolkit": 1}}', (": ", "damaged", "versions.mmtoolkit: ", "; ", "`mmt run ")),
        ("results.json", b"", (": ", "damaged", "JSON", "line 1 column 0; ", "--resume`")),
        ("results.json", b'{"scores": [7]}', (": ", "damaged", "scores.0: ", "mapping; ", "--resume`")),
        ("history.jsonl", b"", (": ", "damaged", "2 epochs; ", "--resume`")),
        ("schema.yaml", b"", (": ", "empty; ", "train the run again")),
        ("schema.yaml", b"a: [", (":1: ", "YAML", "; ", "train the run again")),
        ("schema.yaml", b"[]", (": ", "damaged", "mapping; ", "train the run again")),
        ("schema.yaml", b"name: a", (": ", "damaged", "data: field required; ", "train the run again")),
        ("schema.yaml", b"\xff", (": ", "damaged", "UTF-8", "byte 0", "; ", "train the run again")),
        ("weights.safetensors", b"", (": ", "damaged", "header", "; ", "train the run again")),
        ("baselines.safetensors", b"{}", (": ", "damaged", "header", "; ", "--resume`")),
    ],
)
def test_files_of_other_content(name: str, content: bytes, facts: tuple[str, ...], run: Path) -> None:
    (run / name).write_bytes(content)
    for command in READERS[name]:
        assert_refused(mmt(command, run), f"{run / name}{facts[0]}", *facts[1:])


def test_a_figure_that_is_cut_short(run: Path) -> None:
    figure = run / "figures" / "samples.png"
    figure.parent.mkdir(exist_ok=True)
    entry = {"file": "samples.png", "name": "samples", "title": "Samples", "text": "", "evaluator": None}
    (run / "figures.json").write_text(json.dumps({"pictures": [entry]}))
    PILImage.new("L", (60, 60), 7).save(figure)
    assert mmt("report", run, "--no-figures").status == 0
    whole = figure.read_bytes()
    for damaged in (b"", whole[:20], whole[: len(whole) // 2], b"x" * 60):
        figure.write_bytes(damaged)
        refused = mmt("report", run, "--no-figures")
        assert_refused(refused, f"{figure}: ", "picture", "; ", f"`{RESUME.format(run=run)}`", "remove")
    assert mmt("report", run).status == 0  # it draws the picture again


def test_an_unknown_key_of_a_schema_is_an_error_with_its_line(run: Path) -> None:
    text = (run / "schema.yaml").read_text()
    (run / "schema.yaml").write_text(text.replace("latent_dim", "latent_dims"))
    line = text[: text.index("latent_dim")].count("\n") + 1
    with pytest.raises(UserError) as raised:
        mmtoolkit.load(run)
    assert_facts(str(raised.value), f"schema.yaml:{line}: model.latent_dims: ", "'latent_dim'")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.slow
def test_truncated_anywhere(name: str, run: Path) -> None:
    """The command that reads the file reports it in lines that name the run; never a traceback."""
    whole, draw = (run / name).read_bytes(), random.Random(0)
    for length in (1, 8, *(draw.randrange(len(whole) - 1) for _ in range(3))):
        (run / name).write_bytes(whole[:length])
        for command in COMMANDS:
            done = mmt(command, run)
            assert_faults_name_the_run(done, run, f"{name} cut to {length} bytes, {command}")
            if name != "schema.yaml" and command in READERS[name]:  # a report may not need a schema's last lines
                assert done.status == 2, (name, length, command)


def assert_faults_name_the_run(ended: Ended, run: Path, case: str) -> None:
    assert ended.status in (0, 2), (case, ended)
    for line in ended.err.splitlines() if ended.status else ():
        assert line.startswith(str(run)), (case, line)
        assert "; " in line, (case, line)


ODD: list[Any] = [None, True, -1, 1.5, "", "x\ny", [], [None], {}, {"a": {}}]


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in the data, with each of its keys or indices."""
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from places(data[key])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), [("run.json", 1), ("data.json", 1), ("results.json", 5)])
def test_any_value_replaced_or_gone(name: str, step: int, run: Path) -> None:
    text, draw = (run / name).read_text(), random.Random(0)
    for turn in range(0, len(list(places(json.loads(text)))), step):
        for change in ("gone", "replaced"):
            data = json.loads(text)
            around, key = list(places(data))[turn]
            if change == "gone":
                del around[key]
            else:
                around[key] = draw.choice(ODD)
            (run / name).write_text(json.dumps(data))
            for command in ("report", "compare"):
                assert_faults_name_the_run(mmt(command, run), run, f"{name}, {key} {change}, {data}, {command}")


def test_whole_files_are_read(finished: Path) -> None:
    assert read_finished_record(finished)["seed"] == 0
    assert read_results(finished)["training"]["epochs"] == 2
    assert [line["epoch"] for line in read_history(finished, 2)] == [1, 2]
    assert list(read_declared(finished)["modalities"]) == ["label", "again"]


SOUND = {"target": ["label"], "given": [], "value": 1.0}


def test_an_evaluator_that_gives_no_result(finished: Path) -> None:
    class Odd(Evaluator):
        kind: Literal["odd"] = "odd"
        gives: Any

        def evaluate(self, run: Run, split: str) -> Scores:
            return Scores([self.gives])

    run = mmtoolkit.load(finished)
    for gives, fault in [
        ({"target": ["label"]}, "given: field required"),
        ({"target": ["label"], "given": [], "value": "high"}, "value: input should be a valid number"),
        ({"target": ["label"], "given": [], "better": "up"}, "better: input should be 'high' or 'low'"),
        ({"target": ["label"], "given": [], "more": {1, 2}}, "plain data, Object of type set is not JSON"),
    ]:
        with pytest.raises(UserError) as raised:
            run.evaluate([Odd(gives=gives)], "test")
        assert_facts(str(raised.value), "evaluate, odd: ", "result", fault, str(gives), "; ", "author")
    # One that was written for 0.1.0 does not say which way is better.
    ((result,),) = (score["results"] for score in run.evaluate([Odd(gives=SOUND)], "test"))
    assert result == {**SOUND, "better": None}
