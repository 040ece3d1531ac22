"""Some rows of a table, as its file holds them and as cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmtoolkit.tables.cells import Cells, is_nothing
from mmtoolkit.tables.gaps import has_gaps
from mmtoolkit.tables.nested import is_list, numbers_of_lists
from mmtoolkit.tables.signs import Signs, signs_of

Raw: TypeAlias = pa.Array | list[Any]
"""A column as its file holds it: an Arrow array, or plain values if the file has no types."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in order.

    Attributes:
        raw: column -> its values in the file, all of one length; null where a line of JSON lacks the key.
        missing: texts that mean a missing cell, as `Signs` reads them.
        lines: the text of each row, which holds more than its cells: in JSON, and in delimited text if asked for, with
            the empty lines below it; else empty.
        formulas: column -> the places of cells that a formula computes, which nobody may overwrite.
        part: the name of their file in a table of several files.
    """

    raw: Mapping[str, Raw]
    missing: Collection[str]
    lines: Sequence[str] = ()
    formulas: Mapping[str, Collection[int]] = field(default_factory=dict)
    part: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.raw.values()), ()))

    def cells(self, name: str) -> Cells:
        """A column as cells, None where missing."""
        column = self.raw[name]
        signs = signs_of(tuple(self.missing))
        return _of_values(column, signs) if isinstance(column, list) else _of_array(column, signs)

    def lists_with_gaps(self, name: str, places: Sequence[int]) -> dict[int, Any]:
        """The cells at some places of a column that are lists with gaps, or their text: place -> the cell."""
        column = self.raw[name]
        if isinstance(column, list):
            cells = [column[place] for place in places]
        else:
            cells = column.take(pa.array(places, pa.int64())).to_pylist() if _may_hold_lists(column.type) else []
        return {place: cell for place, cell in zip(places, cells, strict=False) if has_gaps(cell)}

    def signs(self, name: str) -> Counter[str]:
        """How many cells of a column are missing because they show a sign: sign -> count."""
        column, signs = self.raw[name], signs_of(tuple(self.missing))
        return signs.counts(_computable(column) if isinstance(column, pa.Array) else column) if signs else Counter()

    def take(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows where the mask (rows,) is true."""
        if mask.all():
            return self
        arrow_mask, places = pa.array(mask), np.flatnonzero(mask).tolist()
        return Rows(
            {
                name: [column[i] for i in places] if isinstance(column, list) else column.filter(arrow_mask)
                for name, column in self.raw.items()
            },
            self.missing,
            [self.lines[i] for i in places] if self.lines else (),
        )


def _of_values(values: Sequence[Any], signs: Signs) -> list[Any]:
    return [None if is_nothing(value) or signs.shown(value) is not None else value for value in values]


def _computable(array: pa.Array) -> pa.Array:
    """The same values in a type that Arrow has functions for: no dictionary or runs, no half precision."""
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.float32()) if pa.types.is_float16(array.type) else array


def _of_array(array: pa.Array, signs: Signs) -> Cells:
    array = _computable(array)
    kind = array.type
    if signs and (shown := signs.shown_in(array)) is not None:
        # A null scalar garbles the texts of a slice, up to Arrow 23.
        array = pc.if_else(shown, pa.nulls(len(array), kind), array)
    if pa.types.is_floating(kind):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return array.to_pylist() if array.null_count else array.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    if (values := numbers_of_lists(array)) is not None:
        return values
    if pa.types.is_temporal(kind):
        return signs.without(_times(array))
    return array.to_pylist()  # type: ignore[no-any-return]


def _may_hold_lists(kind: pa.DataType) -> bool:
    """Whether cells of a column may be lists, or texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_list(kind) or texts)


def _times(array: pa.Array) -> Cells:
    """Times as texts (ISO 8601), durations as they are; those beyond Python's range as counts, of times since 1970."""
    try:
        values = array.to_pylist()
    except (OverflowError, ValueError, KeyError, pa.ArrowException):  # beyond Python's years, or an unknown zone
        return array.cast(pa.int64()).cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    return [value.isoformat() if isinstance(value, (date, time)) else value for value in values]
