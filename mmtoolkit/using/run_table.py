"""A table of the user's as batches for a run that is trained: nothing is learned from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean, first_lines
from mmtoolkit.components import Modality, Parsed, Run
from mmtoolkit.components.reading import read_cells
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.data.dataset import columns_text
from mmtoolkit.tables import FilesBeside, Rows, RowTable, TableFile, row_of
from mmtoolkit.tables.cells import Cells
from mmtoolkit.using.user_table import Policy, UserTable

_READ_BYTES = 1 << 24
_FEWEST, _MOST = 16, 4096
_SHOWN_FAULTS = 5


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of a table.

    Attributes:
        start: the place of the first.
        rows: as the table holds them.
        batch: as the networks read them.
        present: which of the rows have which modality, (n, M) bool, in schema order, on the host.
        parsed: modality -> its values as they are stored; None where the table has none of its columns.
        blank: modality -> column -> which of the rows have no cell there, (n,) bool: neither a value nor a bad cell.
    """

    start: int
    rows: Rows
    batch: Batch
    present: Tensor
    parsed: Mapping[str, Parsed | None]
    blank: Mapping[str, Mapping[str, NDArray[np.bool_]]]


def rows_at_once(modalities: Mapping[str, Modality], names: Collection[str]) -> int:
    """How many rows to read at once: as many as have some megabytes of numbers."""
    numbers = sum(int(np.prod(modalities[name].event_shape())) for name in names)
    return min(max(_READ_BYTES // (4 * max(numbers, 1)), _FEWEST), _MOST)


class RunTable:
    """The rows of a table as batches for a run.

    Args:
        run: the run.
        table: the rows.
        beside: where files lie that cells name.
        on_bad_cell: what a cell is that cannot be read: an error, or missing and counted.
        used: the modalities to read; all where left out.

    Raises:
        UserError: none of the columns that the modalities are read from is in the table.
    """

    def __init__(
        self,
        run: Run,
        table: RowTable,
        beside: FilesBeside | None,
        on_bad_cell: Policy,
        used: Collection[str] | None = None,
    ) -> None:
        self.run, self.table, self.beside, self.on_bad_cell = run, table, beside, on_bad_cell
        self.used = [name for name in run.modalities if used is None or name in used]
        wanted = dict.fromkeys(c for name in self.used for c in run.modalities[name].source_columns(name))
        self.columns = [column for column in wanted if column in table.names]
        """Those of the table that are read."""
        self.absent = [column for column in wanted if column not in table.names]
        """Those that the run knows and the table has not."""
        if not self.columns:
            raise UserError(f"{self.table.called}: {_no_column(list(wanted), table.names)}")
        self.bad: dict[str, tuple[int, str]] = {}

    @classmethod
    def of(cls, run: Run, user_table: UserTable, used: Collection[str] | None = None) -> RunTable:
        """A table that was given to the run."""
        return cls(run, user_table.rows, user_table.beside, user_table.on_bad_cell, used)

    def pieces(
        self, size: int | None = None, names: Sequence[str] | None = None, blank: bool = False
    ) -> Iterator[Piece]:
        """The rows in order.

        Args:
            size: of a piece, at most; what suits the modalities where left out.
            names: columns to read beside those of the modalities; all where left out.
            blank: whether to look which cells are not there.

        Raises:
            UserError: a cell cannot be read, where that is an error.
        """
        read = None if names is None else list(dict.fromkeys([*self.columns, *names]))
        start = 0
        for rows in self.table.rows(size or rows_at_once(self.run.modalities, self.used), read):
            yield self._piece(start, rows, blank)
            start += len(rows)

    def notes(self) -> list[str]:
        """What the user should know of the cells that were read."""
        return [
            f"{self.table.called}: cells of {name} that cannot be read: {count:,}; they count as missing and stay as "
            f"they are; first, {first}"
            for name, (count, first) in self.bad.items()
        ]

    def _piece(self, start: int, rows: Rows, look: bool) -> Piece:
        nothing: Cells = [None] * len(rows)
        chunk = {column: rows.cells(column) for column in self.columns} | dict.fromkeys(self.absent, nothing)
        values: dict[str, Tensor] = {}
        places: dict[str, Tensor] = {}
        blank: dict[str, dict[str, NDArray[np.bool_]]] = {}
        found: dict[str, Parsed | None] = {}
        faults: list[str] = []
        for name, modality in self.run.modalities.items():
            parsed = None
            if name in self.used and not set(modality.source_columns(name)) <= set(self.absent):
                parsed = read_cells(modality, modality.assembled(name, chunk), self.beside)
                faults += self._told(start, name, parsed)
            found[name] = parsed
            values[name], places[name] = self._prepared(start, modality, parsed)
            if look:
                blank[name] = _blank(modality.source_columns(name), chunk, parsed)
        if faults:
            raise UserError(first_lines(faults, _SHOWN_FAULTS, f"{self.table.called}: and more cells like these"))
        absent = torch.zeros(len(rows), dtype=torch.bool)
        present = torch.stack([absent if parsed is None else parsed.present for parsed in found.values()], dim=1)
        return Piece(start, rows, Batch.of_present(len(rows), values, places), present, found, blank)

    def _told(self, start: int, name: str, parsed: Parsed) -> list[str]:
        """The faults as lines where they are errors; else they are counted."""
        where = columns_text(name, self.run.modalities[name])
        lines = [f"{self._row(start + row)}, {where}: {fault}" for row, fault in sorted(parsed.faults.items())]
        if self.on_bad_cell == "error":
            option = "--on-bad-cell missing" if isinstance(self.table, TableFile) else 'on_bad_cell="missing"'
            return [f"{line}; mend the cell, or give {option}" for line in lines]
        if lines:
            count, first = self.bad.get(name, (0, lines[0]))
            self.bad[name] = count + len(lines), first
        return []

    def _row(self, place: int) -> str:
        return f"{self.table.called}, {row_of(place)}"

    def _prepared(self, start: int, modality: Modality, parsed: Parsed | None) -> tuple[Tensor, Tensor]:
        """The present values, (N, *event), and their places (N,)."""
        place = torch.zeros(0, dtype=torch.int64) if parsed is None else parsed.present.nonzero().squeeze(1)
        device = self.run.device
        if parsed is None or not len(place):
            return torch.zeros(0, *modality.event_shape(), device=device), place
        stored = parsed.stored if len(place) == len(parsed.stored) else parsed.stored.index_select(0, place)
        return modality.prepare(sent(stored, device), None, sent(place + start, device)), place


def _blank(columns: Sequence[str], chunk: Mapping[str, Cells], parsed: Parsed | None) -> dict[str, NDArray[np.bool_]]:
    """Which cells of each column are not there; all of them where the modality is not."""
    found = {}
    for column in columns:
        cells = chunk[column]
        found[column] = (
            np.zeros(len(cells), dtype=bool)
            if isinstance(cells, np.ndarray)
            else np.fromiter((cell is None for cell in cells), bool, len(cells))
        )
    if parsed is not None:  # a cell that says that nothing is known, or whose file need not be there
        nothing = ~parsed.present.numpy()
        nothing[list(parsed.faults)] = False
        for cells_blank in found.values():
            cells_blank |= nothing
    return found


def _no_column(wanted: Sequence[str], names: Sequence[str]) -> str:
    hints = ((name, did_you_mean(name, tuple(wanted))) for name in names)
    close = next((f"{hint} (it has {name!r})" for name, hint in hints if hint), "")
    return (
        f"has none of the columns that the run reads, {', '.join(wanted)}{close}; "
        f"its columns are {', '.join(names)}: rename one, or choose another table"
    )
