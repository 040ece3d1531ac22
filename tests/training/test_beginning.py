"""Networks learn from data before the first step and after the last, and a killed run resumes to the same weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mmtoolkit
from beginning import DataNetwork
from mmt_attributes import Label
from mmtoolkit.training.weights import KEPT
from runs import SMALL, mmt_process

PLUGIN = Path(__file__).parents[1] / "helpers" / "beginning.py"
SCHEMA = """
name: starting
data: {kind: fashion_mini, rows: {train: 60, valid: 20, test: 20}, supervision: {keep: 0.8}}
modalities:
  label: {kind: label}
  again: {kind: label, column: label}
model: {kind: data_mvae, latent_dim: 3}
train: {epochs: 2, batch_size: 25, learning_rate: 0.01}
evaluate: []
"""


def run(file: Path, folder: Path, *changes: str, resume: bool = False) -> mmtoolkit.TrainedRun:
    plugins = mmtoolkit.load_plugins([PLUGIN])
    schema = mmtoolkit.read_schema(file, changes, plugins)
    return mmtoolkit.run(schema, folder, plugins=plugins, resume=resume, figures=False)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same(folder: Path, other: Path) -> None:
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(value, ours[name]), name
    assert [float(ours[name]) for name in ("starts", "ends")] == [1, 1]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("starting") / "schema.yaml"
    path.write_text(SCHEMA)
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path) -> Path:
    folder = file.parent / "undisturbed"
    finished = mmt_process("--plugin", PLUGIN, "run", file, "--out", folder)
    assert finished.status == 0, finished.err
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("place", ["begin", "step", "end"])
def test_a_killed_run_goes_on_to_the_same_weights(place: str, file: Path, undisturbed: Path, tmp_path: Path) -> None:
    arguments = ("--plugin", PLUGIN, "run", file, "--out", tmp_path / "run")
    assert mmt_process(*arguments, MMT_TEST_PLACE=place).status == -9
    resumed = mmt_process(*arguments, "--resume")
    assert resumed.status == 0, resumed.err
    assert_same(tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_all_processes_have_the_outcome_of_begin(file: Path, tmp_path: Path) -> None:
    arguments = ("--plugin", PLUGIN, "run", file, "--out", tmp_path / "run", "--device", "cpu", "--devices", "2")
    trained = mmt_process(*arguments)
    assert trained.status == 0, trained.err
    trained_weights = weights(tmp_path / "run")
    assert [float(trained_weights[name]) for name in ("starts", "ends")] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("worse", [0, 1000])
def test_a_run_that_gets_more_epochs_forgets_its_end(worse: int, file: Path, tmp_path: Path) -> None:
    """Also where the epoch before the first end stays the best."""
    longer, at_once = tmp_path / "longer", tmp_path / "at_once"
    change = f"model.worse={worse}"
    for resume in (False, True):  # the second time only ends again
        run(file, longer, "train.epochs=1", change, resume=resume)
        assert load_file(longer / KEPT)["ends"] == 0
    run(file, longer, "train.epochs=3", change, resume=True)
    kept_epoch = run(file, at_once, "train.epochs=3", change).results["training"]["kept_epoch"]
    assert kept_epoch == (1 if worse else 3)
    assert_same(longer, at_once)
    assert load_file(longer / KEPT)["ends"] == 0
    loaded = mmtoolkit.load(longer, [PLUGIN]).model.state_dict()
    assert all(torch.equal(value, weights(longer)[name]) for name, value in loaded.items())


def test_begin_sees_the_usable_training_rows_anew_in_each_pass(tmp_path: Path) -> None:
    passes: list[list[mmtoolkit.Batch]] = []
    draws: list[torch.Tensor] = []

    class Looks(DataNetwork):
        def begin(self, batches: Iterable[mmtoolkit.Batch]) -> None:
            passes.extend(list(batches) for _ in range(2))
            draws.append(torch.randn(3))
            with torch.no_grad():
                self.shift.add_(1)

    modalities = {"label": Label(), "again": Label(column="label")}
    supervision = mmtoolkit.Supervision(keep=0.6)
    data = mmtoolkit.prepare(mmtoolkit.FashionMini(rows={"train": 60}, supervision=supervision), modalities)
    for seed in (0, 0, 1):
        network = Looks(data.modalities, 3, mmtoolkit.SubsetOptions())
        torch.manual_seed(5)
        options = mmtoolkit.TrainOptions(epochs=1, batch_size=20, seed=seed)
        mmtoolkit.Trainer(network, data, options, tmp_path / str(len(draws)), mmtoolkit.new_fabric("cpu")).run()
    usable = int(data.splits["train"].present.any(1).sum())
    assert usable < 60
    for batches in passes:
        assert [batch.size for batch in batches] == [20, 20, usable - 40]
    columns = [
        torch.cat([torch.cat([batch.value("label"), batch.value("again")]) for batch in batches]) for batches in passes
    ]
    assert all(torch.equal(column.sort().values, columns[0].sort().values) for column in columns)
    assert not torch.equal(columns[0], columns[1])
    assert torch.equal(columns[0], columns[2])
    assert torch.equal(columns[1], columns[3])
    assert not torch.equal(columns[0], columns[4])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_networks_that_learn_nothing_then_write_no_checkpoint_and_no_copy(tmp_path: Path) -> None:
    plain = mmtoolkit.read_schema("fashion_mini", [*SMALL, "train.epochs=1"])
    seen: list[bool] = []

    class Looks(mmtoolkit.Listener):
        def epoch(self, line: dict[str, object]) -> None:
            seen.append((tmp_path / "run" / KEPT).exists())

        def begin(self, start: mmtoolkit.TrainingStart) -> None:
            seen.append((start.folder / "checkpoint").exists())

    mmtoolkit.run(plain, tmp_path / "run", watcher=Looks(), figures=False)
    assert seen == [False, False]
    assert not (tmp_path / "run" / KEPT).exists()
