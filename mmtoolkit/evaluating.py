"""A run's scores on a table that is not of its data. Nothing is learned from the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmtoolkit.columns import ColumnStore
from mmtoolkit.components import Cells, Evaluator, Parsed
from mmtoolkit.dataset import Dataset, Split, bad_cells, columns_text
from mmtoolkit.errors import UserError
from mmtoolkit.run_frames import read_frame
from mmtoolkit.run_tables import Policy, RunTable, open_source, reading_sets, table_source
from mmtoolkit.sources import TableSource
from mmtoolkit.tables import TableFile

if TYPE_CHECKING:
    from mmtoolkit.run import TrainedRun

_IN_MEMORY = "table"


def evaluate_on(
    run: TrainedRun, data: Any, evaluators: Sequence[Evaluator] | None, on_bad_cell: Policy | None
) -> list[dict[str, Any]]:
    """The scores on a table in a file or in memory; see `TrainedRun.evaluate_on`."""
    chosen = run.schema.evaluate if evaluators is None else evaluators
    if isinstance(data, (str, Path)):
        return evaluate_table(run, table_source(run, Path(data), reading_sets(None, on_bad_cell)), chosen)
    _, table = read_frame(run, data, on_bad_cell)
    split = _split_in_memory(run, table)
    for note in [*table.notes(), *_absent(run, table)]:
        run.say(note)
    return _with_split(run, _IN_MEMORY, split).evaluate(chosen, _IN_MEMORY)


def evaluate_table(
    run: TrainedRun, source: TableSource, evaluators: Sequence[Evaluator], figures: Path | None = None
) -> list[dict[str, Any]]:
    """The scores of each evaluator on a table in a file, which is read through the cache of prepared columns.

    Args:
        run: that is scored.
        source: the table.
        evaluators: in order.
        figures: the folder for the figures that evaluators draw.

    Raises:
        UserError: the table or a cell of it cannot be read, or an evaluator needs the run's own data and that is not
            there.
    """
    named = str(source.files()[0])
    split, notes = _split_of_file(run, source, named)
    for note in notes:
        run.say(note)
    return _with_split(run, named, split).evaluate(evaluators, named, figures)


def _with_split(run: TrainedRun, name: str, split: Split) -> TrainedRun:
    """The same run with one more split of its data."""
    if not len(split):
        raise UserError(f"{name}: has no rows to score; give it rows")
    return dataclasses.replace(run, prepared=Dataset(run.schema.data, run.modalities, _Splits(run, name, split)))


class _Splits(Mapping[str, Split]):
    """The split of a table, and those of the run's own data, which is read where one of them is asked for."""

    def __init__(self, run: TrainedRun, name: str, split: Split) -> None:
        self.run, self.name, self.split = run, name, split

    def _own(self) -> Mapping[str, Split]:
        try:
            return self.run.dataset.splits
        except UserError as error:
            raise UserError(
                [*error.faults, f"{self.name}: what is scored on it needs the run's own data, which cannot be read"]
            ) from error

    def __getitem__(self, name: str) -> Split:
        return self.split if name == self.name else self._own()[name]

    def __contains__(self, name: object) -> bool:
        return name == self.name or name in self._own()

    def __iter__(self) -> Iterator[str]:
        return iter([self.name, *self._own()])

    def __len__(self) -> int:
        return 1 + len(self._own())


def _split_of_file(run: TrainedRun, source: TableSource, named: str) -> tuple[Split, list[str]]:
    """The rows of a file as a split, and what the user should know."""
    file = open_source(source)
    table = RunTable(run, file, source.beside("train"), source.on_bad_cell)
    store = ColumnStore(source, run.say)
    columns = store.columns("train", run.modalities, lambda: _Completed(file, table.absent))
    told = [
        line
        for name, column in columns.items()
        for line in bad_cells(source, "train", columns_text(name, run.modalities[name]), column, named)
    ]
    if told and source.on_bad_cell == "error":
        raise UserError(told)
    present = torch.stack([column.present for column in columns.values()], dim=1)
    split = Split(_IN_MEMORY, run.modalities, {name: column.stored for name, column in columns.items()}, present)
    return split, [*told, *_absent(run, table)]


def _split_in_memory(run: TrainedRun, table: RunTable) -> Split:
    stored: dict[str, list[Parsed]] = {name: [] for name in run.modalities}
    present = [torch.zeros(0, len(stored), dtype=torch.bool)]
    for piece in table.pieces(names=()):
        for name, parsed in piece.parsed.items():
            if parsed is not None:
                stored[name].append(parsed)
        present.append(piece.present)
    joined = torch.cat(present)
    columns = {name: _joined(run, name, parts, len(joined)) for name, parts in stored.items()}
    return Split(_IN_MEMORY, run.modalities, columns, joined)


def _joined(run: TrainedRun, name: str, parts: list[Parsed], length: int) -> Tensor:
    """The stored values of all rows; zeros stand where a column is absent."""
    if not parts:
        return torch.zeros(length, *run.modalities[name].event_shape())
    telling = next((part for part in parts if part.present.any()), parts[0])  # of nothing the type says nothing
    return torch.cat([part.stored.to(telling.stored.dtype) for part in parts])


def _absent(run: TrainedRun, table: RunTable) -> list[str]:
    return [
        f"{table.table.called}: has no {columns_text(name, modality)}: all rows lack {name}"
        for name, modality in run.modalities.items()
        if set(modality.source_columns(name)) <= set(table.absent)
    ]


class _Completed:
    """A table with columns that it has not, missing in every row."""

    def __init__(self, table: TableFile, absent: Sequence[str]) -> None:
        self.table, self.absent = table, list(absent)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.table.names, *self.absent)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> Cells:
        return [None] * len(self) if name in self.absent else self.table.column(name)

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        there = [name for name in names if name not in self.absent]
        for chunk in self.table.chunks(there or self.table.names[:1], size):
            rows = len(next(iter(chunk.values())))
            yield {name: chunk[name] if name in there else [None] * rows for name in names}
