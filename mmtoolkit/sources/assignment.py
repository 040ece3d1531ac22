"""Which split each row of a table is in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import RowTable

# Other names of splits than ours, as they stand in columns.
_ALIASES = {"training": "train", "val": "valid", "validation": "valid", "dev": "valid", "testing": "test"}
_FIRST = ("train", "valid", "test")
_MOST_SPLITS = 10
_PIECE = 1 << 16


def assigned(table: RowTable, shares: Mapping[str, float], group: str | None, seed: int) -> NDArray[np.int64]:
    """Splits drawn by their shares of the rows, once for a seed.

    Args:
        table: N rows.
        shares: split -> its share of the rows; they add up to 1.
        group: a column; rows of equal value come into one split, and a row that lacks it stands for itself.
        seed: of the draw.

    Returns:
        The place of each row's split among the shares: (N,). A split has a row at least.

    Raises:
        UserError: there is no such column, or fewer rows or groups than splits.
    """
    rows = len(table)
    units = np.arange(rows) if group is None else _groups(table, group)
    count = int(units.max(initial=-1)) + 1
    if rows and count < len(shares):
        what = f"{rows} rows" if group is None else f"{count} groups of rows by {group}"
        raise UserError(
            f"{table.called}: has {what} for the {len(shares)} splits {', '.join(shares)}; "
            "give it more rows, or name fewer splits, such as data.split={train: 1}"
        )
    order = np.random.default_rng(seed).permutation(count)
    sizes = np.bincount(units, minlength=count)[order]
    borders = np.cumsum(list(shares.values()))[:-1] * rows
    # A unit goes where its middle lies on the way through all rows; each split needs one at least.
    cuts = np.searchsorted(np.cumsum(sizes) - sizes / 2, borders)
    least = np.arange(1, len(shares))
    cuts = np.maximum.accumulate(np.maximum(cuts - least, 0)) + least
    cuts = np.minimum(cuts, count - len(shares) + least)
    of_unit = np.empty(count, dtype=np.int64)
    of_unit[order] = np.searchsorted(cuts, np.arange(count), side="right")
    return of_unit[units]


def named_splits(table: RowTable, column: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Splits as a column names them.

    Returns:
        Their names, train, valid and test first, and the place of each row's among them: (N,), -1 where it names none.

    Raises:
        UserError: there is no such column, it names no split train, or more than a column of splits would.
    """
    names: dict[str, int] = {}
    parts: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    for chunk in table.chunks([_known(table, column, "split")], _PIECE):
        cells = [None if cell is None else _ALIASES.get(str(cell).lower(), str(cell)) for cell in chunk[column]]
        parts.append(np.array([-1 if cell is None else names.setdefault(cell, len(names)) for cell in cells]))
        if len(names) > _MOST_SPLITS:
            raise UserError(
                f"{table.called}, column {column}: holds more than {_MOST_SPLITS} values, so it names no splits"
            )
    if "train" not in names:
        shown = ", ".join(names) or "nothing"
        raise UserError(
            f"{table.called}, column {column}: names {shown} and no split train; let the rows to learn from say train"
        )
    ordered = [name for name in _FIRST if name in names] + [name for name in names if name not in _FIRST]
    place_of = np.array([ordered.index(name) for name in names] + [-1])  # the last is where -1 leads
    return tuple(ordered), place_of[np.concatenate(parts)]


def _groups(table: RowTable, column: str) -> NDArray[np.int64]:
    """The number of each row's group: (N,)."""
    numbers: dict[object, int] = {}
    found: list[int] = []
    for chunk in table.chunks([_known(table, column, "group")], _PIECE):
        for cell in chunk[column]:
            key = ("row", len(found)) if cell is None else str(cell)
            found.append(numbers.setdefault(key, len(numbers)))
    return np.array(found, dtype=np.int64)


def _known(table: RowTable, column: str, option: str) -> str:
    if column not in table.names:
        names = ", ".join(table.names)
        raise UserError(f"{table.called}: has no column {column!r}, which data.{option} names; its columns are {names}")
    return column
