"""A run that was killed, or stopped by Ctrl-C, goes on to bit-identical weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from facts import assert_facts
from mmtoolkit.base.files import set_aside
from runs import mmt_process

PLUGIN = Path(__file__).parents[1] / "helpers" / "killing.py"
SCHEMA = """
name: fragile
data:
  kind: fashion_mini
  rows: {train: 130, valid: 30, test: 30}
  supervision: {keep: 0.7}
modalities:
  image: {kind: fragile_image, shape: [1, 36, 36], network: dcgan, binarize: dynamic}
  label: {kind: label}
  again: {kind: label, column: label}
model: {kind: mvae, latent_dim: 4, subsets: {k: 1}}
train: {epochs: 3, batch_size: 20, warmup_epochs: 1}
evaluate: [{kind: elbo}]
"""
STEPS = 7  # an epoch
EVERYTHING = """
  epochs: 3
  batch_size: 12
  accumulate: 3
  optimizer: {kind: adamw, weight_decay: 0.1, betas: [0.8, 0.99]}
  learning_rate: 0.003
  schedule: {kind: cosine, warmup: 0.2, final: 0.1}
  ema: 0.9
  validate_every: 3
  early_stopping: 20
  warmup: 0.3
  gradient_clip: 10
  hide: {rate: 0.6, whole: 0.3}
  select: imputation
"""
RECORD = """
  words:
    kind: record
    columns: {label: {kind: label}, again: {kind: label, column: label}}
    network: {kind: mlp, width: 16, dropout: 0.2}
"""
BATCHES = 11  # an epoch, in 4 steps


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fragile") / "schema.yaml"
    path.write_text(SCHEMA)
    return path


@pytest.fixture(scope="module")
def undisturbed(schema: Path) -> Path:
    folder = schema.parent / "undisturbed"
    finished = mmt_process("--plugin", PLUGIN, "run", schema, "--out", folder)
    assert finished.status == 0, finished.err
    return folder


@pytest.fixture(scope="module")
def everything(schema: Path) -> Path:
    """A schema with every option of training that has a state."""
    path = schema.parent / "everything.yaml"
    labels = "  label: {kind: label}\n  again: {kind: label, column: label}\n"
    assert labels in SCHEMA
    text = SCHEMA.replace(labels, RECORD.lstrip("\n")).replace("subsets: {k: 1}", "subsets: {k: 0}")
    path.write_text(re.sub(r"(?m)^train: .*$", f"train:{EVERYTHING.rstrip()}", text))
    return path


@pytest.fixture(scope="module")
def complete(everything: Path) -> Path:
    """The run of it, with a checkpoint at the end alone."""
    folder = everything.parent / "complete"
    finished = mmt_process("--plugin", PLUGIN, "run", everything, "--out", folder)
    assert finished.status == 0, finished.err
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same_end(folder: Path, undisturbed: Path) -> None:
    expected, resumed = weights(undisturbed), weights(folder)
    assert expected.keys() == resumed.keys()
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name
    keys = ("epoch", "loss", "terms", "beta", "learning_rate", "validation")
    ours, theirs = (
        [[json.loads(line)[key] for key in keys] for line in (run / "history.jsonl").read_text().splitlines()]
        for run in (folder, undisturbed)
    )
    assert ours == theirs


def assert_same_state(folder: Path, undisturbed: Path) -> None:
    """The last checkpoint: weights, average, best weights and optimiser."""
    ours, theirs = folder / "checkpoint", undisturbed / "checkpoint"
    for name in ("weights", "average", "best"):
        expected, resumed = (load_file(run / f"{name}.safetensors") for run in (theirs, ours))
        assert expected.keys() == resumed.keys()
        assert all(torch.equal(value, resumed[key]) for key, value in expected.items()), name
    expected, resumed = (torch.load(run / "optimizer.pt", weights_only=True) for run in (theirs, ours))
    assert resumed["param_groups"] == expected["param_groups"]
    for place, state in expected["state"].items():
        assert all(torch.equal(value, resumed["state"][place][key]) for key, value in state.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "often"), [(2, ""), (3 * 5, "yes"), (BATCHES + 1, ""), (2 * BATCHES + 8, "yes"), (3 * BATCHES, "yes")]
)
def test_killed_with_every_option_of_training(
    call: int, often: str, everything: Path, complete: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = ("--plugin", PLUGIN, "run", everything, "--out", folder)
    killed = mmt_process(*arguments, MMT_TEST_CALL=str(call), MMT_TEST_SIGNAL="SIGKILL", MMT_TEST_OFTEN=often)
    assert killed.status == -9
    if often:
        progress = json.loads((folder / "checkpoint" / "state.json").read_text())["progress"]
        epoch, batch = divmod(call - 1, BATCHES)
        assert (progress["epoch"], progress["step"]) == (epoch, batch // 3)
    assert (folder / "checkpoint").exists() == bool(often)
    resumed = mmt_process(*arguments, "--resume")
    assert resumed.status == 0, resumed.err
    assert_same_end(folder, complete)
    assert_same_state(folder, complete)


@pytest.mark.slow
def test_two_processes_resume_with_every_option_of_training(everything: Path, tmp_path: Path) -> None:
    arguments = ("--plugin", PLUGIN, "run", everything, "--device", "cpu", "--devices", "2", "--out")
    whole, folder = tmp_path / "whole", tmp_path / "run"
    finished = mmt_process(*arguments, whole)
    assert finished.status == 0, finished.err
    killed = mmt_process(*arguments, folder, MMT_TEST_CALL="9", MMT_TEST_SIGNAL="SIGKILL", MMT_TEST_OFTEN="yes")
    assert killed.status != 0
    progress = json.loads((folder / "checkpoint" / "state.json").read_text())["progress"]
    assert (progress["epoch"], progress["step"]) == (0, 2)
    resumed = mmt_process(*arguments, folder, "--resume")
    assert resumed.status == 0, resumed.err
    assert_same_end(folder, whole)
    assert_same_state(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize("often", ["", "yes"])
@pytest.mark.parametrize("call", [3, STEPS + 1, 2 * STEPS + 5])
def test_killed_in_mid_epoch(call: int, often: str, schema: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("--plugin", PLUGIN, "run", schema, "--out", folder)
    killed = mmt_process(*arguments, MMT_TEST_CALL=str(call), MMT_TEST_SIGNAL="SIGKILL", MMT_TEST_OFTEN=often)
    assert killed.status == -9
    assert not (folder / "results.json").exists()
    assert (folder / "checkpoint").exists() == bool(often)
    resumed = mmt_process(*arguments, "--resume")
    assert resumed.status == 0, resumed.err
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_ctrl_c_writes_the_checkpoint_of_the_step_and_exits_130(
    schema: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = ("--plugin", PLUGIN, "run", schema, "--out", folder)
    stopped = mmt_process(*arguments, MMT_TEST_CALL=str(STEPS + 3), MMT_TEST_SIGNAL="SIGINT")
    assert stopped.status == 130
    assert "--resume" in stopped.err
    assert "Traceback" not in stopped.err
    progress = json.loads((folder / "checkpoint" / "state.json").read_text())["progress"]
    assert (progress["epoch"], progress["step"]) == (1, 3)
    # As if it had been killed between the two renames that swap a checkpoint in.
    (folder / "checkpoint").rename(set_aside(folder / "checkpoint"))
    resumed = mmt_process(*arguments, "--resume")
    assert resumed.status == 0, resumed.err
    assert_facts(resumed.err, "epoch 1", "step 3")
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_loading_asks_for_the_plugin_file(undisturbed: Path) -> None:
    refused = mmt_process("sample", undisturbed, "-n", "2")
    assert refused.status == 2
    assert "killing.py" in refused.err
    assert "--plugin" in refused.err


@pytest.mark.slow
def test_resume_keeps_the_precision_and_the_first_record(schema: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    arguments = ("--plugin", PLUGIN, "run", folder / "schema.yaml", "--out", folder, "--resume")
    refused = mmt_process(*arguments, "--precision", "bf16-mixed")
    assert refused.status == 2
    assert_facts(refused.err, "--precision", "32-true", "bf16-mixed")
    assert mmt_process(*arguments).status == 0
    before, after = (json.loads((run / "run.json").read_text()) for run in (undisturbed, folder))
    assert after["command"] == before["command"]
    assert len(after["resumed"]) == 1
    assert_same_end(folder, undisturbed)
