"""Assigns the rows of a table to splits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import RowTable

# Other names of our splits in columns.
_ALIASES = {"training": "train", "val": "valid", "validation": "valid", "dev": "valid", "testing": "test"}
_FIRST = ("train", "valid", "test")
_MOST_SPLITS = 10
_PIECE = 1 << 16


def assign_splits(table: RowTable, shares: Mapping[str, float], group: str | None, seed: int) -> NDArray[np.int64]:
    """Draw the split of each row by the shares; a seed fixes the draw.

    Args:
        table: N rows.
        shares: split -> its share of the rows; the shares sum to 1.
        group: a column; rows with the same value get the same split. A row without a value is a group of its own.
        seed: for the draw.

    Returns:
        The place of each row's split among the shares: (N,). Each split gets at least one row.

    Raises:
        UserError: the column does not exist, or there are fewer rows or groups than splits.
    """
    rows = len(table)
    units = np.arange(rows) if group is None else _groups(table, group)
    count = int(units.max(initial=-1)) + 1
    if rows and count < len(shares):
        what = f"{rows} rows" if group is None else f"{count} groups of rows by {group}"
        raise UserError(
            f"{table.called}: has only {what} for the {len(shares)} splits {', '.join(shares)}; "
            "add rows, or name fewer splits, such as data.split={train: 1}"
        )
    order = np.random.default_rng(seed).permutation(count)
    sizes = np.bincount(units, minlength=count)[order]
    borders = np.cumsum(list(shares.values()))[:-1] * rows
    # The middle of a unit in the shuffled rows decides its split; each split needs at least one unit.
    cuts = np.searchsorted(np.cumsum(sizes) - sizes / 2, borders)
    least = np.arange(1, len(shares))
    cuts = np.maximum.accumulate(np.maximum(cuts - least, 0)) + least
    cuts = np.minimum(cuts, count - len(shares) + least)
    of_unit = np.empty(count, dtype=np.int64)
    of_unit[order] = np.searchsorted(cuts, np.arange(count), side="right")
    return of_unit[units]


def read_splits(table: RowTable, column: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Read the split of each row from a column.

    Returns:
        The names of the splits, train, valid and test first, and each row's place among them: (N,), -1 if it has none.

    Raises:
        UserError: the column does not exist, has no split train, or has too many values.
    """
    names: dict[str, int] = {}
    parts: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    for chunk in table.chunks([_check_column(table, column, "split")], _PIECE):
        cells = [None if cell is None else _ALIASES.get(str(cell).lower(), str(cell)) for cell in chunk[column]]
        parts.append(np.array([-1 if cell is None else names.setdefault(cell, len(names)) for cell in cells]))
        if len(names) > _MOST_SPLITS:
            raise UserError(
                f"{table.called}, column {column}: has more than {_MOST_SPLITS} values, so it cannot name splits; "
                "correct data.split"
            )
    if "train" not in names:
        splits = ", ".join(names) or "nothing"
        raise UserError(
            f"{table.called}, column {column}: names {splits}, but no split train; name the rows to learn from train"
        )
    ordered = [name for name in _FIRST if name in names] + [name for name in names if name not in _FIRST]
    place_of = np.array([ordered.index(name) for name in names] + [-1])  # the last one is for -1
    return tuple(ordered), place_of[np.concatenate(parts)]


def _groups(table: RowTable, column: str) -> NDArray[np.int64]:
    """The number of each row's group: (N,)."""
    numbers: dict[object, int] = {}
    groups: list[int] = []
    for chunk in table.chunks([_check_column(table, column, "group")], _PIECE):
        for cell in chunk[column]:
            key = ("row", len(groups)) if cell is None else str(cell)
            groups.append(numbers.setdefault(key, len(numbers)))
    return np.array(groups, dtype=np.int64)


def _check_column(table: RowTable, column: str, option: str) -> str:
    if column not in table.names:
        names = ", ".join(table.names)
        raise UserError(
            f"{table.called}: has no column {column!r}; correct data.{option}, or choose one of its columns: {names}"
        )
    return column
