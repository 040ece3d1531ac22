"""Fits computed cells to the types of a table's columns."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from mmtoolkit.tables.gaps import in_place_of
from mmtoolkit.tables.nested import is_list
from mmtoolkit.tables.rows import Raw

_DIGITS = 9  # a float32 has no more
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_SMALL, _LARGE = 12, 21  # digits after and before the decimal point, beyond which a number has an exponent
_NO, _YES = {"0", "0.0", "false", "no", "f", "n", "-1", "-1.0"}, {"1", "1.0", "true", "yes", "t", "y"}


def number_text(number: float) -> str:
    """A computed number as text, with significant digits only.

    A float32 has the fewest digits that give it back, any other number has nine. Networks compute in float32: more
    digits would be noise.
    """
    if not math.isfinite(number):
        return str(number)
    with np.errstate(over="ignore"):
        short = np.float32(number)
    text = str(short) if float(short) == number else f"{number:.{_DIGITS}g}"
    text = positional(text).removesuffix(".0")
    return "0" if text == "-0" else text


def positional(text: str) -> str:
    """A number as text without an exponent; one that is very large or small keeps it."""
    if "e" not in text:
        return text
    number = Decimal(text)
    return f"{number:f}" if -_SMALL <= number.adjusted() < _LARGE else text


def plain(cell: Any) -> Any:
    """A computed cell as plain Python data, a float with significant digits only; other objects stay as they are."""
    if isinstance(cell, (list, tuple)):
        return [plain(element) for element in cell]
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float):
        return float(number_text(cell))
    return cell


def as_text(cell: Any) -> str:
    """A cell as text files hold it: a number in the fewest digits that give it back, nested data as JSON."""
    match cell:
        case None:
            return ""
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case float():
            return positional(repr(cell))
        case int() | Decimal():
            return str(cell)
        case date() | datetime() | time():
            return cell.isoformat()
    return json_text(cell)


def json_text(cell: Any) -> str:
    """A cell as JSON. A number that is not finite becomes null.

    Raises:
        ValueError: the cell holds an object that JSON has no form for, such as bytes.
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
    """The type of a new column for cells like this one; text if Arrow has no type for it."""
    try:
        return pa.array([plain(cell)]).type
    except (pa.ArrowException, TypeError, ValueError):  # such as a picture: the column holds its path
        return pa.string()


def fitted(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Cells in the type of a column, null where a cell does not fit.

    A column of whole numbers rounds its cells. Text becomes a number, or yes or no, if the column holds these.
    """
    return pa.array([_fit(cell, kind) for cell in cells], kind)


def _fit(cell: Any, kind: pa.DataType) -> Any:
    """A cell as a value for `pa.array` of the type, or None."""
    if cell is None:
        return None
    try:
        if is_text(kind):
            cell = plain(cell)
            return number_text(cell) if isinstance(cell, float) else as_text(cell)
        if is_list(kind):
            return _fit_list(cell, kind)
        if pa.types.is_boolean(kind):
            word = as_text(cell).lower()
            return word in _YES if word in _YES | _NO else None
        if isinstance(cell, str) and not _PLAIN_NUMBER.fullmatch(cell) and _is_number(kind):
            return None  # 007 would read back as another text
        if pa.types.is_integer(kind):
            number = Decimal(cell) if isinstance(cell, str) else cell
            if isinstance(cell, str) and number != round(number):
                return None  # so would 1.5
            least, most = _bounds(kind)
            return min(max(round(number), least), most)
        if pa.types.is_floating(kind):
            return plain(float(cell))
        if pa.types.is_decimal(kind):
            cell = Decimal(str(plain(cell))).quantize(Decimal(1).scaleb(-kind.scale))
        elif isinstance(cell, str):
            if is_bytes(kind):  # a cast would store its letters
                return None
            return time.fromisoformat(cell) if pa.types.is_time(kind) else pa.array([cell]).cast(kind)[0].as_py()
        pa.array([cell], kind)
    except (pa.ArrowException, ArithmeticError, TypeError, ValueError):
        return None
    return cell


def _fit_list(cell: Any, kind: pa.DataType) -> list[Any] | None:
    """A list as a value of a column of lists, or None."""
    if isinstance(cell, str):
        return None
    elements = [_fit(element, kind.value_type) for element in cell]
    if any(element is None for element in elements):
        return None
    pa.array([elements], kind)  # raises if the lists of the type have another length
    return elements


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    limits = np.iinfo(kind.to_pandas_dtype())
    return int(limits.min), int(limits.max)


def as_known(known: Sequence[Any], cells: Sequence[Any]) -> list[Any]:
    """Computed cells for a column of any type: a text becomes the known object that has this text, such as a date.

    Numbers and texts are no such objects: a modality writes them as the column does.
    """
    texts = any(isinstance(cell, str) for cell in cells)
    plain_types = (str, bool, int, float, type(None))
    by_text = {str(cell): cell for cell in known if texts and not isinstance(cell, plain_types)}
    return [by_text.get(cell, cell) if isinstance(cell, str) else plain(cell) for cell in cells]


def replaced(
    column: Raw, places: Sequence[int], cells: Sequence[Any], known: pa.DataType | None = None
) -> tuple[Raw, int]:
    """Put cells at some places of a column. Where the old cell is a list with gaps, only the gaps change.

    Args:
        column: one of `Rows.raw`; it does not change.
        places: (n,), each once.
        cells: (n,).
        known: the type that holds all values of a column of plain values, if there is one.

    Returns:
        The new column, and how many cells did not fit its type; at their places the old cells stay.
    """
    if isinstance(column, list):
        changed, unfit = list(column), 0
        new = cells if known is None or pa.types.is_null(known) else fitted(cells, known).to_pylist()
        for place, cell in zip(places, new, strict=True):
            filled = in_place_of(changed[place], plain(cell))
            unfit += filled is None
            changed[place] = changed[place] if filled is None else filled
        return changed, unfit
    kind = column.type
    if pa.types.is_dictionary(kind):
        values, unfit = replaced(column.dictionary_decode(), places, cells)
        return _encoded(values, kind), unfit
    if pa.types.is_run_end_encoded(kind):
        values, unfit = replaced(pc.run_end_decode(column), places, cells)
        return pc.run_end_encode(values, run_end_type=kind.run_end_type), unfit
    if (same := _without_views(kind)) != kind:  # Arrow selects no views
        values, unfit = replaced(column.cast(same), places, cells)
        assert isinstance(values, pa.Array)
        return values.cast(kind), unfit
    fits = [_fit(cell, kind) for cell in cells]
    if is_list(kind) or is_text(kind):
        old = column.take(pa.array(places, pa.int64())).to_pylist()
        fits = list(map(in_place_of, old, fits))
    unfit = sum(cell is None for cell in fits)
    if unfit == len(fits):  # Arrow cannot even select cells of some types, such as unions
        return column, unfit
    indices = np.arange(len(column))
    stays = np.array([cell is None for cell in fits])
    indices[np.asarray(places, dtype=np.int64)[~stays]] = len(column) + np.flatnonzero(~stays)
    return pa.concat_arrays([column, pa.array(fits, kind)]).take(pa.array(indices)), unfit


def _without_views(kind: pa.DataType) -> pa.DataType:
    """The type of the same texts or bytes, one after the other."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else kind


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
    """Whether a cell is a picture in memory, which no table file can hold."""
    return isinstance(cell, Image.Image)
