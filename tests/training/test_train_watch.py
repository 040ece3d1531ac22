"""The watchers of `train.watch` follow a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit import Listener, Picture, RunEnd, TrainingStart, UserError
from mmtoolkit.schema.schema import json_schema
from mmtoolkit.training.listeners import Listeners
from runs import SMALL, mmt, sets

DIARY = Path(__file__).parents[2] / "docs" / "examples" / "my_watcher.py"
FAST = [*SMALL, "modalities={label: {kind: label}}", "evaluate=[]"]
PLUGIN = """
from typing import Any, Literal
from mmtoolkit import Listener, RunEnd, TrainingStart, UserError, Watcher, hookimpl

class Fails(Watcher):
    kind: Literal["fails"] = "fails"
    at: Literal["build", "begin", "epoch", "never"] = "never"

    def build(self) -> Listener:
        if self.at == "build":
            raise UserError("the package logs is not installed; install it")
        return Failing(self.at)

class Failing(Listener):
    def __init__(self, at: str) -> None:
        self.at = at

    def _note(self, what: str) -> None:
        with self.file.open("a") as file:
            file.write(what + chr(10))
        if what == self.at:
            raise OSError("the service is gone")

    def begin(self, start: TrainingStart) -> None:
        self.file = start.folder / "heard.txt"
        self._note("begin")

    def epoch(self, line: dict[str, Any]) -> None:
        self._note("epoch")

    def end(self, end: RunEnd) -> None:
        self._note("end" if end.fault is None else "end: " + end.fault)

@hookimpl
def mmt_components():
    return [Fails]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "fails.py"
    path.write_text(PLUGIN)
    return path


class Hears(Listener):
    """Records all it hears."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def begin(self, start: TrainingStart) -> None:
        self.events.append("begin")

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        pass  # by the clock

    def epoch(self, line: dict[str, Any]) -> None:
        self.events.append(line["epoch"])

    def picture(self, picture: Picture) -> None:
        self.events.append(picture)

    def end(self, end: RunEnd) -> None:
        self.events.append(end)


@pytest.mark.slow
def test_a_plugin_s_watcher_follows_a_run_and_its_continuation(tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments: list[str | Path] = ["run", "fashion_mini", "--out", run, *sets(*FAST), "--no-figures"]
    first = mmt(*arguments, "--plugin", DIARY, *sets("train.watch=[diary]"))
    assert first.status == 0, first.err

    def losses() -> list[str]:
        lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        return [f"epoch {line['epoch']}: {line['loss']:.2f}" for line in lines]

    assert (run / "diary.txt").read_text().splitlines() == losses()
    assert "kind: diary" in (run / "schema.yaml").read_text()
    more = sets("train.epochs=3", "train.watch=[{kind: diary, file: diary.txt}]")
    resumed = mmt(*arguments, "--plugin", DIARY, *more, "--resume")
    assert resumed.status == 0, resumed.err
    assert (run / "diary.txt").read_text().splitlines() == losses()
    assert len(losses()) == 3
    # The run needs its watcher neither to be used nor to go on.
    assert mmtoolkit.load(run).schema.train.watch == []
    assert mmt("evaluate", run, *sets("evaluate=[{kind: elbo}]")).status == 0
    without = mmt(*arguments, *sets("train.epochs=4"), "--resume")
    assert without.status == 0, without.err
    assert len((run / "diary.txt").read_text().splitlines()) == 3


def test_a_listener_hears_everything_in_order(tmp_path: Path) -> None:
    hears = Hears()
    schema = mmtoolkit.read_schema("fashion_mini", [*FAST, "train.epochs=2"])
    run = mmtoolkit.run(schema, tmp_path / "run", watcher=hears)
    *told, end = hears.events
    assert told[:3] == ["begin", 1, 2]
    pictures = told[3:]
    assert len(pictures) == len(json.loads((run.folder / "figures.json").read_text())["pictures"])
    assert {picture.title for picture in pictures} >= {"Learning curves"}
    assert end == RunEnd(results=run.results)


def test_the_end_is_heard_however_a_run_ends(tmp_path: Path) -> None:
    class Stops(Hears):
        def epoch(self, line: dict[str, Any]) -> None:
            super().epoch(line)
            raise KeyboardInterrupt

    stops = Stops()
    schema = mmtoolkit.read_schema("fashion_mini", FAST)
    with pytest.raises(KeyboardInterrupt):
        mmtoolkit.run(schema, tmp_path / "stopped", watcher=stops, figures=False)
    assert stops.events == ["begin", 1, RunEnd(fault="interrupted", interrupted=True)]
    hears = Hears()
    diverges = mmtoolkit.read_schema("fashion_mini", [*FAST, "train.learning_rate=1e30"])
    with pytest.raises(UserError) as error:
        mmtoolkit.run(diverges, tmp_path / "diverged", watcher=hears, figures=False)
    assert hears.events[-1] == RunEnd(fault=str(error.value))


@pytest.mark.parametrize("at", ["build", "begin"])
def test_a_watcher_that_cannot_begin_stops_the_run(at: str, plugin: Path, tmp_path: Path) -> None:
    watch = sets(f"train.watch=[{{kind: fails}}, {{kind: fails, at: {at}}}]")
    failed = mmt("run", "fashion_mini", "--out", tmp_path / "run", *sets(*FAST), *watch, "--plugin", plugin)
    assert failed.status == 2
    assert_facts(failed.err.splitlines()[-1], "train.watch.1 (fails): ", "gone" if at == "begin" else "install it")
    if at == "begin":  # the first had begun
        assert (tmp_path / "run" / "heard.txt").read_text().splitlines()[:2] == ["begin", "begin"]
        assert "end: train.watch.1" in (tmp_path / "run" / "heard.txt").read_text()
    else:
        assert not (tmp_path / "run" / "schema.yaml").exists()


def test_a_watcher_that_fails_later_hears_no_more_and_the_run_goes_on(plugin: Path, tmp_path: Path) -> None:
    watch = sets("train.watch=[{kind: fails, at: epoch}]")
    run = tmp_path / "run"
    arguments: list[str | Path] = [
        "run",
        "fashion_mini",
        "--out",
        run,
        *sets(*FAST),
        *watch,
        "--plugin",
        plugin,
        "--no-figures",
    ]
    done = mmt(*arguments)
    assert done.status == 0
    (line,) = [line for line in done.err.splitlines() if "train.watch.0 (fails)" in line]
    assert_facts(line, "epoch", "the service is gone", "goes on")
    assert (run / "heard.txt").read_text().splitlines() == ["begin", "epoch", "end"]
    assert len((run / "history.jsonl").read_text().splitlines()) == 2


def test_faults_of_watch_name_their_place(plugin: Path) -> None:
    def fault(change: str, *files: Path) -> str:
        with pytest.raises(UserError) as error:
            mmtoolkit.read_schema("fashion_mini", [change], mmtoolkit.load_plugins(files))
        return str(error.value)

    assert_facts(fault("train.watch=[diaries]", DIARY), "train.watch.0", "watcher", "'diaries'", "diary")
    assert_facts(fault("train.watch=[diaries]"), "train.watch.0", "watcher", "'diaries'", "tensorboard")
    assert_facts(fault("train.watch=[{kind: fails, aat: build}]", plugin), "train.watch.0.aat", "unknown key", "at")
    set_inside = mmtoolkit.read_schema(
        "fashion_mini", ["train.watch=[diary]", "train.watch.0.file=a.txt"], mmtoolkit.load_plugins([DIARY])
    )
    assert set_inside.train.watch[0].model_dump() == {"kind": "diary", "file": "a.txt"}


def test_a_trainer_hears_its_options_watchers_too(plugin: Path, tmp_path: Path) -> None:
    watcher = mmtoolkit.load_plugins([plugin]).of_family("watcher")["fails"]
    data = mmtoolkit.prepare(mmtoolkit.FashionMini(rows={"train": 60}), {"label": Label()})
    network = mmtoolkit.build(mmtoolkit.MVAE(latent_dim=2), data.modalities)
    options = mmtoolkit.TrainOptions(epochs=1, watch=[watcher.model_validate({})])
    mmtoolkit.Trainer(network, data, options, tmp_path, mmtoolkit.new_fabric("cpu")).run()
    assert (tmp_path / "heard.txt").read_text().splitlines() == ["begin", "epoch"]


def test_what_the_callers_own_listener_raises_reaches_the_caller() -> None:
    class Raises(Listener):
        def epoch(self, line: dict[str, Any]) -> None:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        Listeners(Raises(), [], print).epoch({})


def test_the_json_schema_refers_to_watchers() -> None:
    schema = json_schema(mmtoolkit.load_plugins([DIARY]))["$defs"]
    assert schema["TrainOptions"]["properties"]["watch"]["items"] == {"$ref": "#/$defs/watcher"}
    mapping, words = schema["watcher"]["anyOf"]
    kinds = ["tensorboard", "csv", "mlflow", "wandb", "diary"]
    assert (sorted(mapping["discriminator"]["mapping"]), sorted(words["enum"])) == (sorted(kinds), sorted(kinds))
