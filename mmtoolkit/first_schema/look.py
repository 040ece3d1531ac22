"""Finds in a table what no modality looks for: copies of columns, splits, texts that mean a missing cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mmtoolkit.tables import TableFile
from mmtoolkit.tables.summary import PLAIN, ColumnSummary, as_list

_PIECE = 20_000

_TRAIN = {"train", "training"}
_SPLITS = _TRAIN | {"valid", "val", "validation", "dev", "test", "testing"}

# Further texts that mean a missing cell: signs in any column, words only among numbers.
_SIGNS = {"?", "??", "-", "--", "---", ".", "..", "…", "n/a", "N/a", "n.a.", "N.A.", "#N/A", "#NA", "<NA>", "\\N"}
_SIGNS |= {"#VALUE!", "#DIV/0!", "#REF!"}
_WORDS = {"unknown", "missing", "none", "nil", "undefined", "na", "nd", "n.d.", "not available", "not known", "void"}
_WORDS |= {"nan", "null"}
_ABBREVIATION = re.compile(r"[^\W\d]{1,2}([./][^\W\d]{1,2}){1,3}\.?")


def find_copies(table: TableFile, columns: Sequence[ColumnSummary]) -> dict[str, str]:
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
