"""Writes sheets of Excel: a new file, or an old one with some cells filled."""

from __future__ import annotations

import contextlib
import copy
import math
import posixpath
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.tables.excel import Excel
from mmtoolkit.tables.fitting import as_text
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.sheet import has_formulas, openpyxl_for
from mmtoolkit.tables.sheet_xml import NewCell, with_cells
from mmtoolkit.tables.table_writer import NOTHING, Changed, TableWriter

_MOST_ROWS, _MOST_COLUMNS, _LONGEST = 1_048_576, 16_384, 32_767
_EXACT = 10**15  # Excel keeps fifteen digits of a number
# What a part of the file raises that openpyxl did not read.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ElementTree.ParseError,
    LookupError,
    ValueError,
    NotImplementedError,
)
_FIRST_DAY = date(1900, 3, 1)  # Excel takes 1900 for a leap year
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_CALCULATION = re.compile(rb"<((?:\w+:)?)calcPr\b([^>]*?)(?:/>|>\s*</\1calcPr>)")


class ExcelWriter(TableWriter):
    """A new Excel file with one sheet.

    Args:
        names: the columns.
        new: the file to write.
        out: its path when it is complete.
        stack: ends the sheet after an error.
    """

    def __init__(self, names: Sequence[str], new: Path, out: Path, stack: contextlib.ExitStack) -> None:
        super().__init__(names)
        self.new, self.out, self.rows = new, out, 0
        self.openpyxl = openpyxl_for(out)
        if len(self.names) > _MOST_COLUMNS:
            raise self._unwritable(f"{len(self.names):,} columns, and a sheet has {_MOST_COLUMNS:,}")
        self.workbook = self.openpyxl.Workbook(write_only=True)
        self.sheet = self.workbook.create_sheet("Sheet1")
        stack.callback(lambda: None if self.sheet.closed else self.sheet.close())
        self._append(self.names)

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Add the rows to the sheet."""
        cells = [_values(columns[name]) for name in self.names]
        for row in zip(*cells, strict=True):
            self._append(row)

    def _append(self, row: Sequence[Any]) -> None:
        self.rows += 1
        if self.rows > _MOST_ROWS:
            raise self._unwritable(f"more than {_MOST_ROWS:,} rows, which is all that a sheet has")
        self.sheet.append([self._cell(value) for value in row])

    def _cell(self, value: Any) -> Any:
        value = storable(value, self.out)
        if not isinstance(value, str):
            return value
        cell = self.openpyxl.cell.WriteOnlyCell(self.sheet, value)
        cell.data_type = "s"  # a text that begins with = is no formula
        return cell

    def _unwritable(self, fault: str) -> UserError:
        return UserError(f"{self.out}: cannot be written: the table has {fault}; write .parquet or .csv")

    def close(self) -> None:
        """Write the file."""
        self.workbook.save(self.new)


class ExcelEditor(TableWriter):
    """A copy of an Excel file with changed cells and new columns; all else in the file stays as it is.

    Args:
        names: the columns; those that the old table lacks come last.
        table: the old file.
        new: the file to write.
        out: its path when it is complete.
    """

    def __init__(self, names: Sequence[str], table: Excel, new: Path, out: Path) -> None:
        super().__init__(names)
        self.table, self.new, self.out, self.start = table, new, out, 0
        old = table.sheet.columns
        last = max(column.number for column in old.values())
        added = [name for name in self.names if name not in old]
        self.numbers = {name: column.number for name, column in old.items()}
        self.numbers |= {name: last + 1 + place for place, name in enumerate(added)}
        if last + len(added) > _MOST_COLUMNS:
            raise UserError(f"{out}: cannot be written: a sheet has {_MOST_COLUMNS:,} columns; write .parquet or .csv")
        self.cells: dict[int, dict[int, NewCell]] = {}
        if added:
            self.cells[1] = {self.numbers[name]: NewCell("inlineStr", _legal(name, out), (1, last)) for name in added}
        self.models = {name: self._model(name) for name in self.names}

    def _model(self, name: str) -> tuple[int, int]:
        """Row and column of the first known cell of a column, whose style new cells take."""
        if name not in self.table.sheet.columns:
            return 0, 0
        cells = _values(self.table.sheet.columns[name].cells)
        place = next((place for place, cell in enumerate(cells) if cell is not None), None)
        return (0, 0) if place is None else (self.table.sheet.rows[place], self.numbers[name])

    def write(self, columns: Mapping[str, Raw], lines: Sequence[str] = (), changed: Changed = NOTHING) -> None:
        """Collect the changed cells."""
        for name, places in changed.items():
            cells = _values(columns[name])
            for place in places:
                value = storable(cells[place], self.out)
                if value is not None:
                    row = self.table.sheet.rows[self.start + place]
                    self.cells.setdefault(row, {})[self.numbers[name]] = self._new(name, value)
        self.start += len(next(iter(columns.values()), ()))

    def _new(self, name: str, value: Any) -> NewCell:
        if isinstance(value, str):
            return NewCell("inlineStr", value, self.models[name])
        if isinstance(value, bool):
            return NewCell("b", str(int(value)), self.models[name])
        if isinstance(value, (date, time, timedelta)):
            serial = openpyxl_for(self.out).utils.datetime.to_excel(value, self.table.sheet.epoch)
            return NewCell("n", repr(serial), self.models[name], restyled=True)
        return NewCell("n", str(value), self.models[name])

    def close(self) -> None:
        """Write the file."""
        try:
            with zipfile.ZipFile(self.table.path) as old, zipfile.ZipFile(self.new, "w", zipfile.ZIP_DEFLATED) as new:
                changed = self._changed_parts(old) if self.cells else {}
                for part in old.infolist():
                    new.writestr(copy.copy(part), changed.get(part.filename) or old.read(part), part.compress_type)
        except _DAMAGE as error:
            fault = f"its sheet cannot be changed: {error_text(error)}"
            raise UserError(f"{self.table.path}: {fault}; save it again in Excel, or write .csv") from error

    def _changed_parts(self, old: zipfile.ZipFile) -> dict[str, bytes]:
        """The XML of the sheet with the new cells, and that of the workbook, which asks for computing its formulas."""
        book = _target(old, "", "officeDocument")
        workbook = old.read(book)
        for sheet in ElementTree.fromstring(workbook).iter():
            if sheet.tag.endswith("}sheet") and sheet.get("name") == self.table.sheet.name:
                name = next(value for key, value in sheet.attrib.items() if key.endswith("}id"))
                part = _target(old, book, name)
                parts = {part: with_cells(old.read(part), self.cells)}
                return parts | ({book: _computing(workbook)} if has_formulas(self.table.path) else {})
        raise KeyError(self.table.sheet.name)


def _target(file: zipfile.ZipFile, part: str, wanted: str) -> str:
    """The part that another one names, by the name of the relation or the end of its kind."""
    folder, name = posixpath.split(part)
    relations = ElementTree.fromstring(file.read(posixpath.join(folder, "_rels", f"{name}.rels")))
    for relation in relations:
        if relation.get("Id") == wanted or relation.get("Type", "").endswith(f"/{wanted}"):
            return posixpath.normpath(posixpath.join(folder, relation.get("Target", ""))).lstrip("/")
    raise KeyError(wanted)


def _computing(workbook: bytes) -> bytes:
    """The XML of a workbook with the order to compute all formulas when a program opens it."""
    if match := _CALCULATION.search(workbook):
        attributes = re.sub(rb'\s+fullCalcOnLoad="[^"]*"', b"", match[2])
        new = b"<" + match[1] + b"calcPr" + attributes + b' fullCalcOnLoad="1"/>'
        return workbook[: match.start()] + new + workbook[match.end() :]
    return workbook


def storable(value: Any, out: Path) -> Any:
    """A value as a cell of Excel can hold it: what has no form there becomes text, and NaN becomes None.

    Raises:
        UserError: the text is too long, or holds characters that Excel cannot hold.
    """
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, (bool, timedelta, time)):
        return value
    if isinstance(value, int):
        return value if -_EXACT < value < _EXACT else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, datetime) and value.tzinfo is None and value.date() >= _FIRST_DAY:
        return value
    if isinstance(value, date) and not isinstance(value, datetime) and value >= _FIRST_DAY:
        return value
    try:
        return _legal(as_text(value), out)
    except ValueError as error:  # such as bytes
        raise UserError(f"{out}: cannot be written: {error}; write another format, such as .parquet") from error


def _legal(text: str, out: Path) -> str:
    fault = "a text has more than 32,767 characters" if len(text) > _LONGEST else ""
    if match := _ILLEGAL.search(text):
        fault = f"Excel has no form for {match[0]!r}"
    if fault:
        raise UserError(f"{out}: cannot be written: {fault}; write another format, such as .parquet")
    return text


def _values(column: Raw) -> Sequence[Any]:
    return column if isinstance(column, list) else column.to_pylist()
