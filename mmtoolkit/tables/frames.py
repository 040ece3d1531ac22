"""Tables in memory: pandas and polars frames, Arrow tables and dictionaries, read like tables in files."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables.fitting import as_known, combined, fitted, is_bytes, is_picture, is_text, plain, replaced
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Raw, Rows

Fills = Mapping[str, tuple[Sequence[int], Sequence[Any]]]
"""Column -> the rows to fill, and their cells."""
New: TypeAlias = pa.Array | list[Any] | NDArray[np.float64]
"""A new column: an Arrow array, cells of any type, or numbers with NaN for missing ones."""


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
    for library in (pandas, polars):
        if library is not None and isinstance(data, library.Series):
            raise UserError("a Series is one column, no table; make a table of it with to_frame()")
    if polars is not None and isinstance(data, polars.LazyFrame):
        raise UserError("a LazyFrame has no rows yet; give the frame that its collect() returns")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        if data.columns.nlevels > 1:
            raise UserError(
                "the columns of the frame have several levels; join them, as frame.columns = "
                "['_'.join(map(str, name)) for name in frame.columns]"
            )
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
            array = column if isinstance(column, pa.Array) else pa.array(list(map(plain, column)), from_pandas=True)
            table = table.append_column(name, array)
        return table, unfit

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        table = self.data.select(list(keep))
        for name, column in numbers.items():
            table = table.append_column(name, pa.array(column))
        return table


def _check_no_picture(name: str, cells: Sequence[Any] | New) -> None:
    if isinstance(cells, list) and any(map(is_picture, cells)):
        raise UserError(f"column {name}: an Arrow table holds no pictures; give images=FOLDER, in which to keep them")


class _Mapping(Frame):
    @cached_property
    def _keys(self) -> dict[str, Any]:
        return {str(key): key for key in self.data}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, self.data))

    def __len__(self) -> int:
        lengths = {name: len(cells) for name, cells in self.data.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"the columns of a table have one length; here {lengths}")
        return next(iter(lengths.values()), 0)

    def raw(self, name: str) -> Raw:
        cells = self.data[self._keys[name]]
        if isinstance(cells, (list, tuple)):
            return list(cells)
        array = np.asarray(cells)
        return pa.array(array, from_pandas=True) if array.ndim == 1 and array.dtype.kind in "biuf" else list(array)

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        columns, unfit = dict(self.data), {}
        for name, (places, new) in cells.items():
            key = self._keys[name]
            old = self.data[key]
            if isinstance(old, np.ndarray) and old.dtype.kind in "biuf":
                values = fitted(new, pa.from_numpy_dtype(old.dtype))
                columns[key], unfit[name] = old.copy(), values.null_count
                for place, cell in zip(places, values.to_pylist(), strict=True):
                    columns[key][place] = columns[key][place] if cell is None else cell
            else:
                columns[key] = old.astype(object) if isinstance(old, np.ndarray) else list(old)
                for place, cell in zip(places, as_known(self._columns[name], new), strict=True):
                    columns[key][place] = cell
        return columns | {name: _listed(column) for name, column in added.items()}, unfit

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        return {self._keys[name]: self.data[self._keys[name]] for name in keep} | dict(numbers)


def _listed(column: New) -> Any:
    if isinstance(column, pa.Array):
        return column.to_pylist()
    return column if isinstance(column, np.ndarray) else [plain(cell) for cell in column]


class _Pandas(Frame):
    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, self.data.columns))

    def __len__(self) -> int:
        return len(self.data)

    def _series(self, name: str) -> Any:
        return self.data.iloc[:, self.names.index(name)]

    def raw(self, name: str) -> Raw:
        column = self._series(name)
        dense = column.sparse.to_dense() if _is_sparse(column) else column
        if dense.dtype != object:  # else of any type, such as pictures
            try:
                array = pa.Array.from_pandas(dense)
            except (pa.ArrowException, TypeError, ValueError):  # such as complex numbers
                array = None
            if array is not None and not _is_foreign(array.type):
                return combined(array) if isinstance(array, pa.ChunkedArray) else array
        present = dense.notna().to_numpy()
        return [cell if here else None for cell, here in zip(dense, present, strict=True)]

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        frame, unfit = self.data.copy(), {}
        for name, (places, new) in cells.items():
            column, unfit[name] = self._filled(name, places, new)
            frame.isetitem(self.names.index(name), column)
        pandas = sys.modules["pandas"]
        series = {name: pandas.Series(_for_pandas(column), index=frame.index) for name, column in added.items()}
        answer = pandas.concat([frame, pandas.DataFrame(series)], axis=1) if series else frame
        answer.attrs = frame.attrs
        return answer, unfit

    def _filled(self, name: str, places: Sequence[int], new: Sequence[Any]) -> tuple[Any, int]:
        column, raw = self._series(name).copy(), self._columns[name]
        if any(map(is_picture, new)) or column.dtype == object or getattr(raw, "type", None) == pa.null():
            column = column.astype(object)
            for place, cell in zip(places, as_known(raw, new), strict=True):
                column.iat[place] = cell
            return column, 0
        if isinstance(raw, list):
            return _put(column, places, as_known(raw, new))
        if _is_sparse(column):
            dense, unfit = _put(column.sparse.to_dense(), places, fitted(new, raw.type).to_pylist())
            return dense.astype(column.dtype), unfit
        if isinstance(column.dtype, sys.modules["pandas"].ArrowDtype):
            array, unfit = replaced(raw, places, new)
            return _series_like(column, type(column.array)(array)), unfit
        kind = raw.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
            categories = [cell for cell in fitted(new, kind).unique().to_pylist() if cell is not None]
            column = column.cat.add_categories([cell for cell in categories if cell not in column.cat.categories])
        return _put(column, places, fitted(new, kind).to_pylist())

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        pandas = sys.modules["pandas"]
        new = pandas.DataFrame(dict(numbers), index=self.data.index)
        copied = self.data.iloc[:, [self.names.index(name) for name in keep]]
        return pandas.concat([copied, new], axis=1) if keep else new


def _is_sparse(column: Any) -> bool:
    return isinstance(column.dtype, sys.modules["pandas"].SparseDtype)


def _is_foreign(kind: pa.DataType) -> bool:
    """Whether Arrow stores cells of a type as something else, such as the periods and intervals of pandas."""
    return isinstance(kind.value_type if pa.types.is_dictionary(kind) else kind, pa.BaseExtensionType)


def _put(column: Any, places: Sequence[int], cells: Sequence[Any]) -> tuple[Any, int]:
    """A pandas column with cells at some places; its type stays, and so do the cells where a new one does not fit."""
    values, unfit = column.array.copy(), sum(cell is None for cell in cells)
    fits = [(place, cell) for place, cell in zip(places, cells, strict=True) if cell is not None]
    try:
        if fits:
            values[[place for place, _ in fits]] = [cell for _, cell in fits]
    except (TypeError, ValueError):
        for place, cell in fits:
            try:
                values[place] = cell
            except (TypeError, ValueError):
                unfit += 1
    return _series_like(column, values), unfit


def _series_like(column: Any, values: Any) -> Any:
    return sys.modules["pandas"].Series(values, index=column.index, name=column.name, copy=False)


def _for_pandas(column: New) -> Any:
    """A new column as pandas holds it: whole numbers, yes and no with holes in types that have holes."""
    if not isinstance(column, pa.Array):
        return _listed(column)
    if column.null_count and pa.types.is_boolean(column.type):
        return sys.modules["pandas"].array(column.to_pylist(), dtype="boolean")
    if column.null_count and pa.types.is_integer(column.type):
        nullable = str(column.type).replace("u", "U").replace("int", "Int")
        return sys.modules["pandas"].array(column.to_pylist(), dtype=nullable)
    return column.to_pylist() if is_text(column.type) else column.to_pandas().array


class _Polars(Frame):
    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data.columns)

    def __len__(self) -> int:
        return len(self.data)

    def raw(self, name: str) -> Raw:
        column = self.data.get_column(name)
        try:
            array = None if column.dtype == sys.modules["polars"].Object else column.to_arrow()
        except pa.ArrowException:  # such as Int128
            array = None
        if array is None:
            return list(column)
        return array.cast(pa.large_string()) if is_text(array.type) else array

    def with_filled(self, cells: Fills, added: Mapping[str, New]) -> tuple[Any, dict[str, int]]:
        polars = sys.modules["polars"]
        columns, unfit = [], {}
        for name, (places, new) in cells.items():
            old, kind = self._columns[name], self.data.schema[name]
            if isinstance(old, list) or any(map(is_picture, new)):
                whole = list(self.data.get_column(name))
                for place, cell in zip(places, as_known(whole, new), strict=True):
                    whole[place] = cell
                kind = polars.Object if any(map(is_picture, new)) else kind
                columns.append(polars.Series(name, whole, dtype=kind, strict=False))
                unfit[name] = columns[-1].null_count() - sum(cell is None for cell in whole)
                continue
            if kind == polars.Null:
                whole = pa.array([plain(cell) for cell in new])
                old, kind = old.cast(whole.type), None
            array, unfit[name] = replaced(old, places, new)
            column = whole = polars.from_arrow(array).alias(name)
            if kind is not None:
                column = whole.cast(kind, strict=False)  # an Enum holds its own texts only
                unfit[name] += column.null_count() - whole.null_count()
            columns.append(column)
        for name, cells_of in added.items():
            if isinstance(cells_of, pa.Array):
                columns.append(polars.from_arrow(cells_of).alias(name))
                continue
            pictures = any(map(is_picture, cells_of))
            columns.append(polars.Series(name, _listed(cells_of), dtype=polars.Object if pictures else None))
        return self.data.with_columns(columns), unfit

    def alongside(self, keep: Sequence[str], numbers: Mapping[str, NDArray[Any]]) -> Any:
        polars = sys.modules["polars"]
        return polars.DataFrame([*self.data.select(keep), *(polars.Series(n, column) for n, column in numbers.items())])
