"""Tables in memory: pandas and polars frames, Arrow tables and dictionaries, read like tables in files."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence, Set
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import shorten
from mmtoolkit.tables.columns_frame import ColumnsFrame
from mmtoolkit.tables.fitting import as_known, combined, fitted, is_picture, is_text, plain, replaced
from mmtoolkit.tables.frame import Fills, Frame, New, listed
from mmtoolkit.tables.gaps import in_place_of
from mmtoolkit.tables.rows import Raw


def is_table(data: Any) -> bool:
    """Whether an object may be a table: a frame, or a mapping of columns."""
    streams = hasattr(data, "__arrow_c_stream__") and not hasattr(data, "chunks") and not hasattr(data, "dtype")
    return isinstance(data, Mapping) or streams or hasattr(data, "columns")


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
            if not _is_column(cells):
                raise UserError(f"the column {name!r} is {shorten(repr(cells), 40)}, no list; give its cells as a list")
        alone = {str(name): _alone(str(name), cells) for name, cells in data.items()}
        parts = {name: frame_of(table, missing) for name, table in alone.items() if table is not None}
        frame = ColumnsFrame(data, missing, parts)
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


def _is_column(cells: Any) -> bool:
    """Whether an object lists the cells of a column."""
    unordered = isinstance(cells, (str, bytes, Mapping, Set))
    return hasattr(cells, "__len__") and not unordered and getattr(cells, "ndim", 1) > 0


def _alone(name: str, cells: Any) -> Any:
    """A column of pandas, polars or Arrow as a table of its own; None for all other columns."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(cells, (pandas.Series, pandas.api.extensions.ExtensionArray)):
        return pandas.DataFrame({name: cells})
    if polars is not None and isinstance(cells, polars.Series):
        return polars.DataFrame({name: cells})
    return pa.table({name: cells}) if isinstance(cells, (pa.Array, pa.ChunkedArray)) else None


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
            _check_no_picture(name, new)
            column, unfit[name] = replaced(old, places, new)
            table = table.set_column(place, self.data.schema.field(name).with_type(old.type), column)
        for name, column in added.items():
            _check_no_picture(name, column)
            table = table.append_column(name, column if isinstance(column, pa.Array) else _with_nulls(column))
        return table, unfit

    def alongside(self, keep: Sequence[str], new: Mapping[str, NDArray[Any] | list[Any]]) -> Any:
        table = self.data.select(list(keep))
        for name, column in new.items():
            table = table.append_column(name, pa.array(column, from_pandas=True))  # NaN becomes null
        return table


def _with_nulls(column: Any) -> pa.Array:
    """A new column of plain cells, or of numbers with NaN for missing ones."""
    kind = pa.float64() if isinstance(column, np.ndarray) else None
    return pa.array(listed(column), kind, from_pandas=True)


def _check_no_picture(name: str, cells: Sequence[Any] | New) -> None:
    if isinstance(cells, list) and any(map(is_picture, cells)):
        raise UserError(f"column {name}: an Arrow table holds no pictures; give images=FOLDER, in which to keep them")


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
        return self._beside(frame, pandas.DataFrame(series)) if series else frame, unfit

    def _beside(self, frame: Any, new: Any) -> Any:
        """A frame with new columns after its own, and all that the owner's frame has besides columns."""
        names = self.data.columns.names
        answer = sys.modules["pandas"].concat([frame, new], axis=1).rename_axis(columns=names)
        return answer.__finalize__(self.data)

    def _filled(self, name: str, places: Sequence[int], new: Sequence[Any]) -> tuple[Any, int]:
        column, raw = self._series(name).copy(), self.values(name)
        if any(map(is_picture, new)) or column.dtype == object or getattr(raw, "type", None) == pa.null():
            column = column.astype(object)
            unfit = 0
            for place, cell in zip(places, as_known(raw, new), strict=True):
                filled = in_place_of(column.iat[place], cell)
                unfit += filled is None
                column.iat[place] = column.iat[place] if filled is None else filled
            return column, unfit
        if isinstance(raw, list):
            return _put(column, places, as_known(raw, new))
        if self._has_no_value(column) and fitted(new, raw.type).null_count:
            column = column.astype(object)
            for place, cell in zip(places, new, strict=True):
                column.iat[place] = plain(cell)
            return column.infer_objects(), 0
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

    @staticmethod
    def _has_no_value(column: Any) -> bool:
        """Whether a column is what pandas makes of cells without any value: floats, all of them NaN."""
        return column.dtype == np.float64 and bool(column.isna().all())

    def alongside(self, keep: Sequence[str], new: Mapping[str, NDArray[Any] | list[Any]]) -> Any:
        columns = sys.modules["pandas"].DataFrame(dict(new), index=self.data.index)
        return self._beside(self.data.iloc[:, [self.names.index(name) for name in keep]], columns)


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
        return listed(column)
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
            old, kind = self.values(name), self.data.schema[name]
            if isinstance(old, list) or any(map(is_picture, new)):
                whole = list(self.data.get_column(name))
                unfit[name] = 0
                for place, cell in zip(places, as_known(whole, new), strict=True):
                    filled = in_place_of(whole[place], cell)
                    unfit[name] += filled is None
                    whole[place] = whole[place] if filled is None else filled
                kind = polars.Object if any(map(is_picture, new)) else kind
                columns.append(polars.Series(name, whole, dtype=kind, strict=False))
                unfit[name] += columns[-1].null_count() - sum(cell is None for cell in whole)
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
            columns.append(polars.Series(name, listed(cells_of), dtype=polars.Object if pictures else None))
        return self.data.with_columns(columns), unfit

    def alongside(self, keep: Sequence[str], new: Mapping[str, NDArray[Any] | list[Any]]) -> Any:
        polars = sys.modules["polars"]
        columns = [polars.Series(name, column, nan_to_null=True) for name, column in new.items()]
        return polars.DataFrame([*self.data.select(keep), *columns])
