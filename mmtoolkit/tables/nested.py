"""Turns an Arrow column of nested lists, such as pixels of pictures, into an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def numbers_of_lists(array: pa.Array) -> NDArray[Any] | list[NDArray[Any] | None] | None:
    """N cells that are lists of lists of numbers, all of one shape, as an array (N, ...); None for other cells.

    If some cells are null, the result is a list of N arrays, with None for those cells.
    """
    if not len(array) or not is_list(array.type) or not is_list(array.type.value_type):
        return None
    if not array.null_count:
        return _stacked(array)
    present = array.is_valid()
    stacked = _stacked(array.filter(present))
    if stacked is None:
        return None
    cells: list[NDArray[Any] | None] = [None] * len(array)
    for place, cell in zip(np.flatnonzero(present).tolist(), stacked, strict=True):
        cells[place] = cell
    return cells


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _stacked(array: pa.Array) -> NDArray[Any] | None:
    """Lists as an array, if none holds a null and all have one length at each depth; else None."""
    shape = [len(array)]
    while is_list(array.type):
        if array.null_count:
            return None
        lengths = pc.min_max(pc.list_value_length(array))
        length = lengths["max"].as_py()
        if not length or length != lengths["min"].as_py():
            return None
        shape.append(length)
        array = array.flatten()
    if array.null_count or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return None
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False).reshape(shape)
    return values
