"""Turns a user's table into a split that evaluators can score. The run learns nothing from the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Parsed, Run
from mmtoolkit.data.columns import ColumnStore, Portion
from mmtoolkit.data.dataset import bad_cells, columns_text
from mmtoolkit.data.split import Split
from mmtoolkit.tables import TableFile
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.parts import files_of
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFile, UserFrame

IN_MEMORY = "table"


def split_of_file(run: Run, user_file: UserFile) -> tuple[Split, list[str]]:
    """Read a file as a split, with lines of what the user should know."""
    name, rows = str(user_file.path), user_file.rows
    table = RunTable.of(run, user_file)
    store = ColumnStore(user_file, files_of(user_file.path), run.say)
    portion = Portion(name, lambda: _WithAbsentColumns(rows, table.absent), user_file.beside)
    columns = store.columns(portion, run.modalities)
    faults = [
        line
        for key, column in columns.items()
        for line in bad_cells(
            name,
            rows.place,
            columns_text(key, run.modalities[key]),
            column,
            user_file.on_bad_cell,
        )
    ]
    if faults and user_file.on_bad_cell == "error":
        raise UserError(faults)
    present = torch.stack([column.present for column in columns.values()], dim=1)
    split = Split(IN_MEMORY, run.modalities, {key: column.stored for key, column in columns.items()}, present)
    return split, [*table.remarks(), *faults, *_absent_columns(run, table)]


def split_in_memory(run: Run, user_frame: UserFrame) -> tuple[Split, list[str]]:
    """Read a table in memory as a split, with lines of what the user should know."""
    table = RunTable.of(run, user_frame)
    stored: dict[str, list[Parsed]] = {name: [] for name in run.modalities}
    present = [torch.zeros(0, len(stored), dtype=torch.bool)]
    for piece in table.pieces(names=()):
        for name, parsed in piece.parsed.items():
            if parsed is not None:
                stored[name].append(parsed)
        present.append(piece.present)
    rows = torch.cat(present)
    columns = {name: _join(run, name, parts, len(rows)) for name, parts in stored.items()}
    return Split(IN_MEMORY, run.modalities, columns, rows), [*table.notes(), *_absent_columns(run, table)]


def _join(run: Run, name: str, parts: list[Parsed], length: int) -> Tensor:
    """Join the stored values of all rows; zeros if the table has none of the modality's columns."""
    if not parts:
        return torch.zeros(length, *run.modalities[name].event_shape())
    typed = next((part for part in parts if part.present.any()), parts[0])  # an empty part may have another type
    return torch.cat([part.stored.to(typed.stored.dtype) for part in parts])


def _absent_columns(run: Run, table: RunTable) -> list[str]:
    """A line for each modality without a column in the table."""
    return [
        f"{table.table.called}: has no column{'s' * (len(columns) > 1)} {table.listed(columns)}: all rows lack {name}"
        for name, modality in run.modalities.items()
        if set(columns := modality.source_columns(name)) <= set(table.absent)
    ]


class _WithAbsentColumns:
    """A table with more columns, missing in every row."""

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
        columns = [name for name in names if name not in self.absent]
        for chunk in self.table.chunks(columns or self.table.names[:1], size):
            rows = len(next(iter(chunk.values())))
            yield {name: chunk[name] if name in columns else [None] * rows for name in names}
