"""Tables in memory: pandas and polars frames, Arrow tables and dictionaries, read like tables in files."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.fitting import combined, fitted, is_bytes, is_picture, is_text, plain, replaced
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Raw, Rows

Fills = Mapping[str, tuple[Sequence[int], Sequence[Any]]]
"""Column -> the rows to fill, and their cells."""
New = list[Any] | NDArray[np.float64]
"""A new column: its cells, or numbers with NaN for missing ones."""


class Frame(RowTable):
    """A table in memory. Its methods return new tables of the same kind and never change it.

    Args:
        data: the table.
        missing: texts that mean a missing cell.
    """

    def __init__(self, data: Any, missing: Collection[str]) -> None:
        self.data, self.missing = data, missing

    @abstractmethod
    def raw(self, name: str) -> Raw:
        """A column: an Arrow array with null where missing, or a list if its cells are of any type."""

    @abstractmethod
    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        """Fill cells and add columns: the new table, and column -> how many cells did not fit its type."""

    @abstractmethod
    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        """A table of some columns of this one, then new columns of numbers."""

    @cached_property
    def _columns(self) -> dict[str, Raw]:
        return {}

    def rows(self, size: int, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows in order, up to `size` at a time."""
        columns = {}
        for name in self.names if names is None else names:
            if name not in self._columns:
                self._columns[name] = self.raw(name)
            columns[name] = self._columns[name]
        for start in range(0, len(self), size):
            yield Rows({name: column[start : start + size] for name, column in columns.items()}, self.missing)


def is_table(data: Any) -> bool:
    """Whether an object may be a table: a frame, or a mapping of columns."""
    return isinstance(data, Mapping) or hasattr(data, "__arrow_c_stream__") or hasattr(data, "columns")


def frame_of(data: Any, missing: Collection[str] = ()) -> Frame:
    """A `Frame` for a table in memory of any kind.

    Args:
        data: a pandas or polars frame, an Arrow table, an object with `__arrow_c_stream__`, or a mapping of
            column -> cells of one length.
        missing: texts that mean a missing cell.

    Raises:
        UserError: the data is none of these, a column is no list, or two columns have one name.
    """
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        frame: Frame = _Pandas(data, missing)
    elif polars is not None and isinstance(data, polars.DataFrame):
        frame = _Polars(data, missing)
    elif isinstance(data, Mapping):
        for name, cells in data.items():
            if not hasattr(cells, "__len__") or isinstance(cells, str):
                raise UserError(f"the column {name!r} holds {cells!r}, no list; give its cells as a list")
        frame = _Mapping(data, missing)
    else:
        try:
            frame = _Arrow(pa.table(data), missing)
        except (TypeError, ValueError):
            raise UserError(
                f"a {type(data).__name__} is no table; give a pandas or polars frame, an Arrow table, or a dictionary "
                "of columns"
            ) from None
    if duplicate := next((name for name in frame.names if frame.names.count(name) > 1), None):
        raise UserError(f"two columns are named {duplicate!r}; rename one")
    return frame


class _Arrow(Frame):
    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data.column_names)

    def __len__(self) -> int:
        return int(self.data.num_rows)

    def raw(self, name: str) -> Raw:
        return combined(self.data.column(name))

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        table, unfit = self.data, {}
        for name, (places, new) in cells.items():
            place, old = self.names.index(name), combined(self.data.column(name))
            if old.type == pa.null():
                old = old.cast(pa.array([plain(cell) for cell in new]).type)
            if not is_bytes(old.type):
                _check_no_picture(name, new)
            column, unfit[name] = replaced(old, places, new)
            table = table.set_column(place, self.data.schema.field(name).with_type(old.type), column)
        for name, column in added.items():
            _check_no_picture(name, column)
            table = table.append_column(name, pa.array([plain(cell) for cell in column], from_pandas=True))
        return table, unfit

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        table = self.data.select(list(keep))
        for name, column in numbers.items():
            table = table.append_column(name, pa.array(column))
        return table


def _check_no_picture(name: str, cells: Sequence[Any] | NDArray[Any]) -> None:
    if any(map(is_picture, cells)):
        raise UserError(f"column {name}: an Arrow table holds no pictures; give images=FOLDER, in which to keep them")


class _Mapping(Frame):
    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data)

    def __len__(self) -> int:
        lengths = {name: len(cells) for name, cells in self.data.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"the columns of a table have one length; here {lengths}")
        return next(iter(lengths.values()), 0)

    def raw(self, name: str) -> Raw:
        cells = self.data[name]
        if isinstance(cells, (list, tuple)):
            return list(cells)
        array = np.asarray(cells)
        return pa.array(array, from_pandas=True) if array.ndim == 1 and array.dtype.kind in "biuf" else list(array)

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        columns, unfit = dict(self.data), {}
        for name, (places, new) in cells.items():
            old = self.data[name]
            if isinstance(old, np.ndarray) and old.dtype.kind in "biuf":
                values = fitted(new, pa.from_numpy_dtype(old.dtype))
                columns[name], unfit[name] = old.copy(), values.null_count
                for place, cell in zip(places, values.to_pylist(), strict=True):
                    columns[name][place] = columns[name][place] if cell is None else cell
            else:
                columns[name] = old.astype(object) if isinstance(old, np.ndarray) else list(old)
                for place, cell in zip(places, new, strict=True):
                    columns[name][place] = plain(cell)
        return columns | {name: _listed(column) for name, column in added.items()}, unfit

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        return {name: self.data[name] for name in keep} | dict(numbers)


def _listed(column: New) -> Any:
    return column if isinstance(column, np.ndarray) else [plain(cell) for cell in column]


class _Pandas(Frame):
    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data.columns)

    def __len__(self) -> int:
        return len(self.data)

    def raw(self, name: str) -> Raw:
        column = self.data[name]
        if column.dtype == object:  # of any type, such as pictures
            present = column.notna().to_numpy()
            return [cell if here else None for cell, here in zip(column, present, strict=True)]
        array = pa.Array.from_pandas(column)
        return combined(array) if isinstance(array, pa.ChunkedArray) else array

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        frame, unfit = self.data.copy(), {}
        for name, (places, new) in cells.items():
            frame[name], unfit[name] = self._filled(name, places, new)
        pandas = sys.modules["pandas"]
        series = {name: pandas.Series(_listed(column), index=frame.index) for name, column in added.items()}
        return (pandas.concat([frame, pandas.DataFrame(series)], axis=1) if series else frame), unfit

    def _filled(self, name: str, places: Sequence[int], new: Sequence[Any]) -> tuple[Any, int]:
        column, kind = self.data[name].copy(), getattr(self._columns.get(name), "type", None)
        if kind is None or kind == pa.null() or any(map(is_picture, new)):
            column = column.astype(object)
            for place, cell in zip(places, new, strict=True):
                column.iat[place] = plain(cell)
            return column, 0
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
            categories = [cell for cell in fitted(new, kind).unique().to_pylist() if cell is not None]
            column = column.cat.add_categories([cell for cell in categories if cell not in column.cat.categories])
        cells = fitted(new, kind).to_pylist()
        fits = [place for place, cell in zip(places, cells, strict=True) if cell is not None]
        if fits:
            column.iloc[fits] = [cell for cell in cells if cell is not None]
        return column, len(places) - len(fits)

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        pandas = sys.modules["pandas"]
        new = pandas.DataFrame(dict(numbers), index=self.data.index)
        return pandas.concat([self.data[list(keep)], new], axis=1) if keep else new


class _Polars(Frame):
    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data.columns)

    def __len__(self) -> int:
        return len(self.data)

    def raw(self, name: str) -> Raw:
        column = self.data.get_column(name)
        if column.dtype == sys.modules["polars"].Object:
            return list(column)
        array = column.to_arrow()
        return array.cast(pa.large_string()) if is_text(array.type) else array

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        polars = sys.modules["polars"]
        columns, unfit = [], {}
        for name, (places, new) in cells.items():
            old, kind = self._columns[name], self.data.schema[name]
            if isinstance(old, list) or any(map(is_picture, new)):
                whole = list(self.data.get_column(name))
                for place, cell in zip(places, new, strict=True):
                    whole[place] = plain(cell)
                columns.append(polars.Series(name, whole, dtype=polars.Object))
                continue
            if kind == polars.Null:
                whole = pa.array([plain(cell) for cell in new])
                old, kind = old.cast(whole.type), None
            array, unfit[name] = replaced(old, places, new)
            column = polars.from_arrow(array).alias(name)
            columns.append(column if kind is None else column.cast(kind))
        for name, cells_of in added.items():
            pictures = any(map(is_picture, cells_of))
            columns.append(polars.Series(name, _listed(cells_of), dtype=polars.Object if pictures else None))
        return self.data.with_columns(columns), unfit

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        polars = sys.modules["polars"]
        return polars.DataFrame([*self.data.select(keep), *(polars.Series(n, column) for n, column in numbers.items())])
