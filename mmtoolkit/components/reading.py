"""Reading the cells of a column with a modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmtoolkit.components.faults import Faults
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.tables.beside import FilesBeside
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.signs import Signs, signs_of


def signs_in(modality: Modality) -> Signs:
    """The signs that mean a missing cell in a modality's columns, besides those of the source."""
    return signs_of(modality.missing or ())


def columns_of(name: str, modality: Modality, chunk: Mapping[str, Cells]) -> dict[str, Cells]:
    """The source columns of a modality in a chunk, None also where a cell shows a sign of the modality's own."""
    return {column: signs_in(modality).without(chunk[column]) for column in modality.source_columns(name)}


def cells_of(name: str, modality: Modality, chunk: Mapping[str, Cells]) -> Cells:
    """The cells of a modality in a chunk of its source columns; every reader of data takes them from here."""
    return modality.assembled(name, columns_of(name, modality, chunk))


def known_cells(modality: Modality, cells: Sequence[Any]) -> list[Any]:
    """Single cells of a modality, such as those a user types, None where one shows a sign of the modality's own."""
    signs = signs_in(modality)
    return [
        {column: entry for column, entry in cell.items() if signs.shown(entry) is None}
        if isinstance(cell, Mapping)
        else None
        if signs.shown(cell) is not None
        else cell
        for cell in cells
    ]


def read_cells(modality: Modality, cells: Cells, beside: FilesBeside | None) -> Parsed:
    """Parse cells with a modality, after opening the files that they name if the modality reads files."""
    numbers = isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf"
    if beside is None or not modality.reads_files or numbers:
        return modality.parse_column(cells)
    opened, faults = beside.opened(cells)
    parsed = modality.parse_column(opened)
    rows = {row: row for row in (*parsed.faults, *faults)}
    return Parsed(parsed.stored, parsed.present, Faults(rows, lambda row: faults.get(row) or parsed.faults[row]))
