"""Tables of the user's own: a file of rows, and the files that its cells name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmtoolkit.components import DataPath
from mmtoolkit.sources.cut import CutSource
from mmtoolkit.tables import MISSING, FilesBeside, Reading, RowTable, open_table

_READING = tuple(Reading.model_fields)


class TableSource(CutSource):
    """Rows of a table: CSV, TSV, Parquet, Arrow (Feather) or JSON Lines, with files such as pictures beside it.

    Its columns are what modalities read. A cell is missing where it is null, NaN or one of the texts in `missing`.
    Rows are read some at a time, so that a table may be larger than memory.
    """

    kind: Literal["table"] = "table"

    path: DataPath | Annotated[dict[str, DataPath], Field(min_length=1)]
    """The table's file; or a file for each split, `{train: a.csv, test: b.csv}`."""
    format: Literal["csv", "parquet", "arrow", "jsonl"] | None = None
    """csv (also TSV and its like), parquet, arrow (also Feather) or jsonl; by the file's ending where left out."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What separates cells of a csv. Where left out a tab in .tsv, else a comma, or where the head has none the
    semicolon, tab or bar that it has."""
    encoding: str = "utf-8"
    """The encoding of csv and jsonl, such as utf-8, cp1252 or utf-16."""
    missing: tuple[str, ...] = MISSING
    """Texts that stand for a missing cell, beside null and NaN."""
    absent_files: Literal["error", "missing"] = "error"
    """What a cell is that names a file which is not there: a bad cell, or missing."""
    files_outside: bool = False
    """Whether cells may name files outside the table's folder."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._reading()
        if isinstance(self.path, dict):
            if "train" not in self.path:
                raise ValueError("path names no file for the split train; add train: FILE")
            if self.split is not None or self.group is not None:
                raise ValueError("split and group are of one file, and path names one for each split; remove them")
        return self

    def _reading(self) -> Reading:
        return Reading.model_validate({name: getattr(self, name) for name in _READING})

    def reading(self) -> Reading:
        """As this table is read; the format is each file's own."""
        return self._reading().model_copy(update={"format": None})

    def beside(self, split: str) -> FilesBeside:
        """The folder of the split's file."""
        return FilesBeside(self._path(split).parent, self.files_outside, self.absent_files)

    def files(self) -> Sequence[Path]:
        """The tables' files. Those that cells name belong to their columns."""
        return list(self.path.values()) if isinstance(self.path, dict) else [self.path]

    def of_splits(self) -> tuple[str, ...] | None:
        """Those that `path` names."""
        return tuple(self.path) if isinstance(self.path, dict) else None

    def _table(self, split: str) -> RowTable:
        """The split's file."""
        return open_table(self._path(split), self._reading())

    def _path(self, split: str) -> Path:
        return self.path[split] if isinstance(self.path, dict) else self.path
