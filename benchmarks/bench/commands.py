"""Measures what a user waits for before the first step of `mmt run` and after the last."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.alternation import SideError
from bench.reading import Effort, Measured, Reading, Target

_STAMP = Path(__file__).with_name("stamp.py")
_ONE_STEP = {"train.epochs": "1", "train.warmup_epochs": "0", "train.sampling": "{}", "train.batch_size": "100000"}


class Waits(NamedTuple):
    """Seconds of a run of one step.

    Attributes:
        start: from the command to the end of the first step.
        tail: from the end of training to the end of the command: evaluation, pictures, report.
    """

    start: float
    tail: float


def _write_table(path: Path, rows: int, columns: int) -> None:
    """A table of numbers, labels and yes or no, of which a tenth of the cells is missing."""
    draw = random.Random(0)
    makers: tuple[Callable[[], object], ...] = (
        lambda: round(draw.gauss(20, 5), 2),
        lambda: draw.choice(("red", "green", "blue")),
        lambda: draw.choice(("yes", "no")),
    )
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"column{place}" for place in range(columns)])
        for _ in range(rows):
            cells = [makers[place % len(makers)]() for place in range(columns)]
            writer.writerow(["" if draw.random() < 0.1 else cell for cell in cells])


def _run(rows: int, columns: int) -> Waits:
    """Let `mmt init` write a schema for a table, and run it for one step, with nothing prepared before."""
    mmt = str(Path(sys.executable).with_name("mmt"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_table(folder / "table.csv", rows, columns)
        environment = {**os.environ, "MMT_CACHE": str(folder / "cache")}

        def call(*arguments: str) -> None:
            done = subprocess.run([mmt, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SideError(
                    f"mmt {' '.join(arguments)} ended with status {done.returncode}:\n{done.stderr[-4000:]}"
                )

        call("init", "table.csv", "--out", "table.yaml")
        stamps = folder / "stamps.jsonl"
        options = {**_ONE_STEP, "train.watch": f"[{{kind: stamp, path: {stamps}}}]"}
        changes = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
        begun = time.time()
        call("run", "table.yaml", "--plugin", str(_STAMP), "--device", "cpu", *changes)
        ended = time.time()
        [stamp] = map(json.loads, stamps.read_text().splitlines())
        return Waits(stamp["now"] - stamp["overhead"] - begun, ended - stamp["now"])


def waits(
    rows: int, columns: int, repeats: int, start: float | None = None, tail: float | None = None
) -> Callable[[Effort], Measured]:
    """Runs of one step on a table, after one to warm up the disk's cache.

    Args:
        rows: of the table.
        columns: of the table.
        repeats: of the run.
        start: the target of the seconds before the first step; None to leave them out.
        tail: the target of the seconds after the last step; None to leave them out.
    """

    def measure(effort: Effort) -> Measured:
        if not effort.quick:
            _run(rows, columns)
        runs = [_run(rows, columns) for _ in range(effort.pairs(repeats))]
        readings = []
        if start is not None:
            readings.append(
                Reading("from the command to its first step", "s", [run.start for run in runs], Target(most=start))
            )
        if tail is not None:
            readings.append(
                Reading("from the last step to the end", "s", [run.tail for run in runs], Target(most=tail))
            )
        return Measured(readings, {"rows": rows, "columns": columns})

    return measure
