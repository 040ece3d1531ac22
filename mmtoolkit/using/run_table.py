"""Reads a user's table as batches for a trained run, which learns nothing from it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import closest, did_you_mean, first_lines
from mmtoolkit.components import Modality, Parsed, Run
from mmtoolkit.components.reading import columns_of, read_cells
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.data.dataset import columns_text
from mmtoolkit.tables import FilesBeside, Rows, RowTable
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.reading import MISSING
from mmtoolkit.using.user_table import Policy, UserTable

_READ_BYTES = 1 << 24
_FEWEST_ROWS, _MOST_ROWS = 16, 4096
_MOST_FAULTS = 5  # in an error


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of n rows of a table.

    Attributes:
        start: the place of the first row.
        rows: the rows of the table.
        batch: the rows as the networks read them.
        present: which rows have which modality of the run, (n, M) bool, in schema order, on the host.
        parsed: modality -> its values in storage form; None if the table has none of its columns.
        blank: modality -> column -> which rows have neither a value nor a bad cell there, (n,) bool.
    """

    start: int
    rows: Rows
    batch: Batch
    present: Tensor
    parsed: Mapping[str, Parsed | None]
    blank: Mapping[str, Mapping[str, NDArray[np.bool_]]]


def rows_at_once(modalities: Mapping[str, Modality], names: Collection[str]) -> int:
    """How many rows to read at once: as many as fill some megabytes."""
    numbers = sum(int(np.prod(modalities[name].event_shape())) for name in names)
    return min(max(_READ_BYTES // (4 * max(numbers, 1)), _FEWEST_ROWS), _MOST_ROWS)


class RunTable:
    """The rows of a table as batches for a run.

    Args:
        run: reads the cells.
        table: the rows.
        beside: where to find the files that cells name.
        on_bad_cell: whether a cell that cannot be read is an error, or counts as missing.
        used: the modalities to read; by default all.
        has_usual_signs: whether the table's signs of missing cells are the usual ones, which nobody listed.

    Raises:
        UserError: the table has none of the columns of these modalities.
    """

    def __init__(
        self,
        run: Run,
        table: RowTable,
        beside: FilesBeside | None,
        on_bad_cell: Policy,
        used: Collection[str] | None = None,
        has_usual_signs: bool = False,
    ) -> None:
        self.run, self.table, self.beside, self.on_bad_cell = run, table, beside, on_bad_cell
        self.has_usual_signs = has_usual_signs
        self.used = [name for name in run.modalities if used is None or name in used]
        known = dict.fromkeys(c for name in self.used for c in run.modalities[name].source_columns(name))
        self.columns = [column for column in known if column in table.names]
        """The columns of the table that the run reads."""
        self.absent = [column for column in known if column not in table.names]
        """The columns that the run knows and the table lacks."""
        if not self.columns:
            raise UserError(f"{self.table.called}: {_no_column(list(known), table.names)}")
        self.bad: dict[str, tuple[int, str]] = {}
        """Modality -> how many of its cells cannot be read, and the first fault with its row."""
        self.valueless: dict[str, tuple[int, str]] = {}
        """Column -> how many of its texts stand for no value, such as nan, and the first one with its row."""
        self.classes_as_signs: dict[str, Counter[str]] = {}
        """Column -> usual sign that is a class of the run, and so a value -> how many cells show it."""

    @classmethod
    def of(cls, run: Run, user_table: UserTable, used: Collection[str] | None = None) -> RunTable:
        """Prepare a user's table for a run."""
        usual = user_table.missing is None
        return cls(run, user_table.rows, user_table.beside, user_table.on_bad_cell, used, usual)

    def pieces(
        self, size: int | None = None, names: Sequence[str] | None = None, blank: bool = False, lines: bool = False
    ) -> Iterator[Piece]:
        """Read the rows in order.

        Args:
            size: how many rows a piece has at most; by default what suits the modalities.
            names: columns to read besides those of the modalities; by default all.
            blank: whether to compute `Piece.blank`.
            lines: whether to read the text of the rows too, `Rows.lines`.

        Raises:
            UserError: a cell cannot be read, and `on_bad_cell` is `error`.
        """
        columns = None if names is None else list(dict.fromkeys([*self.columns, *names]))
        start = 0
        read = self.table.rows_with_lines if lines else self.table.rows
        for rows in read(size or rows_at_once(self.run.modalities, self.used), columns):
            yield self._piece(start, rows, blank)
            start += len(rows)

    def notes(self) -> list[str]:
        """Lines on how the table is read, on cells that cannot be read, and on texts that are no value."""
        stay = "they count as missing and stay as they are"
        return [
            *self.remarks(),
            *(
                f"{self.table.called}: cells of {name} that cannot be read: {count:,}; {stay}; first, {first}"
                for name, (count, first) in self.bad.items()
            ),
            *(
                f"{self.table.called}: cells of {column} that are a class of the run, and so count as values: "
                f"{', '.join(f'{count:,} {sign}' for sign, count in counts.items())}; if they mean missing cells, list "
                f"all signs: missing: {json.dumps(list(MISSING))}"
                for column, counts in self.classes_as_signs.items()
            ),
            *(
                f"{self.table.called}: texts of {column} that stand for no value: {count:,}; {stay}, unless you list "
                f"them as missing; first, {first}"
                for column, (count, first) in self.valueless.items()
            ),
        ]

    def remarks(self) -> list[str]:
        """A line on how the table is read, if its owner may not expect that."""
        return [f"{self.table.called}: {'; '.join(self.table.remarks)}"] if self.table.remarks else []

    @cached_property
    def misnamed(self) -> dict[str, str]:
        """Columns that the table lacks -> a column with a name like theirs that no modality reads."""
        unread = [name for name in self.table.names if name not in self.columns]
        close = {column: closest(column, unread) for column in self.absent}
        return {column: name for column, name in close.items() if name is not None}

    def listed(self, lacking: Sequence[str]) -> str:
        """Columns that the table lacks, as a note lists them: with the column that may be meant."""
        meant = self.misnamed
        return ", ".join(f"{name} (did you mean {meant[name]!r}?)" if name in meant else name for name in lacking)

    def _piece(self, start: int, rows: Rows, with_blank: bool) -> Piece:
        empty: Cells = [None] * len(rows)
        chunk = {column: self._cells(rows, column) for column in self.columns} | dict.fromkeys(self.absent, empty)
        values: dict[str, Tensor] = {}
        places: dict[str, Tensor] = {}
        blank: dict[str, dict[str, NDArray[np.bool_]]] = {}
        by_modality: dict[str, Parsed | None] = {}
        faults: list[str] = []
        for name, modality in self.run.modalities.items():
            parsed = None
            columns = columns_of(name, modality, chunk) if name in self.used else {}
            if not columns.keys() <= set(self.absent):
                parsed = read_cells(modality, modality.assembled(name, columns), self.beside)
                faults += self._faults(start, name, parsed)
            by_modality[name] = parsed
            values[name], places[name] = self._prepare(start, modality, parsed)
            if with_blank:
                blank[name] = self._blank(start, modality, columns, parsed)
        if faults:
            raise UserError(first_lines(faults, _MOST_FAULTS, f"{self.table.called}: and more cells like these"))
        absent = torch.zeros(len(rows), dtype=torch.bool)
        present = torch.stack([absent if parsed is None else parsed.present for parsed in by_modality.values()], dim=1)
        beside = [name for name in values if name not in self.run.model.modalities]
        batch = Batch.of_present(len(rows), values, places, beside)
        return Piece(start, rows, batch, present, by_modality, blank)

    @cached_property
    def _classes(self) -> dict[str, set[str]]:
        """Column -> the usual signs of a table without null that are classes of the run: NA may be Namibia.

        Where the user lists the signs, the list decides.
        """
        if self.table.has_null or not self.has_usual_signs:
            return {}
        classes: dict[str, set[str]] = {}
        for name in self.used:
            modality = self.run.modalities[name]
            known = {*MISSING} & {*modality.fixed_cells()}
            own = {*(modality.missing or ())}
            classes |= {column: known - own for column in modality.source_columns(name) if known - own}
        return {column: signs for column, signs in classes.items() if column in self.columns}

    def _cells(self, rows: Rows, column: str) -> Cells:
        """A column as cells; a usual sign that is a class of the run is a value."""
        if not (classes := self._classes.get(column)):
            return rows.cells(column)
        if counts := Counter({sign: count for sign, count in rows.signs(column).items() if sign in classes}):
            self.classes_as_signs[column] = self.classes_as_signs.get(column, Counter()) + counts
        signs = [sign for sign in rows.missing if sign not in classes]
        return Rows({column: rows.raw[column]}, signs).cells(column)

    def _faults(self, start: int, name: str, parsed: Parsed) -> list[str]:
        """A line for each of the first bad cells if `on_bad_cell` is `error`; otherwise count them for `notes`."""
        if not parsed.faults:
            return []
        where = columns_text(name, self.run.modalities[name])
        shown = nsmallest(1 if self.on_bad_cell == "missing" else _MOST_FAULTS + 1, parsed.faults)
        texts = [parsed.faults[row] for row in shown]
        lines = [f"{self.table.place(start + row)}, {where}: {text}" for row, text in zip(shown, texts, strict=True)]
        if self.on_bad_cell == "error":
            option = self.table.option("on_bad_cell", "missing")
            remedy = f"mend the cell, give {option}, or list it in missing if it means a missing cell"
            lines = [f"{line}; {remedy}" for line in lines]
            if len(lines) == 1 or parsed.present.any() or len(set(texts)) > 1:
                return lines
            return [
                lines[0],
                f"{self.table.called}, {where}: {len(parsed.faults) - 1} more cells have the same fault; mend them too",
            ]
        count, first = self.bad.get(name, (0, lines[0]))
        self.bad[name] = count + len(parsed.faults), first
        return []

    def _blank(
        self, start: int, modality: Modality, columns: Mapping[str, Cells], parsed: Parsed | None
    ) -> dict[str, NDArray[np.bool_]]:
        """Column -> which cells are blank, (n,) bool; in all columns those of rows that lack the modality.

        A text is never blank, even if the modality reads it as no value; but the path of an absent file is.
        """
        blank = {column: _nothing(cells) for column, cells in columns.items()}
        if parsed is None:
            return blank
        absent = ~parsed.present.numpy()  # an empty mapping, or a file that may be absent, is blank too
        absent[list(parsed.faults)] = False
        for column, cells in columns.items():
            texts = np.zeros(len(absent), dtype=bool)
            if not modality.reads_files:
                rows = [row for row in np.flatnonzero(absent).tolist() if isinstance(cells[row], str)]
                texts[rows] = True
                if rows:
                    first = f"{self.table.place(start + rows[0])}: {cells[rows[0]]!r}"
                    count, first = self.valueless.get(column, (0, first))
                    self.valueless[column] = count + len(rows), first
            blank[column] |= absent & ~texts
        return blank

    def _prepare(self, start: int, modality: Modality, parsed: Parsed | None) -> tuple[Tensor, Tensor]:
        """Prepare the present values for the networks: (N, *event), and their places (N,)."""
        place = torch.zeros(0, dtype=torch.int64) if parsed is None else parsed.present.nonzero().squeeze(1)
        device = self.run.device
        if parsed is None or not len(place):
            return torch.zeros(0, *modality.event_shape(), device=device), place
        stored = parsed.stored if len(place) == len(parsed.stored) else parsed.stored.index_select(0, place)
        return modality.prepare(sent(stored, device), None, sent(place + start, device)), place


def _nothing(cells: Cells) -> NDArray[np.bool_]:
    """Which cells are None: (n,) bool."""
    if isinstance(cells, np.ndarray):
        return np.zeros(len(cells), dtype=bool)
    return np.fromiter((cell is None for cell in cells), bool, len(cells))


def _no_column(known: Sequence[str], names: Sequence[str]) -> str:
    hints = ((name, did_you_mean(name, tuple(known))) for name in names)
    close = next((f"{hint} (it has {name!r})" for name, hint in hints if hint), "")
    return (
        f"has none of the columns that the run reads, {', '.join(known)}{close}; "
        f"its columns are {', '.join(names)}: rename one, or choose another table"
    )
