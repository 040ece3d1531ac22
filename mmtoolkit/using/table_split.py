"""A run's scores on a table that is not of its data. Nothing is learned from the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Parsed, Run
from mmtoolkit.data.columns import ColumnStore
from mmtoolkit.data.dataset import Split, bad_cells, columns_text
from mmtoolkit.sources import TableSource
from mmtoolkit.tables import TableFile
from mmtoolkit.tables.cells import Cells
from mmtoolkit.using.run_table import RunTable, open_source

IN_MEMORY = "table"


def split_of_file(run: Run, source: TableSource, named: str) -> tuple[Split, list[str]]:
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
    split = Split(IN_MEMORY, run.modalities, {name: column.stored for name, column in columns.items()}, present)
    return split, [*told, *absent_columns(run, table)]


def split_in_memory(run: Run, table: RunTable) -> Split:
    """The rows of a table as a split."""
    stored: dict[str, list[Parsed]] = {name: [] for name in run.modalities}
    present = [torch.zeros(0, len(stored), dtype=torch.bool)]
    for piece in table.pieces(names=()):
        for name, parsed in piece.parsed.items():
            if parsed is not None:
                stored[name].append(parsed)
        present.append(piece.present)
    joined = torch.cat(present)
    columns = {name: _joined(run, name, parts, len(joined)) for name, parts in stored.items()}
    return Split(IN_MEMORY, run.modalities, columns, joined)


def _joined(run: Run, name: str, parts: list[Parsed], length: int) -> Tensor:
    """The stored values of all rows; zeros stand where a column is absent."""
    if not parts:
        return torch.zeros(length, *run.modalities[name].event_shape())
    telling = next((part for part in parts if part.present.any()), parts[0])  # of nothing the type says nothing
    return torch.cat([part.stored.to(telling.stored.dtype) for part in parts])


def absent_columns(run: Run, table: RunTable) -> list[str]:
    """A line for each modality of which the table has no column."""
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
