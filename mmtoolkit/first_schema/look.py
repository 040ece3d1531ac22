"""Summarise each column of a table: its distinct cells, their counts, its missing cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmtoolkit.components import ColumnSummary
from mmtoolkit.tables import FilesBeside, Rows, TableFile
from mmtoolkit.tables.cells import Cells

_PIECE = 20_000
_MOST_DISTINCT = 20_000
_MOST_CHARACTERS = 20_000_000
_MOST_OTHERS = 64  # distinct cells that are neither text nor numbers, such as bytes and lists
_PLAIN = (str, int, float, bool)

_TRAIN = {"train", "training"}
_SPLITS = _TRAIN | {"valid", "val", "validation", "dev", "test", "testing"}

# Further texts that mean a missing cell: signs in any column, words only among numbers.
_SIGNS = {"?", "??", "-", "--", "---", ".", "..", "…", "n/a", "N/a", "n.a.", "N.A.", "#N/A", "#NA", "<NA>", "\\N"}
_SIGNS |= {"#VALUE!", "#DIV/0!", "#REF!"}
_WORDS = {"unknown", "missing", "none", "nil", "undefined", "na", "nd", "n.d.", "not available", "not known", "void"}
_WORDS |= {"nan", "null"}
_ABBREVIATION = re.compile(r"[^\W\d]{1,2}([./][^\W\d]{1,2}){1,3}\.?")


def summarise_columns(table: TableFile, beside: FilesBeside) -> list[ColumnSummary]:
    """Summarise each column, in order, in a single pass over the table.

    Raises:
        UserError: the table cannot be read.
    """
    tallies = {name: _Tally() for name in table.names}
    rows = 0
    for piece in table.rows(_PIECE):
        rows += len(piece)
        for name, tally in tallies.items():
            tally.add(piece, name)
    return [tally.summary(name, rows, beside) for name, tally in tallies.items()]


class _Tally:
    """Counts the distinct cells of a column, up to a limit of memory."""

    def __init__(self) -> None:
        self.places: dict[tuple[type, Any], int] = {}  # True and 1 are two cells
        self.cells: list[Any] = []
        self.counts: list[int] = []
        self.missing, self.characters, self.others = 0, 0, 0
        self.signs: Counter[str] = Counter()
        self.more = False

    def add(self, rows: Rows, name: str) -> None:
        """Count the cells of a column in some rows."""
        self.signs.update(_count_signs(rows, name))
        for cell, count in _count_cells(rows, name):
            if cell is None:
                self.missing += count
                continue
            key = type(cell), _hashable(cell)
            place = self.places.get(key)
            if place is not None:
                self.counts[place] += count
            elif self._has_room(cell):
                self.places[key] = len(self.cells)
                self.cells.append(cell)
                self.counts.append(count)
            else:
                self.more = True

    def summary(self, name: str, rows: int, beside: FilesBeside) -> ColumnSummary:
        """The summary of all cells added so far."""
        cells, counts = tuple(self.cells), tuple(self.counts)
        return ColumnSummary(name, rows, self.missing, cells, counts, self.more, beside, dict(self.signs))

    def _has_room(self, cell: Any) -> bool:
        if not isinstance(cell, _PLAIN):
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
            return zip(_as_list(distinct.cells(name)), counts.field("counts").to_pylist(), strict=True)
    return ((cell, 1) for cell in _as_list(rows.cells(name)))


def _count_signs(rows: Rows, name: str) -> dict[str, int]:
    """How often each text that means a missing cell occurs, without the empty text, in a format that has no null."""
    raw, signs = rows.raw[name], [sign for sign in rows.missing if sign]
    if not signs or isinstance(raw, list) or raw.type != pa.string():
        return {}
    counts = raw.filter(pc.is_in(raw, pa.array(signs))).value_counts()
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def _as_list(cells: Cells) -> Sequence[Any]:
    return cells if isinstance(cells, list) else cells.tolist()  # type: ignore[union-attr]


def _hashable(cell: Any) -> Any:
    try:
        hash(cell)
    except TypeError:
        return repr(cell)
    return cell


def find_copies(table: TableFile, columns: Sequence[ColumnSummary]) -> dict[str, str]:
    """Columns whose first cells and counts equal those of an earlier column: name -> the earlier column's name."""
    alike: dict[Any, list[str]] = {}
    for column in columns:
        if column.cells and all(isinstance(cell, _PLAIN) for cell in column.cells):
            key = column.missing, tuple(map(type, column.cells)), tuple(column.cells), tuple(column.counts)
            alike.setdefault(key, []).append(column.name)
    groups = [names for names in alike.values() if len(names) > 1]
    if not groups:
        return {}
    first = next(table.rows(_PIECE, [name for names in groups for name in names]))
    cells = {name: _as_list(first.cells(name)) for names in groups for name in names}
    copies: dict[str, str] = {}
    for names in groups:
        for place, name in enumerate(names):
            same = next((other for other in names[:place] if cells[other] == cells[name]), None)
            if same is not None:
                copies[name] = copies.get(same, same)
    return copies


def names_splits(column: ColumnSummary) -> bool:
    """Whether a column names the split of each row."""
    names = set(column.texts or ())
    return column.missing == 0 and len(names) >= 2 and names <= _SPLITS and bool(names & _TRAIN)


def find_markers(columns: Sequence[ColumnSummary], has_null: bool) -> list[str]:
    """Texts that mean a missing cell, besides the usual ones, in order of appearance.

    Every column with the text must have two other values or more. A sign such as "?" needs nothing else. A word such
    as "unknown" may also be a class, so all other values in all of its columns must be numbers. An abbreviation such
    as "k.A." needs one such column. If the format has a null, signs and abbreviations may be classes as words may.
    """
    candidates = dict.fromkeys(cell for column in columns for cell in column.cells if _is_sign(cell) or _is_word(cell))
    return [m for m in candidates if _is_marker(m, [c for c in columns if m in c.cells], has_null)]


def _is_sign(cell: Any) -> bool:
    return isinstance(cell, str) and (cell in _SIGNS or not cell.strip())


def _is_word(cell: Any) -> bool:
    return isinstance(cell, str) and (cell.lower() in _WORDS or _ABBREVIATION.fullmatch(cell) is not None)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_marker(marker: str, holders: Sequence[ColumnSummary], has_null: bool) -> bool:
    others = [{cell for cell in c.cells if not (_is_sign(cell) or _is_word(cell))} for c in holders]
    if any(len(cells) < 2 for cells in others):
        return False
    numeric = [all(map(_is_number, cells)) for cells in others]
    if all(numeric):
        return True
    return not has_null and (_is_sign(marker) or (any(numeric) and _ABBREVIATION.fullmatch(marker) is not None))
