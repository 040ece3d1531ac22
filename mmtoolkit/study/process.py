"""Run one run of a study: `mmt run --resume` in a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtoolkit.study.grid import Cell

PROGRAM = (sys.executable, "-P", "-m", "mmtoolkit.study.attached")
"""The program that runs `mmt`; with -P, because PYTHONPATH has every folder to import from."""

_EPOCH = re.compile(r"epoch (\d+)/(\d+)  ")
_TRAINING = "training: "
_PREPARING = "preparing "
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(.+)", line (\d+), in (.+)')
_TERMINALS = ("FORCE_COLOR", "TTY_COMPATIBLE")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its time, its notes for the user, and its faults if it failed."""

    seconds: float
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def run_arguments(
    cell: Cell, folder: Path, plugin_files: Sequence[Path], device: str, threads: int | None = None
) -> list[str]:
    """Arguments of `mmt` that train and score the run of a cell in a folder, or resume it."""
    plugins = [word for file in plugin_files for word in ("--plugin", str(file))]
    sets = [word for override in cell.overrides for word in ("--set", override)]
    rest = ["--out", str(folder), "--resume", "--device", device, "--no-figures"]
    rest += [] if threads is None else ["--threads", str(threads)]
    return [*plugins, "run", cell.base, *sets, *rest]


class RunProcess:
    """A process that runs `mmt`. It starts at once, and ends when this process ends.

    It has its own session, so a terminal's Ctrl-C reaches only the study.

    Args:
        arguments: of `mmt`.
        threads: the most threads that it may use, unless its arguments give their number.
        known: lines that the user has seen already.
    """

    def __init__(self, arguments: Sequence[str], threads: int, known: Collection[str] = ()) -> None:
        self.arguments = arguments
        self.output = RunOutput(known)
        self._start = time.monotonic()
        environment = {name: value for name, value in os.environ.items() if name not in _TERMINALS}  # lines, not bars
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)  # a plugin imports the same modules as here
        self._process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )

    def wait(self) -> Outcome:
        """Read the output of the run until it ends."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        with self._process.stdin, self._process.stderr as lines:
            for line in lines:
                self.output.add(line.rstrip("\n"))
            status = self._process.wait()
        seconds = time.monotonic() - self._start
        return self.output.outcome(status, seconds, f"mmt {shlex.join(self.arguments)}")

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""
        return self._process.returncode in (130, -signal.SIGINT)

    @property
    def killed(self) -> bool:
        """Whether another signal ended the run."""
        return self._process.returncode is not None and self._process.returncode < 0 and not self.interrupted

    def interrupt(self) -> None:
        """Let the run write its checkpoint and end, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the run at once."""
        self._process.kill()


class RunOutput:
    """Reads the stderr of a run: its progress, notes for the user, and in the end its faults.

    Args:
        known: lines to ignore.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self.share = 0.0
        """Share of finished epochs, from 0 to 1."""
        self._known = known
        self._lines: list[str] = []
        self._before_faults = 0
        """Number of lines up to the last line of progress; they cannot be faults."""

    def add(self, line: str) -> None:
        """Read one more line."""
        if line in self._known:
            return
        if epoch := _EPOCH.match(line):
            self.share = int(epoch[1]) / int(epoch[2])
        elif not line.startswith(_TRAINING):
            self._lines.append(line)
            if not line.startswith(_PREPARING):
                return
        self._before_faults = len(self._lines)

    def outcome(self, status: int, seconds: float, command: str) -> Outcome:
        """How the run ended.

        Args:
            status: exit status of the run.
            seconds: time that the run took.
            command: for the user, to see an unexpected error in full.
        """
        if status == 0:
            return Outcome(seconds, tuple(self._lines))
        notes, rest = self._lines[: self._before_faults], self._lines[self._before_faults :]
        if status == 2 and rest:
            return Outcome(seconds, tuple(notes), tuple(rest))
        if _TRACEBACK in rest:
            start = rest.index(_TRACEBACK)
            notes, rest = [*notes, *rest[:start]], rest[start:]
        return Outcome(seconds, tuple(notes), (_unexpected_fault(rest, status, command),))


def _unexpected_fault(lines: Sequence[str], status: int, command: str) -> str:
    """The fault of a run that ended with an unexpected error, from its traceback if there is one."""
    error = lines[-1].strip() if lines else f"the run ended with status {status}"
    frames = [frame for line in lines if (frame := _FRAME.match(line))]
    place = " ({}, line {}, in {})".format(*frames[-1].groups()) if frames else ""
    return (
        f"mmtoolkit or a plugin has a fault: {error}{place}; report it with the whole output of this command: {command}"
    )
