"""Reads sheets of Excel files with openpyxl."""

from __future__ import annotations

import contextlib
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean, error_text, listing
from mmtoolkit.tables.fitting import as_text
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_file import unreadable

_MOST_SHEETS = 8
_OLD = b"\xd0\xcf\x11\xe0"  # the first bytes of .xls, and of .xlsx with a password
_WHOLE = 1 << 53  # from here on, a floating number need not be the one that was written
_UNREADABLE = object()  # a cell that openpyxl cannot read, such as a date in the year 10,000


@dataclass(frozen=True)
class Column:
    """A column of a sheet.

    Attributes:
        number: the number of the column in the sheet, from 1.
        cells: an array if they have one type, else plain values.
        formulas: the places of cells with a formula.
    """

    number: int
    cells: Raw
    formulas: frozenset[int]


@dataclass(frozen=True)
class Sheet:
    """A table in a sheet.

    Attributes:
        name: of the sheet.
        columns: name -> column.
        rows: the numbers of the table's rows in the sheet, from 1.
        epoch: the day from which the file counts dates.
    """

    name: str
    columns: dict[str, Column]
    rows: list[int]
    epoch: datetime


@lru_cache(maxsize=1)  # reading takes long, and a source opens its table several times
def read_sheet(path: Path, name: str | None, identity: object) -> Sheet:
    """Read the table in a sheet.

    Args:
        path: the file.
        name: of the sheet; None for the first.
        identity: size and time of change of the file, with which the sheet is kept in memory.

    Raises:
        UserError: the file or the sheet cannot be read, or is no table.
    """
    with _workbook(path, data_only=True) as values:
        name = _chosen(path, [sheet.title for sheet in values.worksheets], name)
        cells, epoch = _cells(values[name], _value), values.epoch
    marks = [[cell is _UNREADABLE or None for cell in row] for row in cells]
    cells = [[None if cell is _UNREADABLE else cell for cell in row] for row in cells]
    if has_formulas(path):
        with _workbook(path, data_only=False) as formulas:
            computed = _cells(formulas[name], lambda cell: cell.data_type == "f" or None)
        marks = [[m or c for m, c in zip(*rows, strict=True)] for rows in zip(marks, computed, strict=True)]
    if not cells or all(cell is None for cell in cells[0]):
        fault = f"the first row of the sheet {name!r} is empty"
        raise UserError(f"{path}: {fault}; write the names of the columns there, or choose another sheet")
    return _table(path, name, cells, marks, epoch)


def sheet_names(path: Path) -> list[str]:
    """The names of the sheets of a file."""
    with _workbook(path, data_only=True) as workbook:
        return [sheet.title for sheet in workbook.worksheets]


def has_formulas(path: Path) -> bool:
    """Whether any sheet of a file has a formula."""
    with _explained(path), zipfile.ZipFile(path) as file:
        sheets = [name for name in file.namelist() if re.fullmatch(r".*sheet[^/]*\.xml", name)]
        return any(re.search(rb"<(\w+:)?f[\s>/]", file.read(name)) for name in sheets)


def _table(path: Path, name: str, cells: list[list[Any]], marks: list[list[Any]], epoch: datetime) -> Sheet:
    """The table in a sheet, without the columns and rows in which no cell holds anything."""
    both = [[*row, *mark] for row, mark in zip(cells, marks, strict=True)]
    full = [any(cell is not None for cell in row) for row in both]
    numbers = sorted({at for part in (cells, marks) for row in part for at, c in enumerate(row) if c is not None})
    last = max((place for place, here in enumerate(full) if here), default=0)
    places = [place for place in range(1, last + 1) if full[place] or len(numbers) == 1]
    columns: dict[str, Column] = {}
    for number in numbers:
        head = as_text(_plain(_at(cells[0], number)))
        if head in columns:
            fault = f"two columns of the sheet {name!r} are named {head!r}"
            raise UserError(f"{path}: {fault}; give each a name of its own in the first row")
        formulas = frozenset(at for at, place in enumerate(places) if _at(marks[place], number))
        columns[head] = Column(number + 1, _typed([_at(cells[place], number) for place in places]), formulas)
    return Sheet(name, columns, [place + 1 for place in places], epoch)


@contextlib.contextmanager
def _workbook(path: Path, data_only: bool) -> Iterator[Any]:
    """The file, opened by openpyxl; `data_only`: the values of formulas instead of formulas."""
    openpyxl = openpyxl_for(path)
    with _explained(path), path.open("rb") as file, warnings.catch_warnings():
        if file.read(4) == _OLD:
            fault = "is an old Excel file or has a password"
            raise UserError(f"{path}: {fault}; save it as .xlsx without a password, or export it as CSV")
        file.seek(0)
        warnings.simplefilter("ignore")  # of parts of the file that are no cells
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=data_only)
        yield workbook
        workbook.close()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn each error of a file into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # openpyxl has no error of its own for a damaged file
        fault = f"is damaged, or is no Excel file: {error_text(error)}"
        raise UserError(f"{path}: {fault}; open it in Excel and save it again, or export it as CSV") from error


def _chosen(path: Path, names: list[str], name: str | None) -> str:
    if not names:
        raise UserError(f"{path}: has no sheet with cells; choose another file")
    if name is not None and name not in names:
        known = f"its sheets are {listing(names, _MOST_SHEETS)}"
        raise UserError(f"{path}: has no sheet {name!r}{did_you_mean(name, names)}; {known}; choose one")
    return names[0] if name is None else name


def openpyxl_for(path: Path) -> Any:
    """The package openpyxl.

    Raises:
        UserError: it is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{path}: Excel files need openpyxl; run `pip install 'mmtoolkit[excel]'`") from None
    return openpyxl


def _cells(sheet: Any, content: Callable[[Any], Any]) -> list[list[Any]]:
    """What a function finds in each cell of a sheet, by row; None in empty cells."""
    sheet.reset_dimensions()  # some programs write a wrong size
    return [[None if cell.value is None else content(cell) for cell in row] for row in sheet.iter_rows()]


def _value(cell: Any) -> Any:
    """The value of a cell; None for an error, such as #N/A."""
    if cell.data_type == "e":
        return _UNREADABLE if cell.value == "#VALUE!" else None
    return None if cell.value == "" else cell.value


def _at(row: list[Any], number: int) -> Any:
    return row[number] if number < len(row) else None


def _typed(cells: list[Any]) -> Raw:
    """Cells as an array if they have one type, else as plain values."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds <= {int, float}:
        numbers = [cell for cell in cells if cell is not None]
        if all(float(number).is_integer() and abs(number) < _WHOLE for number in numbers):
            return pa.array([cell if cell is None else int(cell) for cell in cells], pa.int64() if numbers else None)
        if all(abs(number) < _WHOLE for number in numbers if isinstance(number, int)):
            return pa.array(cells, pa.float64())
    elif kinds == {datetime} and all(cell.time() == time() for cell in cells if cell is not None):
        return pa.array([cell if cell is None else cell.date() for cell in cells])
    elif kinds in ({str}, {bool}, {datetime}, {time}, {timedelta}):
        return pa.array(cells)
    return [_plain(cell) for cell in cells]


def _plain(cell: Any) -> Any:
    """A cell of a column of several types: a time as text."""
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, (date, time)) else str(cell) if isinstance(cell, timedelta) else cell
