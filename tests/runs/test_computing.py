"""Threads and kernels of a run: recorded, taken up again, given by --threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mmtoolkit
from mmtoolkit.runs import computing, finish
from mmtoolkit.runs import run as run_module
from mmtoolkit.runs.folder import read_record
from mmtoolkit.training import compute
from mmtoolkit.training.compute import Compute
from mmtoolkit.training.devices import note_on_precision
from mmtoolkit.training.trainer import Trainer
from runs import SMALL, mmt, mmt_process, sets

NARROW = "network={kind: mlp, width: 16}"
SETS = [
    *SMALL,
    "data.rows={train: 60, valid: 20, test: 20}",
    "evaluate=[{kind: elbo}]",
    f"modalities.image.{NARROW}",
    f"modalities.label.{NARROW}",
]


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> list[Compute]:
    """How PyTorch computes at the start of each training and each scoring."""
    seen: list[Compute] = []
    train, score = Trainer.run, finish.finish_run

    def run(trainer: Trainer) -> Any:
        seen.append(compute.current_compute())
        return train(trainer)

    def finish_run(*arguments: Any) -> Any:
        seen.append(compute.current_compute())
        return score(*arguments)

    monkeypatch.setattr(Trainer, "run", run)
    monkeypatch.setattr(run_module, "finish_run", finish_run)
    return seen


def trained(folder: Path, resume: bool = False, threads: int | None = None, epochs: int = 2) -> list[str]:
    """Train in a folder; the lines for the user."""
    lines: list[str] = []
    schema = mmtoolkit.read_schema("fashion_mini", [*SETS, f"train.epochs={epochs}"])
    mmtoolkit.run(schema, folder, resume=resume, threads=threads, figures=False, say=lines.append)
    return lines


def edit(folder: Path, **changes: Any) -> None:
    """Change run.json; None removes a key."""
    record = {**json.loads((folder / "run.json").read_text()), **changes}
    (folder / "run.json").write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def test_threads_hold_in_training_and_scoring_and_go_back(tmp_path: Path, during: list[Compute]) -> None:
    before = torch.get_num_threads()
    trained(tmp_path / "run", threads=3)
    assert during == [Compute(3, "torch")] * 2
    assert torch.get_num_threads() == before
    record = read_record(tmp_path / "run")
    assert (record["threads"], record["kernels"]) == (3, "torch")


def test_a_failing_run_puts_the_threads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()

    def fail(trainer: Trainer) -> None:
        raise RuntimeError("stop")

    monkeypatch.setattr(Trainer, "run", fail)
    with pytest.raises(RuntimeError, match="stop"):
        trained(tmp_path / "run", threads=3)
    assert torch.get_num_threads() == before


def test_a_run_chooses_by_its_work(tmp_path: Path, during: list[Compute], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def choose(network: Any, train: Any, batch_size: int, threads: int | None, processes: int) -> Compute:
        asked.append((len(train), batch_size, threads, processes))
        return Compute(2, "onednn")

    monkeypatch.setattr(computing, "compute_for", choose)
    trained(tmp_path / "run")
    assert asked == [(60, 50, None, 1)]
    assert during == [Compute(2, "onednn")] * 2
    assert read_record(tmp_path / "run")["kernels"] == "onednn"


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "available_cores", lambda: 8)


@pytest.mark.usefixtures("eight_cores")
def test_resume_takes_the_recorded_ones(tmp_path: Path, during: list[Compute], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    trained(folder, threads=1)
    edit(folder, threads=2, kernels="onednn")
    monkeypatch.setattr(computing, "can_compute_by", lambda kernels: True)
    lines = trained(folder, resume=True, epochs=3)
    assert during[2:] == [Compute(2, "onednn")] * 2
    assert not [line for line in lines if "last digits" in line]
    assert [(again["threads"], again["kernels"]) for again in read_record(folder)["resumed"]] == [(2, "onednn")]


@pytest.mark.slow
@pytest.mark.usefixtures("eight_cores")
def test_resume_with_other_threads_says_so_and_later_ones_take_them(tmp_path: Path, during: list[Compute]) -> None:
    folder = tmp_path / "run"
    trained(folder, threads=1)
    lines = trained(folder, resume=True, threads=2, epochs=3)
    (note,) = [line for line in lines if "last digits" in line]
    assert "going on with 2 instead of 1 threads" in note
    assert not [line for line in trained(folder, resume=True, threads=2, epochs=3) if "last digits" in line]
    trained(folder, resume=True, epochs=4)
    assert [how.threads for how in during] == [1, 1, 2, 2, 2, 2, 2, 2]
    record = read_record(folder)
    assert record["threads"] == 1
    assert [again["threads"] for again in record["resumed"]] == [2, 2, 2]


def test_what_this_machine_lacks_is_replaced_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    trained(folder, threads=1)
    edit(folder, threads=64, kernels="onednn")
    monkeypatch.setattr(computing, "available_cores", lambda: 1)
    monkeypatch.setattr(computing, "can_compute_by", lambda kernels: kernels == "torch")
    (note,) = [line for line in trained(folder, resume=True) if "last digits" in line]
    assert "1 instead of 64 threads and PyTorch's own matrix products instead of oneDNN's" in note


@pytest.mark.parametrize("works", [True, False])
def test_runs_of_0_1_take_what_it_would_have_taken(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    trained(folder, threads=1)
    edit(folder, kernels=None)
    monkeypatch.setattr(computing, "can_compute_by", lambda kernels: kernels == "torch" or works)
    assert computing.latest_compute(folder) == Compute(1, "onednn" if works else "torch")
    assert computing.compute_afterwards(folder).kernels == ("onednn" if works else "torch")
    if not works:
        assert not [line for line in trained(folder, resume=True) if "last digits" in line]


def test_a_damaged_choice_is_a_fault(tmp_path: Path) -> None:
    trained(tmp_path / "run", threads=1)
    edit(tmp_path / "run", kernels="abacus")
    with pytest.raises(mmtoolkit.UserError, match=r"run\.json: is damaged: kernels"):
        read_record(tmp_path / "run")


def test_no_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(mmtoolkit.UserError, match="--threads 0: is too few; give 1 or more"):
        trained(tmp_path / "run", threads=0)
    assert not (tmp_path / "run").exists()
    assert mmt("run", "fashion_mini", "--threads", "0", "--out", tmp_path / "run").status == 2


def test_on_the_command_line(tmp_path: Path) -> None:
    before = compute.current_compute()
    folder = tmp_path / "run"
    ended = mmt("run", "fashion_mini", *sets(*SETS), "--out", folder, "--no-figures", "--threads", "2")
    assert ended.status == 0
    assert read_record(folder)["threads"] == 2
    assert mmt("evaluate", folder).status == 0
    assert compute.current_compute() == before


def test_commands_on_a_run_compute_by_its_kernels(
    tmp_path: Path, run_with: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    sample = mmtoolkit.TrainedRun.sample

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(compute.current_compute().kernels)
        return sample(*arguments, **named)

    monkeypatch.setattr(mmtoolkit.TrainedRun, "sample", watched)
    monkeypatch.setattr(computing, "can_compute_by", lambda kernels: True)
    for kernels in ("onednn", "torch"):
        edit(run_with, kernels=kernels)
        assert mmt("sample", run_with, "-n", "2", "--out", tmp_path / f"{kernels}.csv").status == 0
    assert seen == ["onednn", "torch"]
    assert compute.current_compute().kernels == "torch"


@pytest.fixture
def run_with(tmp_path: Path) -> Path:
    trained(tmp_path / "trained", threads=1)
    return tmp_path / "trained"


@pytest.mark.slow
def test_one_thread_and_two_resume_to_the_same_weights(tmp_path: Path) -> None:
    """A run on two threads goes on with two even where the environment allows one."""
    threads = "2"
    arguments: list[str | Path] = ["run", "fashion_mini", *sets(*SETS), "--no-figures"]
    straight, halted = tmp_path / "straight", tmp_path / "halted"
    assert mmt_process(*arguments, *sets("train.epochs=3"), "--out", straight, "--threads", threads).status == 0
    assert mmt_process(*arguments, "--out", halted, "--threads", threads).status == 0
    again = [*arguments, *sets("train.epochs=3"), "--out", halted, "--resume"]
    resumed = mmt_process(*again, OMP_NUM_THREADS="1")
    assert resumed.status == 0, resumed.err
    taken = read_record(halted)["resumed"][-1]["threads"]
    assert taken == min(2, len(os.sched_getaffinity(0)))
    if taken == 2:
        assert (halted / "weights.safetensors").read_bytes() == (straight / "weights.safetensors").read_bytes()


COMMAND = """
import sys
from mmtoolkit.cli import main
sys.argv = ["mmt", "--version"]
try:
    main()
except SystemExit:
    pass
assert "torch" not in sys.modules
import torch
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP")
@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_of_the_command_sleep_while_they_wait(given: str | None) -> None:
    """GNU's OpenMP prints what it read when it is loaded, with PyTorch."""
    environment = {**os.environ, "OMP_DISPLAY_ENV": "true", **({} if given is None else {"OMP_WAIT_POLICY": given})}
    done = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True, env=environment, check=True)
    assert f"OMP_WAIT_POLICY = '{given or 'PASSIVE'}'" in done.stderr


def test_importing_the_library_sets_no_environment() -> None:
    before = dict(os.environ)
    import mmtoolkit.cli
    import mmtoolkit.runs.run

    assert mmtoolkit.cli.main is not None
    assert dict(os.environ) == before


def test_bfloat16_without_instructions_for_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, flags = torch.device("cpu"), frozenset({"GenuineIntel", "avx2"})
    monkeypatch.setattr("mmtoolkit.training.devices.processor_facts", lambda: flags)
    note = note_on_precision(cpu, "bf16-mixed")
    assert note is not None
    assert "no instructions for bfloat16" in note
    assert "slower than with 32-true" in note
    assert note_on_precision(cpu, "32-true") is None
    assert note_on_precision(torch.device("cuda"), "bf16-mixed") is None
    for word in ("avx512_bf16", "amx_bf16"):
        monkeypatch.setattr("mmtoolkit.training.devices.processor_facts", lambda word=word: flags | {word})
        assert note_on_precision(cpu, "bf16-mixed") is None
    monkeypatch.setattr("mmtoolkit.training.devices.processor_facts", frozenset)  # not known
    assert note_on_precision(cpu, "bf16-mixed") is None
