"""A dictionary of columns: lists, arrays, masked arrays and tensors, or the columns of other libraries."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.fitting import as_known, combined, fitted
from mmtoolkit.tables.frame import Fills, Frame, New, listed
from mmtoolkit.tables.gaps import in_place_of
from mmtoolkit.tables.rows import Raw

_NUMBERS = "biuf"
_TEXTS_AND_TIMES = "UmM"


class ColumnsFrame(Frame):
    """A mapping from name to column.

    Args:
        data: the mapping.
        missing: texts that mean a missing cell.
        parts: name -> a frame of the column alone, for columns of pandas, polars and Arrow.
    """

    def __init__(self, data: Mapping[Any, Any], missing: Collection[str], parts: Mapping[str, Frame]) -> None:
        super().__init__(data, missing)
        self._parts = parts

    @cached_property
    def _keys(self) -> dict[str, Any]:
        return {str(key): key for key in self.data}

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, as texts."""
        return tuple(map(str, self.data))

    def __len__(self) -> int:
        lengths = {name: len(cells) for name, cells in self.data.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"the columns of a table have one length; here {lengths}")
        return next(iter(lengths.values()), 0)

    def raw(self, name: str) -> Raw:
        """A column: an Arrow array if it is an array of numbers, else a list."""
        if name in self._parts:
            return self._parts[name].values(name)
        cells = self.data[self._keys[name]]
        if isinstance(cells, (list, tuple)):
            return list(cells)
        array, hidden = _array(cells)
        if array.ndim == 1 and array.dtype.kind in _NUMBERS:
            return pa.array(array, mask=hidden, from_pandas=True)
        values = [row.tolist() for row in cells] if _is_partly_masked(cells, hidden) else list(array)
        return values if hidden is None else [None if h else v for v, h in zip(values, hidden, strict=True)]

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        """Fill cells and add columns; columns in which nothing is filled are the owner's own."""
        columns, unfit = dict(self.data), {}
        for name, (places, new) in cells.items():
            if len(places):
                columns[self._keys[name]], unfit[name] = self._filled(name, places, new)
        return columns | {name: listed(column) for name, column in added.items()}, unfit

    def _filled(self, name: str, places: Sequence[int], new: Sequence[Any]) -> tuple[Any, int]:
        """A copy of a column with cells at some places, and how many do not fit."""
        old = self.data[self._keys[name]]
        if name in self._parts:
            table, unfit_of = self._parts[name].with_filled({name: (places, new)}, {})
            return _like(old, table[name]), unfit_of[name]
        raw = self.values(name)
        if isinstance(raw, pa.Array):
            new, column = fitted(new, raw.type).to_pylist(), _copy(old)
        elif isinstance(old, np.ndarray) and old.dtype.kind in _TEXTS_AND_TIMES:
            new, column = as_known(raw, new), old.copy()
            if old.dtype.kind == "U":  # a longer text would be cut
                column = column.astype(f"U{max(old.dtype.itemsize // 4, *(len(str(cell)) for cell in new))}")
        else:
            new = as_known(raw, new)
            column = _copy(old) if _holds_floats(old) else _of_objects(old)
        unfit = 0
        for place, cell in zip(places, new, strict=True):
            filled = in_place_of(raw[place], cell) if isinstance(raw, list) else cell
            try:
                if filled is not None:
                    column[place] = sys.modules["torch"].as_tensor(filled) if _is_tensor(column) else filled
                unfit += filled is None
            except (TypeError, ValueError):  # such as a text among days
                unfit += 1
        return column, unfit

    def alongside(self, keep: Sequence[str], new: Mapping[str, NDArray[Any] | list[Any]]) -> Any:
        """A dictionary of some columns of this one, then new columns."""
        return {self._keys[name]: self.data[self._keys[name]] for name in keep} | dict(new)


def _array(cells: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A column as an array, and which cells a mask hides, (n,); None without a mask."""
    if isinstance(cells, np.ma.MaskedArray):
        hidden = np.asarray(np.ma.getmaskarray(cells)).reshape(len(cells), -1)
        return np.ma.getdata(cells), np.asarray(hidden.all(axis=1))
    if _is_tensor(cells):
        tensor = cells.detach().cpu()
        try:
            return tensor.numpy(), None
        except TypeError:  # such as bfloat16
            return tensor.float().numpy(), None
    return np.asarray(cells), None


def _is_partly_masked(cells: Any, hidden: NDArray[np.bool_] | None) -> bool:
    """Whether a mask hides some numbers of a cell, and not all of them."""
    if hidden is None or np.ma.getdata(cells).ndim == 1:
        return False
    return bool(np.ma.getmaskarray(cells)[~hidden].any())


def _holds_floats(column: Any) -> bool:
    """Whether a column is an array or a tensor of floats, in which a cell has several."""
    if _is_tensor(column):
        return bool(column.is_floating_point())
    return isinstance(column, np.ndarray) and column.dtype.kind == "f"


def _of_objects(column: Any) -> Any:
    """A copy of a column that can hold cells of any type."""
    return column.astype(object) if isinstance(column, np.ndarray) else list(column)


def _is_tensor(cells: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(cells, torch.Tensor)


def _copy(column: Any) -> Any:
    """A copy of a column of numbers, whose cells may be set."""
    if _is_tensor(column):
        return column.detach().clone()
    if not isinstance(column, np.ndarray):
        return list(column)
    copied = column.copy()
    return copied.soften_mask() if isinstance(copied, np.ma.MaskedArray) else copied


def _like(old: Any, new: Any) -> Any:
    """A filled column of a frame as the kind of column that its owner gave."""
    if isinstance(old, pa.Array):
        return combined(new)
    if hasattr(old, "name"):  # a Series
        return new.rename(old.name)
    return new.array if hasattr(new, "array") else new
