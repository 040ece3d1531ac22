"""A run that was killed, or stopped by Ctrl-C, goes on to bit-identical weights."""

from __future__ import annotations

import json
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


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same_end(folder: Path, undisturbed: Path) -> None:
    expected, resumed = weights(undisturbed), weights(folder)
    assert expected.keys() == resumed.keys()
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name
    keys = ("epoch", "loss", "terms", "beta", "validation")
    ours, theirs = (
        [[json.loads(line)[key] for key in keys] for line in (run / "history.jsonl").read_text().splitlines()]
        for run in (folder, undisturbed)
    )
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("call", [3, STEPS + 1, 2 * STEPS + 5])
def test_killed_in_mid_epoch(call: int, schema: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("--plugin", PLUGIN, "run", schema, "--out", folder)
    killed = mmt_process(*arguments, MMT_TEST_CALL=str(call), MMT_TEST_SIGNAL="SIGKILL")
    assert killed.status == -9
    assert not (folder / "results.json").exists()
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


def test_loading_asks_for_the_plugin_file(undisturbed: Path) -> None:
    refused = mmt_process("sample", undisturbed, "-n", "2")
    assert refused.status == 2
    assert "killing.py" in refused.err
    assert "--plugin" in refused.err


@pytest.mark.slow
def test_two_processes_train_one_model(schema: Path, tmp_path: Path) -> None:
    arguments = ("--plugin", PLUGIN, "run", schema, "--out", tmp_path / "run", "--device", "cpu")
    trained = mmt_process(*arguments, "--devices", "2", "--set", "train.epochs=2")
    assert trained.status == 0, trained.err
    assert trained.err.count("epoch 2/2") == 1  # only the main process reports
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["processes"] == 2
    assert all(value.isfinite().all() for value in weights(tmp_path / "run").values())
    alone = mmt_process(*arguments, "--resume")
    assert alone.status == 2
    assert_facts(alone.err, f"{tmp_path / 'run'}: ", "2 processes", "not 1", "give --devices 2")


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
