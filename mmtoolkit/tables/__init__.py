"""Reads and writes tables in files, a piece at a time, and finds the files that their cells name."""

from mmtoolkit.tables.beside import FilesBeside
from mmtoolkit.tables.formats import open_table
from mmtoolkit.tables.reading import MISSING, Format, Reading
from mmtoolkit.tables.row_table import RowTable
from mmtoolkit.tables.rows import Rows
from mmtoolkit.tables.table_file import TableFile

__all__ = [
    "MISSING",
    "FilesBeside",
    "Format",
    "Reading",
    "RowTable",
    "Rows",
    "TableFile",
    "open_table",
]
