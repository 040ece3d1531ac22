"""Reading the cells of a column with a modality."""

from __future__ import annotations

import numpy as np

from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.tables.beside import FilesBeside
from mmtoolkit.tables.cells import Cells


def read_cells(modality: Modality, cells: Cells, beside: FilesBeside | None) -> Parsed:
    """Parse cells with a modality, after opening the files that they name if the modality reads files."""
    numbers = isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf"
    if beside is None or not modality.reads_files or numbers:
        return modality.parse_column(cells)
    opened, faults = beside.opened(cells)
    parsed = modality.parse_column(opened)
    return Parsed(parsed.stored, parsed.present, {**parsed.faults, **faults})
