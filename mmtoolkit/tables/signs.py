"""Signs: texts that mean a missing cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmtoolkit.tables.cells import Cells

# Codes such as 09 are no numbers.
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?")


class Signs:
    """Texts that mean a missing cell.

    A cell shows a sign if its text is the sign, or if both are the same number: the sign -99 takes the cells -99, -99.0
    and "-99.0", but not "-099", which is a code.

    Args:
        texts: the signs.
    """

    def __init__(self, texts: Collection[str]) -> None:
        self.texts = frozenset(texts)
        self._numbers = {text: Decimal(text) for text in sorted(self.texts) if _NUMBER.fullmatch(text)}
        self._spellings = {text: re.compile(_spelling(number)) for text, number in self._numbers.items()}

    def __bool__(self) -> bool:
        return bool(self.texts)

    def shown(self, cell: Any) -> str | None:
        """The sign that a cell shows, if it shows one."""
        if isinstance(cell, str) and cell in self.texts:
            return cell
        if not self._numbers:
            return None
        if isinstance(cell, str):
            return next((sign for sign, spelling in self._spellings.items() if spelling.fullmatch(cell)), None)
        if isinstance(cell, np.generic):
            cell = cell.item()
        if isinstance(cell, float):
            return next((sign for sign, number in self._numbers.items() if cell in _floats(number)), None)
        if isinstance(cell, (int, Decimal)) and not isinstance(cell, bool):
            return next((sign for sign, number in self._numbers.items() if cell == number), None)
        return None

    def shown_in(self, array: pa.Array) -> pa.BooleanArray | None:
        """Which cells of a column show a sign, (n,), false for null; None where no cell of such a type can."""
        kind = array.type
        if _is_text(kind):
            shown = pc.is_in(array, value_set=pa.array(sorted(self.texts), kind))
            for spelling in self._spellings.values():
                # A null stays null in a match, and is no sign.
                same = pc.fill_null(pc.match_substring_regex(array, f"^(?:{spelling.pattern})$"), False)
                shown = pc.or_(shown, same)
            return shown
        if not self._numbers:
            return None
        if pa.types.is_integer(kind):
            least, most = np.iinfo(kind.to_pandas_dtype()).min, np.iinfo(kind.to_pandas_dtype()).max
            whole = [int(n) for n in self._numbers.values() if n == n.to_integral_value() and least <= n <= most]
            return pc.is_in(array, value_set=pa.array(whole, kind))
        if pa.types.is_floating(kind):
            values = np.array([float(number) for number in self._numbers.values()]).astype(kind.to_pandas_dtype())
            return pc.is_in(array, value_set=pa.array(values, kind))
        if pa.types.is_decimal(kind):
            return pa.array([self.shown(cell) is not None for cell in array.to_pylist()], pa.bool_())
        return None

    def without(self, cells: Cells) -> Cells:
        """Cells, None where one shows a sign."""
        if not self.texts or not len(cells):
            return cells
        if isinstance(cells, np.ndarray):
            if cells.ndim > 1 or (cells.dtype.kind in "biuf" and not self._in_numbers(cells).any()):
                return cells
            cells = cells.tolist()
        return [None if self.shown(cell) is not None else cell for cell in cells]

    def _in_numbers(self, cells: NDArray[Any]) -> NDArray[np.bool_]:
        shown = np.zeros(len(cells), dtype=bool)
        for number in self._numbers.values() if cells.dtype.kind != "b" else ():
            if cells.dtype.kind == "f":
                shown |= np.isin(cells, list(_floats(number)))
            elif number == int(number):
                shown |= cells == int(number)
        return shown

    def counts(self, cells: Cells | pa.Array) -> Counter[str]:
        """How often each sign occurs in a column; signs that do not occur are left out."""
        pairs: Iterable[tuple[Any, int]]
        if isinstance(cells, pa.Array):
            shown = self.shown_in(cells)
            if shown is None:
                return Counter()
            values = cells.filter(shown).value_counts()
            pairs = zip(values.field("values").to_pylist(), values.field("counts").to_pylist(), strict=True)
        elif isinstance(cells, np.ndarray) and cells.ndim > 1:
            return Counter()
        else:
            pairs = ((cell, 1) for cell in cells)
        counts: Counter[str] = Counter()
        for cell, count in pairs:
            if (sign := self.shown(cell)) is not None:
                counts[sign] += count
        return counts


@lru_cache(maxsize=256)
def signs_of(texts: tuple[str, ...]) -> Signs:
    """The signs with these texts."""
    return Signs(texts)


def _spelling(number: Decimal) -> str:
    """A pattern of the texts that spell a number."""
    whole, _, fraction = format(abs(number), "f").partition(".")
    fraction = fraction.rstrip("0")
    minus = "[-+]?" if not number else "-" if number < 0 else r"\+?"
    rest = rf"\.{fraction}0*" if fraction else r"(?:\.0*)?"
    return rf"\s*{minus}{'0?' if fraction and whole == '0' else whole}{rest}\s*"


def _floats(number: Decimal) -> set[float]:
    """The floats for a number: in double and in single precision, since a column of floats has either."""
    double = float(number)
    with np.errstate(over="ignore"):
        return {double, float(np.float32(double))}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
