"""Cells that were made, brought into the form that a column of a table holds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from mmtoolkit.tables.rows import Raw

_DIGITS = 9  # what a float32 holds, at most
_NO, _YES = {"0", "0.0", "false", "no", "f", "n", "-1", "-1.0"}, {"1", "1.0", "true", "yes", "t", "y"}


def number_text(number: float) -> str:
    """A number that was computed, in the fewest digits that tell it.

    Those of float32 where it is one, else nine: networks compute no more, and the rest would be noise.
    """
    if not math.isfinite(number):
        return str(number)
    with np.errstate(over="ignore"):
        short = np.float32(number)
    text = str(short) if float(short) == number else f"{number:.{_DIGITS}g}"
    return text.removesuffix(".0")


def plain(cell: Any) -> Any:
    """A cell that was made as plain data, its number without noise; what is no number, text or yes and no stays."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float):
        return float(number_text(cell))
    return cell


def as_text(cell: Any) -> str:
    """A cell as a file of text holds it: a number in the fewest digits that give it back, what is nested as JSON."""
    match cell:
        case None:
            return ""
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case float():
            return repr(cell)
        case int() | Decimal():
            return str(cell)
        case date() | datetime() | time():
            return cell.isoformat()
    return json_text(cell)


def json_text(cell: Any) -> str:
    """A cell as JSON, which has no number that is not finite, and no bytes.

    Raises:
        ValueError: it holds something that JSON has no form for.
    """
    if isinstance(cell, float) and not math.isfinite(cell):
        return "null"
    try:
        return json.dumps(cell, ensure_ascii=False, default=_for_json)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _for_json(cell: Any) -> Any:
    if isinstance(cell, (date, datetime, time)):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return str(cell)
    if isinstance(cell, np.generic):
        return cell.item()
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    raise TypeError(f"{type(cell).__name__} cannot be written as text")


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def type_of(cell: Any) -> pa.DataType:
    """The type of a new column for cells like this one; text where there is no other."""
    try:
        return pa.array([plain(cell)]).type
    except (pa.ArrowException, TypeError, ValueError):  # such as a picture, whose path stands in the cell
        return pa.string()


def fitted(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Cells in the type of a column, null where a cell does not fit into it.

    A number is rounded in a column of whole numbers, and text that tells a number or yes or no becomes one where the
    column holds such.
    """
    values = [None if cell is None else _fit(cell, kind) for cell in cells]
    return pa.array(values, kind)


def _fit(cell: Any, kind: pa.DataType) -> Any:
    """A cell as what `pa.array` of the type takes, or None."""
    try:
        if is_text(kind):
            cell = plain(cell)
            return number_text(cell) if isinstance(cell, float) else as_text(cell)
        if pa.types.is_boolean(kind):
            word = as_text(cell).lower()
            return word in _YES if word in _YES | _NO else None
        if pa.types.is_integer(kind):
            number = Decimal(cell) if isinstance(cell, str) else cell
            least, most = _bounds(kind)
            return min(max(round(number), least), most)
        if pa.types.is_floating(kind):
            return plain(float(cell))
        if pa.types.is_decimal(kind):
            cell = Decimal(str(plain(cell))).quantize(Decimal(1).scaleb(-kind.scale))
        elif isinstance(cell, str):
            return pa.array([cell]).cast(kind)[0].as_py()
        pa.array([cell], kind)
    except (pa.ArrowException, ArithmeticError, TypeError, ValueError):
        return None
    return cell


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    found = np.iinfo(kind.to_pandas_dtype())
    return int(found.min), int(found.max)


def replaced(
    column: Raw, places: Sequence[int], cells: Sequence[Any], known: pa.DataType | None = None
) -> tuple[Raw, int]:
    """A column with cells put at some places, and how many of them did not fit into its type: these stay as they were.

    Args:
        column: as `Rows.raw` has it; it is not changed.
        places: (n,), each once.
        cells: (n,).
        known: of a column of plain values, the type that holds them all, where there is one.
    """
    if isinstance(column, list):
        changed, unfit = list(column), 0
        new = cells if known is None or pa.types.is_null(known) else fitted(cells, known).to_pylist()
        for place, cell in zip(places, new, strict=True):
            unfit += cell is None
            changed[place] = changed[place] if cell is None else plain(cell)
        return changed, unfit
    kind = column.type
    if pa.types.is_dictionary(kind):
        values, unfit = replaced(column.dictionary_decode(), places, cells)
        return _encoded(values, kind), unfit
    new = fitted(cells, kind)
    unfit = int(pc.sum(pc.is_null(new)).as_py() or 0)
    indices = np.arange(len(column))
    fits = np.asarray(new.is_valid())
    indices[np.asarray(places, dtype=np.int64)[fits]] = len(column) + np.flatnonzero(fits)
    return pa.concat_arrays([column, new]).take(pa.array(indices)), unfit


def _encoded(values: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    """Values as a dictionary of this type."""
    encoded = values.dictionary_encode()
    indices = encoded.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary.cast(kind.value_type), ordered=kind.ordered)


def combined(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return whole


def is_picture(cell: Any) -> bool:
    """Whether a cell is a picture in memory, which a file of rows has no form for."""
    return isinstance(cell, Image.Image)
