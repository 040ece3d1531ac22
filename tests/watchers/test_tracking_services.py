"""The watchers mlflow and wandb log what a run computes, once, and how it ended; no watcher changes weights."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from facts import assert_facts
from logs import STEPS, Dies, history, looks_at_every_step, watched
from mmtoolkit import Listener, RunEnd, TrainingStart, Watcher
from mmtoolkit.testing import check_watcher
from mmtoolkit.watchers import CSV, MLflow, TensorBoard, WandB
from mmtoolkit.watchers.mlflow import _clean
from mmtoolkit.watchers.tracker import Bookmark, Tracker, flat
from runs import mmt_process, sets

ALL = (
    "{kind: tensorboard, figures_every: 1}",
    "csv",
    "{kind: mlflow, figures_every: 1}",
    "{kind: wandb, figures_every: 1, offline: true}",
)
NAMES = {"loss", "log p(label)", "KL", "learning_rate", "beta"}


@pytest.fixture(autouse=True)
def _no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address and no account of this machine; MLflow counts nobody's use."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def _client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def _mlflow_runs(folder: Path) -> list[Any]:
    """The runs in the store beside run folders, the last one first."""
    client = _client(folder)
    experiment = client.get_experiment_by_name("mmtoolkit")
    return list(client.search_runs([experiment.experiment_id]))


def _metric(folder: Path, run_id: str, name: str) -> list[tuple[int, float]]:
    metrics = _client(folder).get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in metrics)


def _wandb_files(run: Path) -> list[Path]:
    return sorted(run.glob("wandb/offline-run-*/*.wandb"))


def test_names_that_mlflow_takes() -> None:
    assert _clean("step/log p(label | image)") == "step/log p label image"
    assert _clean("score/prediction/label from image: accuracy") == "score/prediction/label from image accuracy"
    assert _clean("/a//b/. c./(x)") == "a/b/c/x"
    client = MLflow(tracking_uri="sqlite:///:memory:").build()
    names = [client._name(name) for name in ("p(a)", "p[a]", "p(a)")]  # type: ignore[attr-defined]
    assert names == ["p a", "p a 2", "p a"]


def test_keys_of_options_are_those_of_set() -> None:
    tree = {"model": {"kind": "mvae", "prior": {}}, "evaluate": [{"kind": "elbo"}], "classes": ["a", "b"], "none": []}
    assert dict(flat(tree)) == {
        "model.kind": "mvae",
        "model.prior": {},
        "evaluate.0.kind": "elbo",
        "classes": ["a", "b"],
        "none": [],
    }


class _Records(Tracker):
    """Records what it logs, in a file that nothing can be removed from."""

    values: list[dict[int, dict[str, float]]]

    def open(self, start: TrainingStart) -> None:
        self.values = []
        self.logged = Bookmark(start.folder / "records.json", "here")

    def log(self, values: Mapping[int, Mapping[str, float]]) -> None:
        self.values.append({step: dict(numbers) for step, numbers in values.items()})

    def close(self, end: RunEnd) -> None:
        pass


def test_a_bookmark_leaves_out_what_is_logged_and_two_logs_share_a_file(tmp_path: Path) -> None:
    def start(done: int) -> TrainingStart:
        return TrainingStart(folder=tmp_path, schema=None, epochs=2, done=done, steps=3, rows=9, done_steps=3 * done)

    line: dict[str, Any] = {"epoch": 1, "loss": 2.0, "terms": {"KL": 1.0}, "beta": 1.0, "validation": None}
    first = _Records()
    first.begin(start(0))
    first.steps({1: {"loss": 3.0}, 2: {"loss": 2.0}})
    first.steps({3: {"loss": 1.0}})
    first.epoch(line)
    first.steps({4: {"loss": 0.5}})
    assert first.values[2] == {3: {"epoch": 1, "epoch/loss": 2.0, "epoch/beta": 1.0, "epoch/KL": 1.0}}
    other = Bookmark(tmp_path / "records.json", "there")
    other.id, other.step = "x", 9
    other.save()
    again = _Records()  # from a checkpoint within the first epoch
    again.begin(start(0))
    again.steps({3: {"loss": 1.0}})
    again.epoch(line)
    again.steps({4: {"loss": 0.5}, 5: {"loss": 0.25}})
    assert again.values == [{5: {"step/loss": 0.25}}]
    assert (again.logged.step, again.logged.epoch) == (5, 1)
    assert json.loads((tmp_path / "records.json").read_text())["there"]["step"] == 9


def test_scores_with_one_name_are_told_apart() -> None:
    def score(value: float | None) -> dict[str, Any]:
        return {"kind": "elbo", "results": [{"target": ["a"], "given": ["a"], "value": value}]}

    records = _Records()
    records.values, records.step = [], 7
    records.end(RunEnd(results={"scores": [score(1.0), score(None), score(2.0)]}))
    assert records.values == [{7: {"score/elbo/a from a": 1.0, "score/elbo/a from a (2)": 2.0}}]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_services_keep_what_watchers_promise(kind: str) -> None:
    (example,) = mmtoolkit.load_plugins().of_family("watcher")[kind].examples()
    assert isinstance(example, Watcher)
    check_watcher(example)


@pytest.mark.slow
def test_all_watchers_log_a_run_and_leave_its_weights_alone(tmp_path: Path) -> None:
    environment, level = dict(os.environ), logging.root.manager.disable
    without = mmtoolkit.run(watched(), tmp_path / "without", figures=False)
    run = mmtoolkit.run(watched(*ALL), tmp_path / "run", figures=False)
    changed = {key for key in environment | dict(os.environ) if environment.get(key) != os.environ.get(key)}
    assert not {key for key in changed if key.startswith("MLFLOW") or key == "WANDB_MODE"}
    assert logging.root.manager.disable == level
    for file in ("weights.safetensors", "checkpoint/weights.safetensors"):
        assert (run.folder / file).read_bytes() == (without.folder / file).read_bytes()
    past = history(run.folder)
    (score,) = run.results["scores"][0]["results"]

    (logged,) = _mlflow_runs(tmp_path)
    assert (logged.info.status, logged.info.run_name) == ("FINISHED", "run")
    assert (logged.data.params["train.batch_size"], logged.data.params["model.kind"]) == ("50", "mvae")
    assert not [key for key in logged.data.params if key.startswith("train.watch")]
    losses = _metric(tmp_path, logged.info.run_id, "step/loss")
    assert [step for step, _ in losses] == list(range(1, 2 * STEPS + 1))
    epochs = [(STEPS * line["epoch"], line["validation"]) for line in past]
    assert _metric(tmp_path, logged.info.run_id, "epoch/validation") == epochs
    assert _metric(tmp_path, logged.info.run_id, "score/elbo/label from label") == [(2 * STEPS, score["value"])]
    pictures = _client(tmp_path).list_artifacts(logged.info.run_id, "figures/step_0000006")
    assert [Path(picture.path).name for picture in pictures] == ["0_samples.png", "1_from_label.png"]
    assert (tmp_path / "mlflow-artifacts").is_dir()

    import wandb_files

    (log,) = _wandb_files(run.folder)
    lines = wandb_files.history(log)
    steps = [line for line in lines if "step/loss" in line]
    assert [line["trainer/global_step"] for line in steps] == list(range(1, 2 * STEPS + 1))
    assert {f"step/{name}" for name in NAMES} <= set(steps[0])
    assert [(line["trainer/global_step"], line["step/loss"]) for line in steps] == losses
    assert [line["epoch/validation"] for line in lines if "epoch" in line] == [line["validation"] for line in past]
    assert [line["score/elbo/label from label"] for line in lines if "score/elbo/label from label" in line] == [
        score["value"]
    ]
    assert len([line for line in lines if "figures/samples/width" in line]) == 2
    assert len(list(log.parent.glob("files/media/images/figures/samples_*.png"))) == 2
    assert wandb_files.config(log)["train"]["batch_size"] == 50
    assert "watch" not in wandb_files.config(log)["train"]
    assert wandb_files.exit_code(log) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("error", "status", "code"), [(KeyboardInterrupt, "KILLED", 255), (RuntimeError, "FAILED", 1)])
def test_a_run_that_ended_early_goes_on_as_the_same_run(
    error: type[BaseException], status: str, code: int, tmp_path: Path
) -> None:
    import wandb_files

    folder = tmp_path / "run"
    with looks_at_every_step(), pytest.raises(error):
        mmtoolkit.run(watched(*ALL), folder, watcher=Dies(STEPS + 3, error), figures=False)
    (logged,) = _mlflow_runs(tmp_path)
    assert logged.info.status == status
    assert logged.data.tags["fault"] == ("interrupted" if status == "KILLED" else "RuntimeError: here")
    (file,) = _wandb_files(folder)
    assert wandb_files.exit_code(file) == code
    mmtoolkit.run(watched(*ALL, changes=("train.epochs=3",)), folder, resume=True, figures=False)

    (again,) = _mlflow_runs(tmp_path)
    assert (again.info.run_id, again.info.status) == (logged.info.run_id, "FINISHED")
    assert again.data.tags["resumed.train.epochs"] == "3"
    losses = _metric(tmp_path, again.info.run_id, "step/loss")
    assert [step for step, _ in losses] == list(range(1, 3 * STEPS + 1))
    first, second = _wandb_files(folder)
    assert wandb_files.run_id(first) == wandb_files.run_id(second)
    seen = [line["trainer/global_step"] for line in wandb_files.history(first) if "step/loss" in line]
    seen += [line["trainer/global_step"] for line in wandb_files.history(second) if "step/loss" in line]
    assert seen == list(range(1, 3 * STEPS + 1))


@pytest.mark.slow
def test_they_print_nothing(tmp_path: Path) -> None:
    from logs import LABELS

    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    arguments = ["run", "fashion_mini", "--no-figures", "--json", *sets(*LABELS)]
    plain = mmt_process(*arguments, "--out", str(tmp_path / "plain"), **quiet)
    loud = mmt_process(*arguments, *sets(f"train.watch=[{', '.join(ALL)}]"), "--out", str(tmp_path / "run"), **quiet)
    assert (plain.status, loud.status) == (0, 0), loud.err
    assert json.loads(loud.out).keys() == json.loads(plain.out).keys()
    beginnings = [[line[:8] for line in ended.err.splitlines()] for ended in (plain, loud)]
    assert beginnings[0] == beginnings[1], loud.err


@pytest.mark.slow
def test_wandb_without_an_account_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(mmtoolkit.UserError) as error:
        mmtoolkit.run(watched("wandb"), tmp_path / "run", figures=False)
    assert_facts(str(error.value), "train.watch.0 (wandb)", "wandb login", "offline: true", "WANDB_MODE=offline")


def test_watchers_are_built_without_their_packages_being_imported() -> None:
    for watcher in (TensorBoard(), CSV(), MLflow(), WandB()):
        assert isinstance(watcher.build(), Listener)
