"""The types of columns: by name, and as the cells of a column without a type ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mmtoolkit.tables.fitting import is_text

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")  # 01 is a code
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_DECIMAL_TYPE = re.compile(r"decimal(128|256)\(([0-9]+), (-?[0-9]+)\)")
_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=(.+)\]")


def column_type(kind: pa.DataType | None, cells: Sequence[Any], has_null: bool) -> pa.DataType | None:
    """The type of a column of single values; None if it has none.

    Args:
        kind: the Arrow type in its table; None if its values are of any type.
        cells: distinct cells of the column.
        has_null: whether texts are values. Otherwise all cells are texts, and ask for a type: whole numbers, decimals,
            or true and false. Other words, such as yes and no, stay words.
    """
    if kind is None:
        try:
            kind = pa.array(cells).type
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return None
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return None
    return kind if has_null or not is_text(kind) else _asked_for(cells)


def _asked_for(texts: Sequence[str]) -> pa.DataType | None:
    if not texts:
        return None
    if all(_WHOLE.fullmatch(text) for text in texts):
        return pa.int64()
    if all(_DECIMAL.fullmatch(text) for text in texts):
        return pa.float64()
    return pa.bool_() if {text.lower() for text in texts} <= {"true", "false"} else None


def type_named(name: str) -> pa.DataType | None:
    """The type whose text is this, such as int64, date32[day] or timestamp[us, tz=UTC]; None if there is none."""
    if match := _DECIMAL_TYPE.fullmatch(name):
        return (pa.decimal128 if match[1] == "128" else pa.decimal256)(int(match[2]), int(match[3]))
    if match := _ZONED.fullmatch(name):
        return pa.timestamp(match[1], match[2])
    try:
        return pa.type_for_alias(name)
    except ValueError:
        return None
