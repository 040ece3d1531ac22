"""A source of tables in an SQLite database; NULL is a missing cell."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mmtoolkit import Cells, Component, DataPath, Source, Table, UserError, hookimpl


class SQLite(Source):
    """The tables of a database, one a split."""

    kind: Literal["sqlite"] = "sqlite"

    path: DataPath
    """The database file."""
    tables: Annotated[dict[str, str], Field(min_length=1)]
    """Split -> its table."""

    def splits(self) -> tuple[str, ...]:
        """As they are listed."""
        return tuple(self.tables)

    def files(self) -> Sequence[Path]:
        """The database."""
        return [self.path]

    def load(self, split: str) -> Table:
        """The rows of a split's table, which stay in the database until they are asked for."""
        found = [
            name for (name,) in rows_of(self.path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        ]
        if (name := self.tables[split]) not in found:
            raise UserError(
                f"{self.path}: has no table {name!r}, named by data.tables.{split}; the tables: {', '.join(found)}"
            )
        [(count,)] = rows_of(self.path, f"SELECT count(*) FROM {quoted(name)}")
        columns = (column for _, column, *_ in rows_of(self.path, f"PRAGMA table_info({quoted(name)})"))
        return SQLiteTable(self.path, name, tuple(columns), count)


@dataclass(frozen=True)
class SQLiteTable:
    """A table of a database, read anew each time. It meets the `Table` protocol."""

    path: Path
    name: str
    names: tuple[str, ...]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def column(self, name: str) -> list[Any]:
        """All cells of a column."""
        return [cell for chunk in self.chunks([name], self.rows or 1) for cell in chunk[name]]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time, in the database's order."""
        asked = f"SELECT {', '.join(map(quoted, names))} FROM {quoted(self.name)}"
        rows = rows_of(self.path, asked)
        while chunk := [row for _, row in zip(range(size), rows, strict=False)]:
            yield dict(zip(names, map(list, zip(*chunk, strict=True)), strict=True))


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def rows_of(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    """What a query of the database gives, row after row; the file is opened for reading only."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such database; correct data.path")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            yield from database.execute(query)
    except sqlite3.Error as error:
        raise UserError(f"{path}: cannot be read as an SQLite database: {error}; check the file") from error


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [SQLite]
