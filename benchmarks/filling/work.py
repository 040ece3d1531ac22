"""One method on one mask of one table: what is measured, and the file that remembers it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from filling.columns import Table
from filling.filled import Effort, complete, holed
from filling.lists import load
from filling.masks import mask_of
from filling.methods import METHODS
from filling.scores import errors

_ROWS_QUICK = 100


@dataclass(frozen=True)
class Task:
    """A method on a mask of a table.

    Attributes:
        table: PACKAGE/NAME.
        mask: the number of the mask, from 0.
        method: its name.
        effort: how it computes.
        jobs: how many tasks run at once.
    """

    table: str
    mask: int
    method: str
    effort: Effort
    jobs: int = 1


@dataclass(frozen=True)
class Record:
    """What came of a task.

    Attributes:
        table: of the task.
        mask: of the task.
        method: of the task.
        digest: of all that the errors depend on.
        seconds: part of the work -> seconds.
        errors: column -> the errors of its hidden cells, as `scores.errors` has them.
        empty: hidden cells that the method left empty; mode or mean stand in for them.
        failure: why the method filled nothing at all, if so; all its cells are empty.
        jobs: how many tasks ran at once.
    """

    table: str
    mask: int
    method: str
    digest: str
    seconds: dict[str, float]
    errors: dict[str, list[float]]
    empty: int
    failure: str | None
    jobs: int


def run(task: Task) -> Record:
    """Hide, fill, score."""
    table, hidden = _problem(task)
    known = holed(table, hidden)
    seconds, failure = {}, None
    try:
        filled = METHODS[task.method].fill(known, task.effort)
        values, seconds = filled.values, dict(filled.seconds)
    except Exception as error:  # a method that breaks on one table must not end a run of hours
        values, failure = known.values, f"{type(error).__name__}: {error}"
    empty = int((values.isna().to_numpy() & hidden).sum())
    scores = errors(table, hidden, complete(values, known))
    return Record(
        task.table,
        task.mask,
        task.method,
        digest(task),
        {part: round(taken, 3) for part, taken in seconds.items()},
        {column: [float(f"{cell:.5g}") for cell in cells] for column, cells in scores.items()},
        empty,
        failure,
        task.jobs,
    )


def digest(task: Task) -> str:
    """A short text that changes with all that the errors depend on: table, mask, method, effort."""
    problem = _digest_of_problem(task.table, task.mask, task.effort.quick)
    what = f"{problem} {METHODS[task.method].digest()} {task.effort.seed} {task.effort.quick}"
    return hashlib.sha256(what.encode()).hexdigest()[:12]


@cache
def _digest_of_problem(name: str, mask: int, quick: bool) -> str:
    table = load(name, _ROWS_QUICK if quick else None)
    code = hashlib.sha256(mask_of(table, mask).tobytes())
    for values in (table.texts, table.values):
        code.update(pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes())
    code.update(repr(sorted(table.numbers)).encode())
    return code.hexdigest()


def _problem(task: Task) -> tuple[Table, NDArray[np.bool_]]:
    table = load(task.table, _ROWS_QUICK if task.effort.quick else None)
    return table, mask_of(table, task.mask)


class Memory:
    """The records of all tasks so far, a line each; of a task the last line counts.

    Args:
        path: of the JSON-lines file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_task: dict[tuple[str, int, str], Record] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            with suppress(json.JSONDecodeError):  # a line that a killed process did not end, or an empty one
                record = Record(**json.loads(line))
                self._by_task[record.table, record.mask, record.method] = record

    def recall(self, tasks: Iterable[Task]) -> dict[Task, Record]:
        """The records of the tasks whose result is known and would be the same again."""
        known = {task: self._by_task.get((task.table, task.mask, task.method)) for task in tasks}
        return {
            task: record
            for task, record in known.items()
            if record is not None and record.failure is None and record.digest == digest(task)
        }

    def add(self, record: Record) -> None:
        """Remember a record."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(asdict(record))}\n")  # never on the line that a killed process left
        self._by_task[record.table, record.mask, record.method] = record
