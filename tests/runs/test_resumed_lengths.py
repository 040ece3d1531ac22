"""A resumed run gets more epochs only where the steps that are done stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mmtoolkit
from facts import assert_facts

SCHEMA = """
name: lengths
data: {kind: fashion_mini, rows: {train: 60, valid: 20, test: 20}}
modalities:
  label: {kind: label}
model: {kind: mvae, latent_dim: 2}
train: {epochs: 2, batch_size: 25, learning_rate: 0.01}
evaluate: []
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lengths") / "schema.yaml"
    path.write_text(SCHEMA)
    return path


def run(file: Path, folder: Path, *changes: str, resume: bool = False) -> dict[str, torch.Tensor]:
    mmtoolkit.run(mmtoolkit.read_schema(file, changes), folder, resume=resume, figures=False)
    return load_file(folder / "checkpoint" / "weights.safetensors")


def refusal(file: Path, folder: Path, *changes: str) -> str:
    with pytest.raises(mmtoolkit.UserError) as error:
        run(file, folder, *changes, resume=True)
    assert_facts(str(error.value), f"{folder}: ", "; ", "--out FOLDER")
    return str(error.value)


def test_a_schedule_keeps_its_horizon(file: Path, tmp_path: Path) -> None:
    cosine = "train.schedule={kind: cosine, warmup: 0.3}"
    run(file, tmp_path / "run", cosine)
    text = refusal(file, tmp_path / "run", cosine, "train.epochs=4")
    assert_facts(text, "schedule", "2 epochs, not 4", "--set train.schedule.epochs=2")
    text = refusal(file, tmp_path / "run", cosine, "train.schedule.epochs=4")
    assert_facts(text, "2 epochs, not 4")
    longer = ("train.epochs=4", "train.schedule.epochs=2")
    resumed = run(file, tmp_path / "run", cosine, *longer, resume=True)
    whole = run(file, tmp_path / "whole", cosine, *longer)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_without_a_horizon_epochs_may_change(file: Path, tmp_path: Path) -> None:
    run(file, tmp_path / "run", "train.schedule=plateau")
    run(file, tmp_path / "run", "train.schedule=plateau", "train.epochs=3", resume=True)
    text = refusal(file, tmp_path / "run", "train.schedule=cosine")
    assert_facts(text, "train.schedule.kind", "--resume may change only train.epochs, train.watch")


def test_a_warm_up_keeps_its_length(file: Path, tmp_path: Path) -> None:
    run(file, tmp_path / "run", "train.warmup=0.5", "train.ema=0.9")
    text = refusal(file, tmp_path / "run", "train.warmup=0.5", "train.ema=0.9", "train.epochs=4")
    assert_facts(text, "KL", "1 epochs", "not 2", "--set train.warmup=null --set train.warmup_epochs=1")
    longer = ("train.warmup_epochs=1", "train.ema=0.9", "train.epochs=4")
    resumed = run(file, tmp_path / "run", *longer, resume=True)
    whole = run(file, tmp_path / "whole", *longer)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_other_options_of_training_must_stay(file: Path, tmp_path: Path) -> None:
    run(file, tmp_path / "run", "train.optimizer={kind: adamw, weight_decay: 0.1}")
    changes = ("train.optimizer={kind: adamw, weight_decay: 0.2}", "train.ema=0.9", "train.accumulate=2")
    text = refusal(file, tmp_path / "run", *changes)
    assert_facts(text, "another schema", "train.accumulate, train.optimizer.weight_decay, train.ema")
