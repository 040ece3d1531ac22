"""Validations by the step, the warm-up as a share, and checkpoints by the clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmtoolkit
from facts import assert_facts
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.models import MVAE
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training import checkpoint
from mmtoolkit.training import trainer as training
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.listeners import Listeners
from mmtoolkit.training.networks import build
from mmtoolkit.training.saving import Pace
from mmtoolkit.training.trainer import Trainer
from short_training import trainer


def bounds(loop: Trainer) -> list[tuple[int, float]]:
    """A list that receives the step and the bound of each validation."""
    assert loop.validation is not None
    seen: list[tuple[int, float]] = []
    compute = loop.validation.measure

    def measure(network: mmtoolkit.Network) -> float:
        value = compute(network)
        seen.append((loop._steps_done(), value))
        return value

    loop.validation.measure = measure  # type: ignore[method-assign]
    return seen


def test_validations_come_by_the_step(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, validate_every=2, epochs=5)
    seen = bounds(loop)
    outcome = loop.run()
    by_step = dict(seen)
    assert list(by_step) == [2, 4, 6, 8, 10, 12, 14]
    assert [line["validation"] for line in loop.history] == [by_step[step] for step in (2, 6, 8, 12, 14)]
    best = max(by_step, key=by_step.__getitem__)
    assert outcome.bound == by_step[best]
    assert outcome.kept_epoch == -(-best // 3)
    assert_facts(outcome.reason, f"step {best} (epoch {outcome.kept_epoch})", "best validation bound")
    best_network = build(MVAE(latent_dim=2), data.modalities)
    best_network.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert loop.validation is not None
    assert loop.validation.measure(best_network) == outcome.bound


def test_validations_by_the_step_do_not_change_the_weights(data: Dataset, tmp_path: Path) -> None:
    loops = [trainer(tmp_path / str(every), data, validate_every=every) for every in (None, 1)]
    for loop in loops:
        loop.run()
    first, second = (loop.network.state_dict() for loop in loops)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_an_epoch_without_a_validation_so_far_has_none(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, validate_every=4)
    loop.run()
    assert [line["validation"] is None for line in loop.history] == [True, False, False]


def test_more_steps_between_validations_than_there_are_is_noted(data: Dataset, tmp_path: Path) -> None:
    notes: list[str] = []
    network = build(MVAE(latent_dim=2), data.modalities, seed=0)
    options = TrainOptions(epochs=3, batch_size=50, validate_every=10)
    loop = Trainer(network, data, options, tmp_path, new_fabric("cpu"), say=notes.append)
    (note,) = notes
    assert_facts(note, "train.validate_every is 10", "9 steps", "no validation")
    assert_facts(loop.run().reason, "the last epoch is kept", "no validation")


def test_early_stopping_counts_validations_and_ends_the_epoch(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, epochs=60, validate_every=1, early_stopping=2, learning_rate=0.3)
    seen = bounds(loop)
    outcome = loop.run()
    values = [bound for _, bound in seen]
    best = values.index(max(values))
    assert len(values) == best + 3
    steps, epochs = seen[-1][0], outcome.epochs
    assert epochs == -(-steps // 3) == len(loop.history) < 60
    assert "early stopping" in outcome.reason
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == epochs
    again = trainer(tmp_path, data, epochs=60, validate_every=1, early_stopping=2, learning_rate=0.3)
    assert again.resume()
    assert again.run() == outcome


def test_a_warm_up_is_a_share_of_all_steps(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, epochs=4, warmup=0.5, beta=2.0)
    assert [loop._beta(step) for step in range(8)] == [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 2]
    by_epochs = trainer(tmp_path, data, epochs=4, warmup_epochs=2, beta=2.0)
    assert [loop._beta(step) for step in range(12)] == [by_epochs._beta(step) for step in range(12)]
    short = trainer(tmp_path, data, epochs=3, warmup=0.2)
    assert short._beta(1) == 0.5
    assert short._beta(2) == 1


def test_selection_begins_after_a_warm_up_in_mid_epoch(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, epochs=4, warmup=0.4, validate_every=1)
    seen = bounds(loop)
    loop.run()
    after = {step: bound for step, bound in seen if step > 5}  # 0.4 x 12 steps are 5
    assert loop.progress.best_step == max(after, key=after.__getitem__)


def test_two_lengths_of_the_warm_up_are_a_fault() -> None:
    with pytest.raises(mmtoolkit.UserError) as error:
        mmtoolkit.read_schema("fashion_mini", ["train.warmup=0.5"])
    assert_facts(str(error.value), "--set train.warmup: ", "train.warmup_epochs", "40", "; remove one")
    schema = mmtoolkit.read_schema("fashion_mini", ["train.warmup=0.5", "train.warmup_epochs=null"])
    assert schema.train.warm_up == 20


# Checkpoints by the clock.


def test_a_checkpoint_is_due_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = Pace()
    for cost, wait in ((0.0, 10), (0.1, 10), (2.0, 40), (60.0, 300)):
        pace.restart(cost)
        now += wait - 0.01
        assert not pace.due()
        now += 0.02
        assert pace.due()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due after every step."""
    monkeypatch.setattr(Pace, "least_seconds", 0)
    monkeypatch.setattr(Pace, "ratio", 0)
    monkeypatch.setattr(training, "_LOOK_SECONDS", -1)


def saves(loop: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list that receives epoch and step of each checkpoint."""
    seen: list[tuple[int, int]] = []
    save = checkpoint.save_checkpoint

    def record(*arguments: Any) -> None:
        seen.append((loop.progress.epoch, loop.progress.step))
        save(*arguments)

    monkeypatch.setattr(training, "save_checkpoint", record)
    return seen


def test_a_short_run_writes_one_checkpoint_at_its_end(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = trainer(tmp_path, data, epochs=5)
    seen = saves(loop, monkeypatch)
    weights: list[bool] = []

    class Looks(mmtoolkit.Listener):
        def epoch(self, line: dict[str, Any]) -> None:
            weights.append((tmp_path / "weights.safetensors").exists())
            lines = (tmp_path / "history.jsonl").read_text().splitlines()
            assert [json.loads(line)["epoch"] for line in lines] == list(range(1, line["epoch"] + 1))

    loop.listener = Listeners(Looks(), (), print)
    loop.run()
    assert seen == [(5, 0)]
    assert weights == [False] * 5
    assert (tmp_path / "weights.safetensors").exists()


@pytest.mark.usefixtures("often")
def test_a_slow_run_writes_checkpoints_within_its_epochs(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = trainer(tmp_path, data, epochs=2)
    seen = saves(loop, monkeypatch)
    loop.run()
    assert seen == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]


@pytest.mark.slow
@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("stop", [2, 5])
def test_a_run_that_stops_after_any_checkpoint_goes_on_to_the_same_end(
    stop: int, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"validate_every": 2, "ema": 0.8, "accumulate": 2, "batch_size": 20, "early_stopping": 2}
    options |= {"learning_rate": 0.1, "schedule": {"kind": "plateau", "patience": 1}}
    whole = trainer(tmp_path / "whole", data, **options)
    expected = whole.run()
    save, count = checkpoint.save_checkpoint, 0

    def stops(*arguments: Any) -> None:
        nonlocal count
        save(*arguments)
        count += 1
        if count == stop:
            raise InterruptedError

    monkeypatch.setattr(training, "save_checkpoint", stops)
    with pytest.raises(InterruptedError):
        trainer(tmp_path / "run", data, **options).run()
    monkeypatch.setattr(training, "save_checkpoint", save)
    again = trainer(tmp_path / "run", data, **options)
    assert again.resume()
    assert again.run() == expected
    for name in ("weights.safetensors", "checkpoint/weights.safetensors", "checkpoint/average.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    keys = ("epoch", "loss", "terms", "beta", "learning_rate", "validation")
    ours, theirs = ([[line[key] for key in keys] for line in loop.history] for loop in (again, whole))
    assert ours == theirs


def test_a_history_that_is_longer_than_the_checkpoint_is_cut(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data)
    loop.run()
    history = tmp_path / "history.jsonl"
    whole = history.read_text()
    with history.open("a") as file:
        file.write('{"epoch": 4, "los')
    again = trainer(tmp_path, data, epochs=5)
    assert again.resume()
    assert history.read_text() == whole
    again.run()
    assert [json.loads(line)["epoch"] for line in history.read_text().splitlines()] == [1, 2, 3, 4, 5]


def test_a_history_without_a_checkpoint_is_begun_anew(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    loop = trainer(tmp_path, data)
    assert not loop.resume()
    loop.run()
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3


def test_a_damaged_average_or_best_is_reported(data: Dataset, tmp_path: Path) -> None:
    trainer(tmp_path, data, ema=0.9).run()
    for name in ("average", "best"):
        path = tmp_path / "checkpoint" / f"{name}.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:20])
        with pytest.raises(mmtoolkit.UserError) as error:
            trainer(tmp_path, data, ema=0.9).resume()
        assert_facts(str(error.value), f"{tmp_path / 'checkpoint'}: ", "damaged", "; remove it")
        path.write_bytes(content)
