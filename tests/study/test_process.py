"""A run of a study as a process: its command, its output, its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.study.grid import Cell
from mmtoolkit.study.process import PROGRAM, Outcome, RunOutput, RunProcess, run_arguments

PREPARING = "preparing train: 120 rows of image, label"
TRAINING = "training: 4 epochs of 3 steps over 120 rows"
EPOCH = "epoch 1/4  loss 2.00  KL 0.45  beta 1.00  1,212 rows/s  0:00 left"
FAULT = "training stopped at step 5 (epoch 2): KL was not finite; lower train.learning_rate"
TRACEBACK = """\
Traceback (most recent call last):
  File "/lib/mmtoolkit/cli/runs.py", line 60, in run
    train()
  File "/home/me/plugin.py", line 7, in sample
    raise ValueError("no such shape")
ValueError: no such shape"""


def outcome(status: int, *lines: str) -> Outcome:
    output = RunOutput({"a known note"})
    for line in lines:
        output.add(line)
    return output.outcome(status, 1.5, "mmt run fashion_mini")


def test_the_command_is_mmt_run() -> None:
    schema = read_schema("fashion_mini")
    cell = Cell({}, 0, "a title", "a-folder", "my base.yaml", ('model.kind="vae"', "train.seed=0"), schema)
    assert run_arguments(cell, Path("out/a-folder"), [Path("own.py"), Path("other.py")], "cpu") == [
        *("--plugin", "own.py", "--plugin", "other.py", "run", "my base.yaml"),
        *("--set", 'model.kind="vae"', "--set", "train.seed=0", "--out", "out/a-folder"),
        *("--resume", "--device", "cpu", "--no-figures"),
    ]


def test_notes_are_the_lines_that_are_neither_progress_nor_known() -> None:
    lines = ("a known note", "a note", PREPARING, TRAINING, EPOCH, "epoch 2 has the best validation bound")
    assert outcome(0, *lines) == Outcome(1.5, ("a note", PREPARING, "epoch 2 has the best validation bound"))


def test_the_share_is_that_of_the_epochs_done() -> None:
    output = RunOutput()
    shares = []
    for line in (PREPARING, TRAINING, EPOCH, "going on", EPOCH.replace("1/4", "3/4")):
        output.add(line)
        shares.append(output.share)
    assert shares == [0, 0, 0.25, 0.25, 0.75]


@pytest.mark.parametrize("progress", [PREPARING, TRAINING, EPOCH])
def test_faults_are_the_lines_after_the_last_of_progress(progress: str) -> None:
    ended = outcome(2, "a note", progress, "a known note", FAULT, "another fault")
    assert ended.faults == (FAULT, "another fault")
    assert ended.notes == (("a note", PREPARING) if progress == PREPARING else ("a note",))


def test_an_error_of_ours_is_one_fault_that_says_so() -> None:
    ended = outcome(1, "a note", TRAINING, EPOCH, "a late note", *TRACEBACK.splitlines())
    assert ended.notes == ("a note", "a late note")
    (fault,) = ended.faults
    assert_facts(fault, "mmtoolkit or a plugin", "ValueError: no such shape", "/home/me/plugin.py, line 7", "report it")
    assert fault.endswith(": mmt run fashion_mini")


@pytest.mark.parametrize(("status", "lines"), [(2, ()), (3, (PREPARING,))])
def test_a_run_that_fails_in_silence_has_a_fault_too(status: int, lines: tuple[str, ...]) -> None:
    (fault,) = outcome(status, *lines).faults
    assert_facts(fault, f"status {status}", "report it", "mmt run fashion_mini")


# Processes. A small script stands for mmt.


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def replace(script: str) -> None:
        monkeypatch.setattr("mmtoolkit.study.process.PROGRAM", (sys.executable, "-S", "-c", script))

    return replace


def test_arguments_and_environment_of_a_process(
    program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "path", [*sys.path, "/a/folder/of/plugins"])
    program(
        "import json, os, sys\n"
        "session = os.getsid(0) == os.getpid()\n"
        "facts = [sys.argv[1:], os.environ['OMP_NUM_THREADS'], 'FORCE_COLOR' in os.environ, session]\n"
        "print('on stdout')\n"
        "print(json.dumps(facts), file=sys.stderr)\n"
        "print('/a/folder/of/plugins' in sys.path, file=sys.stderr)"
    )
    run = RunProcess(["run", "a b"], 3)
    ended = run.wait()
    assert [json.loads(ended.notes[0]), *ended.notes[1:]] == [[["run", "a b"], "3", False, True], "True"]
    assert (ended.faults, run.interrupted, run.killed) == ((), False, False)
    assert ended.seconds > 0


def test_a_failure_names_its_command(program: Callable[[str], None]) -> None:
    program("import sys; print('Traceback (most recent call last):', file=sys.stderr); sys.exit('KeyError: 1')")
    (fault,) = RunProcess(["run", "a b"], 1).wait().faults
    assert "KeyError: 1" in fault
    assert fault.endswith("mmt run 'a b'")


@pytest.mark.parametrize(
    ("end", "interrupted", "killed"),
    [
        ("os._exit(130)", True, False),
        ("signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)", True, False),
        ("os.kill(os.getpid(), signal.SIGKILL)", False, True),
        ("os.abort()", False, True),
        ("os._exit(2)", False, False),
    ],
)
def test_how_a_process_ended(program: Callable[[str], None], end: str, interrupted: bool, killed: bool) -> None:
    program(f"import os, signal; {end}")
    run = RunProcess([], 1)
    run.wait()
    assert (run.interrupted, run.killed) == (interrupted, killed)


def test_mmt_ends_when_the_other_end_of_its_stdin_is_closed() -> None:
    reading, writing = os.pipe()
    try:
        open_end = subprocess.run([*PROGRAM, "--version"], stdin=reading, capture_output=True, text=True, timeout=60)
        assert (open_end.returncode, open_end.stdout[:10]) == (0, "mmtoolkit ")
        process = subprocess.Popen([*PROGRAM, "list"], stdin=reading, stdout=subprocess.DEVNULL)
        os.close(writing)
        assert process.wait(60) == 1
    finally:
        os.close(reading)
