"""Fills the columns that a first schema leaves out, where their cells follow without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmtoolkit.tables.frames import frame_of


def fill_left_out(
    filled: Any, columns: Sequence[str], constants: Mapping[str, Any], copies: Mapping[str, str]
) -> tuple[Any, list[str]]:
    """Fill the holes of columns that no modality reads.

    Args:
        filled: the table, in which the columns of the schema are filled.
        columns: those of the others.
        constants: column -> the only value that it has.
        copies: column -> an earlier one that it equals.

    Returns:
        The table, and a line on each column of which cells stay missing.
    """
    frame = frame_of(filled)
    cells: dict[str, tuple[list[int], list[Any]]] = {}
    notes = []
    for column in columns:
        holes = [row for row, cell in enumerate(frame.column(column)) if cell is None]
        if not holes:
            continue
        if column in constants:
            cells[column] = holes, [constants[column]] * len(holes)
        elif column in copies:
            original = frame.column(copies[column])
            cells[column] = holes, [original[row] for row in holes]
        else:
            notes.append(
                f"{frame.called}: cells of {column} that stay missing: {len(holes):,}; the model does not read the "
                "column; give a schema that has it"
            )
    return frame.with_filled(cells, {})[0] if cells else filled, notes
