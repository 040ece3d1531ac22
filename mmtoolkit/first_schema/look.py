"""Finds in a table what no modality looks for: copies of columns, splits, texts that mean a missing cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmtoolkit.tables import MISSING, RowTable
from mmtoolkit.tables.marks import Marks
from mmtoolkit.tables.summary import PLAIN, ColumnSummary, as_list, hashable

_PIECE = 20_000

_TRAIN = {"train", "training"}
_SPLITS = _TRAIN | {"valid", "val", "validation", "dev", "test", "testing"}

# Further texts that mean a missing cell: signs in any column, words only among numbers and dates.
_SIGNS = {"?", "??", "-", "--", "---", ".", "..", "…", "n/a", "N/a", "n.a.", "N.A.", "#N/A", "#NA", "<NA>", "\\N"}
_SIGNS |= {"#VALUE!", "#DIV/0!", "#REF!", "#NULL!", "NaT", "(null)", "(NULL)", "<null>", "<NULL>", "[NULL]"}
_WORDS = {"unknown", "missing", "none", "nil", "undefined", "na", "nd", "n.d.", "not available", "not known", "void"}
_WORDS |= {"nan", "null"}
_ABBREVIATION = re.compile(r"[^\W\d]{1,2}([./][^\W\d]{1,2}){1,3}\.?")
_DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([T ].*)?")
_NONE = "None"  # what Python writes for a missing cell, and a class of its own among other capitalised words
_LIKE_MISSING = {*MISSING, "<NA>", "NaT", "(null)", _NONE}


@dataclass(frozen=True)
class Markers:
    """Texts that mean a missing cell, besides the usual ones, in order of appearance.

    Attributes:
        table: those that do so in every column that holds them.
        own: column -> those that do so in it, and are values in another column.
    """

    table: Sequence[str]
    own: Mapping[str, Sequence[str]]

    def of(self, column: str) -> list[str]:
        """Those that mean a missing cell in a column."""
        return [*self.table, *self.own.get(column, ())]

    def elsewhere(self, column: ColumnSummary) -> dict[str, int]:
        """The values of a column that mean a missing cell in another one, in any case, and how often each occurs.

        Args:
            column: without those that mean a missing cell in it.
        """
        words = {word.lower() for words in (self.table, *self.own.values()) for word in words}
        pairs = zip(column.cells, column.counts, strict=True)
        return {cell: count for cell, count in pairs if isinstance(cell, str) and cell.lower() in words}


def find_copies(table: RowTable, columns: Sequence[ColumnSummary]) -> dict[str, str]:
    """Columns whose first cells and counts equal those of an earlier column: name -> the earlier column's name."""
    alike: dict[Any, list[str]] = {}
    for column in columns:
        if column.cells and all(isinstance(cell, PLAIN) for cell in column.cells):
            key = column.missing, tuple(map(type, column.cells)), tuple(column.cells), tuple(column.counts)
            alike.setdefault(key, []).append(column.name)
    groups = [names for names in alike.values() if len(names) > 1]
    if not groups:
        return {}
    first = next(table.rows(_PIECE, [name for names in groups for name in names]))
    cells = {name: as_list(first.cells(name)) for names in groups for name in names}
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


def find_markers(columns: Sequence[ColumnSummary], has_null: bool) -> Markers:
    """Find texts that mean a missing cell, besides the usual ones.

    A column with such a text must have two other values or more. A sign such as "?" needs nothing else. A word such as
    "unknown" may also be a class, so all other values of its column must be numbers or dates; `None` may also stand
    among lower-case words. An abbreviation such as "k.A." needs one such column. If the format has a null, signs and
    abbreviations may be classes as words may.
    """
    candidates = dict.fromkeys(cell for column in columns for cell in column.cells if _is_sign(cell) or _is_word(cell))
    table: list[str] = []
    own: dict[str, list[str]] = {}
    for marker in candidates:
        holders = [column for column in columns if marker in column.cells]
        names = _where_missing(marker, holders, has_null)
        if len(names) == len(holders):
            table.append(marker)
        else:
            for name in names:
                own.setdefault(name, []).append(marker)
    return Markers(table, own)


def texts_like_missing(column: ColumnSummary, has_null: bool) -> dict[str, int]:
    """Values of a column that look like missing cells, and how often each occurs."""
    like = {"", *_LIKE_MISSING} if has_null else {_NONE}
    pairs = zip(column.cells, column.counts, strict=True)
    return {cell: count for cell, count in pairs if isinstance(cell, str) and cell in like}


def _is_sign(cell: Any) -> bool:
    return isinstance(cell, str) and (cell in _SIGNS or not cell.strip())


def _is_word(cell: Any) -> bool:
    return isinstance(cell, str) and (cell.lower() in _WORDS or _ABBREVIATION.fullmatch(cell) is not None)


def _is_number(cell: Any) -> bool:
    if isinstance(cell, str) and Marks.of(cell) is not None:
        return True
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _where_missing(marker: str, holders: Sequence[ColumnSummary], has_null: bool) -> list[str]:
    """The columns in which a text means a missing cell, of those that hold it."""
    others = {c.name: {hashable(cell) for cell in c.cells if not (_is_sign(cell) or _is_word(cell))} for c in holders}
    others = {name: cells for name, cells in others.items() if len(cells) >= 2}
    exact = {name for name, cells in others.items() if all(_is_number(cell) or _is_date(cell) for cell in cells)}
    if not has_null and (_is_sign(marker) or (exact and _ABBREVIATION.fullmatch(marker))):
        return list(others)
    if not has_null and marker == _NONE:
        exact |= {name for name, cells in others.items() if all(isinstance(c, str) and c.islower() for c in cells)}
    return [name for name in others if name in exact]


def _is_date(cell: Any) -> bool:
    return isinstance(cell, str) and _DATE.fullmatch(cell) is not None
