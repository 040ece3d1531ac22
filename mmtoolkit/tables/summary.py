"""Summarises columns of a table: their distinct cells, how often each occurs, their missing cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.tables.beside import FilesBeside
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.marks import Marks
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.types import column_type

_LONGEST_EXAMPLE = 30
_PIECE = 20_000
_MOST_DISTINCT = 20_000
_MOST_CHARACTERS = 20_000_000
_MOST_OTHERS = 64  # distinct cells that are neither text nor numbers, such as bytes and lists
PLAIN = (str, int, float, bool)
"""The types of cells that are compared and counted."""


@dataclass(frozen=True, eq=False)
class ColumnSummary:
    """The distinct cells of a table's column and how often each occurs. Missing cells are only counted.

    Attributes:
        name: the name of the column.
        rows: the number of rows of the table.
        missing: the number of missing cells.
        cells: the distinct cells, in order of appearance.
        counts: how often each distinct cell occurs.
        more: whether the column has further distinct cells. Only the first few thousand are listed.
        beside: opens the files that cells may name; None if cells name no files.
        signs: the texts that count as missing cells, and how often each occurs; without the empty text in a format of
            texts, which has no other null.
        first_rows: the row in which each distinct cell occurs first, from 0; empty if that is not known.
        type: the Arrow type of the column, or in a table without types the one that its cells ask for; None if a cell
            is no single value, or a text.
        text_format: whether the table holds texts alone, as CSV does.
        marks: how its numbers in texts may be written. `mmt init` judges it by the column, and where that leaves it
            open by the other columns of the table: one entry if it is clear, several if it is not, none if most of its
            texts are no numbers.
    """

    name: str
    rows: int
    missing: int
    cells: Sequence[Any]
    counts: Sequence[int]
    more: bool = False
    beside: FilesBeside | None = field(default=None, repr=False)
    signs: Mapping[str, int] = field(default_factory=dict)
    first_rows: Sequence[int] = ()
    type: pa.DataType | None = None
    text_format: bool = False
    marks: tuple[Marks, ...] = ()

    @property
    def counted(self) -> int:
        """The number of cells that equal one of the distinct ones."""
        return sum(self.counts)

    @property
    def repeats(self) -> float:
        """How often a distinct cell occurs on average; 0 if there is none."""
        return self.counted / len(self.cells) if self.cells else 0.0

    @cached_property
    def texts(self) -> tuple[str, ...] | None:
        """The distinct cells if all of them are texts; otherwise None."""
        return tuple(self.cells) if self.cells and all(isinstance(cell, str) for cell in self.cells) else None

    def share(self, flags: Sequence[bool]) -> float:
        """The share of the counted cells whose flag is true; `flags` has one for each distinct cell."""
        return sum(compress(self.counts, flags)) / max(self.counted, 1)

    def example(self, cell: Any) -> str:
        """A cell as a comment shows it: short and on one line."""
        text = repr(cell) if isinstance(cell, str) and not cell.strip() else one_line(str(cell))
        return shorten(text, _LONGEST_EXAMPLE)

    def examples(self, most: int = 4) -> str:
        """The first `most` distinct cells, on one line."""
        return ", ".join(map(self.example, self.cells[:most])) + (", …" if len(self.cells) > most else "")

    def files(self, most: int) -> tuple[list[Path], list[str]]:
        """The files that the first `most` distinct cells name, and a fault for each text that names no file."""
        texts = [cell for cell in self.cells[:most] if isinstance(cell, str)]
        if self.beside is None:
            return [], []
        opened, faults = self.beside.opened(texts)
        return [path for path in opened if path is not None], list(faults.values())

    def without(self, markers: Collection[str]) -> ColumnSummary:
        """The same column with the texts in `markers` counted as missing cells."""
        present = [not (isinstance(cell, str) and cell in markers) for cell in self.cells]
        cells, counts = tuple(compress(self.cells, present)), tuple(compress(self.counts, present))
        known = zip(self.cells, self.counts, present, strict=True)
        absent = {c: n for c, n, here in known if not here and (c or not self.text_format)}
        missing = self.missing + self.counted - sum(counts)
        rows = tuple(compress(self.first_rows, present))
        signs = {**self.signs, **absent}
        return replace(self, missing=missing, cells=cells, counts=counts, signs=signs, first_rows=rows)


def summarise_columns(
    table: RowTable,
    names: Sequence[str] | None = None,
    beside: FilesBeside | None = None,
    signs: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> list[ColumnSummary]:
    """Summarise columns of a table in a single pass over it.

    Args:
        table: the table.
        names: the columns; by default all, in order.
        beside: opens the files that cells name.
        signs: column -> texts that mean a missing cell there, besides those of the table.

    Raises:
        UserError: the table cannot be read.
    """
    tallies = {name: _Tally() for name in (table.names if names is None else names)}
    rows = 0
    for piece in table.rows(_PIECE, list(tallies)):
        for name, tally in tallies.items():
            own = Rows({name: piece.raw[name]}, [*piece.missing, *signs.get(name, ())])
            tally.add(own, name, rows)
        rows += len(piece)
    return [tally.summary(name, rows, beside, table.has_null) for name, tally in tallies.items()]


class _Tally:
    """Counts the distinct cells of a column, up to a limit of memory."""

    def __init__(self) -> None:
        self.places: dict[tuple[type, Any], int] = {}  # True and 1 are two cells
        self.cells: list[Any] = []
        self.counts: list[int] = []
        self.rows: list[int] = []
        """The first row of each distinct cell, as far as the rows are plain values: only these may differ in type."""
        self.missing, self.characters, self.others = 0, 0, 0
        self.signs: Counter[str] = Counter()
        self.more = False
        self.type: pa.DataType | None = None

    def add(self, rows: Rows, name: str, start: int) -> None:
        """Count the cells of a column in some rows, of which the first is at the place `start`."""
        plain = isinstance(rows.raw[name], list)
        self.signs.update(rows.signs(name))
        raw = rows.raw[name]
        self.type = raw.type if isinstance(raw, pa.Array) else None
        for place, (cell, count) in enumerate(_count_cells(rows, name), start):
            if cell is None:
                self.missing += count
                continue
            key = type(cell), hashable(cell)
            known = self.places.get(key)
            if known is not None:
                self.counts[known] += count
            elif self._has_room(cell):
                self.places[key] = len(self.cells)
                self.cells.append(cell)
                self.counts.append(count)
                self.rows += [place] if plain else []
            else:
                self.more = True

    def summary(self, name: str, rows: int, beside: FilesBeside | None, has_null: bool) -> ColumnSummary:
        """The summary of all cells added so far."""
        cells, counts, first_rows = tuple(self.cells), tuple(self.counts), tuple(self.rows)
        signs = {sign: count for sign, count in self.signs.items() if sign or has_null}
        kind = column_type(self.type, cells, has_null)
        return ColumnSummary(
            name, rows, self.missing, cells, counts, self.more, beside, signs, first_rows, kind, not has_null
        )

    def _has_room(self, cell: Any) -> bool:
        if not isinstance(cell, PLAIN):
            self.others += 1
            return self.others <= _MOST_OTHERS
        self.characters += len(cell) if isinstance(cell, str) else 0
        return len(self.cells) < _MOST_DISTINCT and self.characters <= _MOST_CHARACTERS


def _count_cells(rows: Rows, name: str) -> Iterable[tuple[Any, int]]:
    """Cells and their counts: distinct cells if Arrow can compare them, else every cell with a count of 1."""
    raw = rows.raw[name]
    if isinstance(raw, pa.Array) and not pa.types.is_nested(raw.type):
        try:
            counts = (raw.dictionary_decode() if pa.types.is_dictionary(raw.type) else raw).value_counts()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            pass
        else:
            distinct = Rows({name: counts.field("values")}, rows.missing)
            return zip(as_list(distinct.cells(name)), counts.field("counts").to_pylist(), strict=True)
    return ((cell, 1) for cell in as_list(rows.cells(name)))


def as_list(cells: Cells) -> Sequence[Any]:
    """Cells as plain Python values."""
    return cells if isinstance(cells, list) else cells.tolist()  # type: ignore[union-attr]


def hashable(cell: Any) -> Any:
    """A cell, or its text if it cannot be hashed."""
    try:
        hash(cell)
    except TypeError:
        return repr(cell)
    return cell
