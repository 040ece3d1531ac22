"""Scores a run on another table, in a file or in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Evaluator
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split
from mmtoolkit.using.table_split import IN_MEMORY, split_in_memory, split_of_file
from mmtoolkit.using.user_table import UserFile, UserFrame

if TYPE_CHECKING:
    from mmtoolkit.runs.trained import TrainedRun


def _with_split(run: TrainedRun, name: str, split: Split) -> TrainedRun:
    """Copy a run, with one more split of its data."""
    if not len(split):
        raise UserError(f"{name}: has no rows to score; give it rows")
    return dataclasses.replace(run, prepared=Dataset(run.schema.data, run.schema.units, _Splits(run, name, split)))


class _Splits(Mapping[str, Split]):
    """The split of a table, and those of the run's own data, which the first access to one of them reads."""

    def __init__(self, run: TrainedRun, name: str, split: Split) -> None:
        self.run, self.name, self.split = run, name, split

    def _own(self) -> Mapping[str, Split]:
        try:
            return self.run.dataset.splits
        except UserError as error:
            raise UserError(
                [*error.faults, f"{self.name}: an evaluator needs the run's own data, which cannot be read; mend that"]
            ) from error

    def __getitem__(self, name: str) -> Split:
        return self.split if name == self.name else self._own()[name]

    def __contains__(self, name: object) -> bool:
        return name == self.name or name in self._own()

    def __iter__(self) -> Iterator[str]:
        return iter([self.name, *self._own()])

    def __len__(self) -> int:
        return 1 + len(self._own())


def evaluate_on(
    run: TrainedRun,
    data: Any,
    evaluators: Sequence[Evaluator] | None,
    on_bad_cell: Literal["error", "missing"] | None,
    reading: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Score a table in a file or in memory, with notes; see `TrainedRun.evaluate_on`."""
    evaluators = run.schema.evaluate if evaluators is None else evaluators
    if isinstance(data, (str, Path)):
        table = UserFile.for_run(run, reading, on_bad_cell, path=data)
        name, (split, notes) = str(table.path), split_of_file(run, table)
    else:
        name = IN_MEMORY
        split, notes = split_in_memory(run, UserFrame.for_run(run, reading, on_bad_cell, data=data))
    return _with_split(run, name, split).evaluate(evaluators, name), notes


def evaluate_table(
    run: TrainedRun, table: UserFile, evaluators: Sequence[Evaluator], figures: Path | None = None
) -> list[dict[str, Any]]:
    """Score a table in a file with each evaluator. The cache of prepared columns keeps its columns.

    Args:
        run: the run to score.
        table: the file.
        evaluators: in order.
        figures: a folder for the figures that evaluators draw; by default they are discarded.

    Raises:
        UserError: the table or one of its cells cannot be read, or an evaluator needs the run's own data and that is
            not there.
    """
    split, notes = split_of_file(run, table)
    for note in notes:
        run.say(note)
    name = str(table.path)
    return _with_split(run, name, split).evaluate(evaluators, name, figures)
