"""A table as a user has it in a file, and which of its columns are scored, as classes or as numbers."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL"})
"""Texts that readers of CSV take for a missing cell."""

_FEW = 12  # up to so many distinct values are classes, numbers or not
_MANY = 50  # words with more distinct values are dates, times, names or free text


@dataclass(frozen=True)
class Table:
    """A table and its scored columns.

    Attributes:
        name: PACKAGE/NAME.
        texts: (N, all columns) the cells as a file has them, "" where they are missing.
        values: (N, scored columns) classes as texts in one spelling, numbers as floats; None or NaN where unknown.
        numbers: the scored columns that hold numbers; the others hold classes.
    """

    name: str
    texts: pd.DataFrame
    values: pd.DataFrame
    numbers: frozenset[str]


def read_table(name: str, frame: pd.DataFrame) -> Table:
    """A table with its columns judged.

    A column of 2 to 12 distinct values holds classes, as does one of words with up to 50 distinct values that come
    twice or more on average. Other columns of numbers hold numbers. What is left (names, dates, free text, columns with
    one value) stays in the file, is never hidden and is not scored.
    """
    texts = pd.DataFrame({str(column): _texts(frame[column]) for column in frame}).reset_index(drop=True)
    scored, numbers = [], set()
    for column in texts:
        known = [text for text in texts[column] if text.strip() not in MISSING]
        distinct = len({spelling(text) for text in known})
        if all(_number(text) is not None for text in known) and distinct > _FEW:
            numbers.add(column)
            scored.append(column)
        elif 2 <= distinct <= _FEW or (distinct <= _MANY and 2 <= distinct <= len(known) / 2):
            scored.append(column)
    return Table(name, texts, read_values(texts[scored], numbers), frozenset(numbers))


def read_values(texts: pd.DataFrame, numbers: Collection[str]) -> pd.DataFrame:
    """The values of cells in a file: floats in the columns of numbers, texts in one spelling in the others.

    A cell that is missing, or no number in a column of numbers, is NaN or None.
    """
    columns: dict[str, pd.Series] = {}
    for column in texts:
        cells = [text.strip() for text in texts[column]]
        if column in numbers:
            values = [None if text in MISSING else _number(text) for text in cells]
            columns[column] = pd.Series(values, index=texts.index, dtype="float64")
        else:
            words = [None if text in MISSING else spelling(text) for text in cells]
            columns[column] = pd.Series(words, index=texts.index, dtype="object")
    return pd.DataFrame(columns, index=texts.index)


def spelling(text: str) -> str:
    """One spelling for all ways in which files write a value: 1, 1.0 and 1.00 are the same, as are a and ` a `."""
    number = _number(text)
    return text.strip() if number is None else f"{number:.12g}"


def _number(text: str) -> float | None:
    """The finite number that a text is."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _texts(column: pd.Series) -> list[str]:
    """The cells of a column as a file has them: whole numbers as such, also where holes made them floats."""
    cells = column.tolist()
    known = [cell for cell in cells if not pd.isna(cell)]
    whole = all(isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 for cell in known)
    return ["" if pd.isna(cell) else str(int(cell) if whole else cell) for cell in cells]
