"""mmtoolkit as its users call it: `mmt init`, `check`, `run`, `impute` with nothing edited."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from filling.columns import read_values
from filling.filled import Effort, Filled, Holed

_ONE_EPOCH = ("train.epochs=1", "train.warmup_epochs=0")


class CommandError(Exception):
    """A command of mmtoolkit failed."""


def fill(table: Holed, effort: Effort) -> Filled:
    """Write the table as CSV, call the four commands in its folder, and read the filled table.

    Raises:
        CommandError: a command failed, or the filled table has other rows or columns.
    """
    with tempfile.TemporaryDirectory() as name:
        return fill_in(Path(name), table, effort)


def fill_in(folder: Path, table: Holed, effort: Effort, settings: Sequence[str] = ()) -> Filled:
    """The same in a folder, which may hold pictures that the table names; it keeps the schema and the run.

    Args:
        folder: of the table and of all that is written.
        table: to be filled.
        effort: how to compute.
        settings: KEY=VALUE, for `mmt run --set`; none, where nothing is edited.

    Raises:
        CommandError: a command failed, or the filled table has other rows or columns.
    """
    mmt = str(Path(sys.executable).with_name("mmt"))
    seconds = {}
    table.texts.to_csv(folder / "table.csv", index=False)
    environment = {**os.environ, "MMT_CACHE": str(folder / "cache")}
    more = [word for setting in (*(_ONE_EPOCH if effort.quick else ()), *settings) for word in ("--set", setting)]
    for arguments in (
        ("init", "table.csv"),
        ("check", "table.yaml"),
        ("run", "table.yaml", *more),
        ("impute", "runs/table", "table.csv", "--out", "filled.csv"),
    ):
        begun = time.perf_counter()
        done = subprocess.run([mmt, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        seconds[arguments[0]] = time.perf_counter() - begun
        if done.returncode:
            raise CommandError(f"mmt {' '.join(arguments)} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    texts = read_texts(folder / "filled.csv")
    if texts.shape != table.texts.shape or list(texts) != list(table.texts):
        raise CommandError(f"the filled table is {texts.shape} with columns {list(texts)}, not as the table is")
    return Filled(read_values(texts[list(table.values)], table.numbers), seconds)


def read_texts(path: Path) -> pd.DataFrame:
    """The cells of a CSV file as texts."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return pd.DataFrame(rows, columns=head, dtype="object")
