"""Which known cells are hidden from every method."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from filling.columns import Table

SHARE = 0.1  # of the known cells


def mask_of(table: Table, seed: int) -> NDArray[np.bool_]:
    """The hidden cells of a table's scored columns (N, scored columns) in one of its masks."""
    draw = np.random.default_rng([seed, zlib.crc32(table.name.encode())])
    return hide(table.values.notna().to_numpy(), SHARE, draw)


def hide(known: NDArray[np.bool_], share: float, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a share of the known cells; of each row at least one stays known, of each column two.

    Args:
        known: (N, K).
        share: of the known cells, from 0 to 1.
        draw: the source of chance.
    """
    left_in_row, left_in_column = known.sum(1), known.sum(0)
    hidden = np.zeros_like(known)
    wanted = round(share * int(known.sum()))
    for row, column in draw.permutation(np.argwhere(known)):
        if wanted == 0:
            break
        if left_in_row[row] > 1 and left_in_column[column] > 2:
            hidden[row, column] = True
            left_in_row[row] -= 1
            left_in_column[column] -= 1
            wanted -= 1
    return hidden
