"""Looks at how a table of text is laid out: its delimiter, its head and its last row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import listing
from mmtoolkit.components import ColumnSummary
from mmtoolkit.tables import TableFile
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.dialect import is_number

_PIECE = 1 << 16
_MOST_NAMES = 3  # in an error
_YEARS = range(1500, 2200)
# The first cell of a row that sums up the others, in lower case.
_TOTALS = {"total", "totals", "grand total", "sum", "average", "mean", "all"}
_TOTALS |= {"summe", "gesamt", "insgesamt", "mittelwert", "durchschnitt", "moyenne", "totale", "media"}


def check_head(table: TableFile, columns: Sequence[ColumnSummary]) -> None:
    """Check that the head of delimited text is no row, unless the user says which line it is.

    It looks like a row if it has a number in each column of numbers, or if its texts recur below it. Years, and numbers
    with equal steps such as 0, 1, 2, are names.

    Args:
        table: the table.
        columns: their summaries, in order.

    Raises:
        UserError: the first line looks like a row.
    """
    if not isinstance(table, Delimited) or table.reading.head is not None:
        return
    named = [column for column in columns if column.cells and _is_known(column.name, table.missing)]
    numeric = [column for column in named if all(map(is_number, map(str, column.cells)))]
    texts = [column for column in named if column not in numeric]
    numbers = [column.name for column in numeric if is_number(column.name)]
    recurring = [column.name for column in texts if column.name in column.cells]
    if len(numbers) < len(numeric) or not (numbers or recurring):
        return
    if (_is_series(numbers) and not recurring) or (not numbers and 2 * len(recurring) < len(texts)):
        return
    signs = []
    if numbers:
        signs.append(f"{listing(numbers, _MOST_NAMES)} where the rows have numbers")
    if recurring:
        signs.append(f"{listing(recurring, _MOST_NAMES)}, which rows have too")
    raise UserError(
        f"{table.called}:{table.dialect.head}: looks like a row, not like a head with the names of the columns: it has "
        f"{', and '.join(signs)}; give --head 0 if no line is the head, or --head {table.dialect.head} if this one is"
    )


def _is_known(name: str, missing: Collection[str]) -> bool:
    """Whether a name would not stand for a missing cell in a row."""
    return name not in missing and any(map(str.isalnum, name))


def _is_series(names: Sequence[str]) -> bool:
    """Whether numbers are names: years, or whole numbers with equal steps."""
    if not names or not all(name.strip().isdecimal() for name in names):
        return False
    numbers = [int(name) for name in names]
    steps = {after - before for before, after in pairwise(numbers)}
    first = numbers[0] in (0, 1) and steps <= {1}
    years = all(number in _YEARS for number in numbers) and len({*numbers}) == len(numbers)
    return first or years or (len(numbers) > 2 and len(steps) == 1 and 0 not in steps)


def notes_on_layout(path: str, table: TableFile, columns: Sequence[ColumnSummary]) -> list[str]:
    """Lines for the user: how the table is read, and whether its last row sums up the others.

    Args:
        path: of the table, as the user wrote it.
        table: the table.
        columns: their summaries, in order.
    """
    remarks = table.remarks
    if isinstance(table, Delimited) and not table.has_usual_delimiter:
        remarks = [f"its cells are separated by {table.dialect.delimiter!r}", *remarks]
    lines = [f"{path}: {'; '.join(remarks)}"] if remarks else []
    first = columns[0]
    if any(_is_total(cell) for cell in first.cells) and _is_total(last := _last_cell(table, first.name)):
        lines.append(f"{path}: the last row begins with {last!r}; if it sums up the others, remove it")
    return lines


def _is_total(cell: object) -> bool:
    return isinstance(cell, str) and cell.strip(" :").lower() in _TOTALS


def _last_cell(table: TableFile, name: str) -> object:
    last: object = None
    for rows in table.rows(_PIECE, [name]):
        last = rows.cells(name)[-1]
    return last
