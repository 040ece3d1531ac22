"""The source `table`: the user's own table, and the files that its cells name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mmtoolkit.components import DataPath
from mmtoolkit.sources.cut import CutSource
from mmtoolkit.sources.table_path import refuse_location
from mmtoolkit.tables import FilesBeside, Reading, RowTable, open_table
from mmtoolkit.tables.parts import files_of, folder_of
from mmtoolkit.tables.reading import unless_usual


class TableSource(Reading, CutSource):
    """The rows of a table, with files such as pictures next to it.

    A table is a file of CSV, TSV, JSON or JSON Lines (also compressed: .gz, .bz2, .zst), Parquet, Arrow (Feather) or
    Excel (.xlsx), or a folder of Parquet files with the same columns.

    Modalities read its columns. A cell is missing if it is null, NaN or one of the texts in `missing`. Rows are read in
    chunks, so a table may be larger than memory.
    """

    kind: Literal["table"] = "table"

    path: DataPath | Annotated[dict[str, DataPath], Field(min_length=1)]
    """The table's file, or a folder or pattern of Parquet files, such as `parts/*.parquet`; or one of these for each
    split, `{train: a.csv, test: b.csv}`."""

    _refuse_location = field_validator("path", mode="before")(refuse_location)
    _missing_unless_usual = field_validator("missing", mode="before")(unless_usual)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.path, dict):
            if "train" not in self.path:
                raise ValueError("path names no file for the split train; add train: FILE")
            if self.split is not None or self.group is not None:
                raise ValueError(
                    "split and group cut one file, but path names a file for each split; remove split and group"
                )
        return self

    def reading(self) -> Reading:
        """The options to read this table; each file has its own format."""
        return Reading.model_validate(self.model_dump(include=set(Reading.model_fields) - {"format"}))

    def beside(self, split: str) -> FilesBeside:
        """The folder of the split's file."""
        return self.files_in(folder_of(self._path(split)))

    def files(self) -> Sequence[Path]:
        """The tables' files, without the files that cells name."""
        paths = self.path.values() if isinstance(self.path, dict) else [self.path]
        return [file for path in paths for file in files_of(path)]

    def of_splits(self) -> tuple[str, ...] | None:
        """The splits that `path` names; None for one file."""
        return tuple(self.path) if isinstance(self.path, dict) else None

    def _table(self, split: str) -> RowTable:
        """The split's file."""
        return open_table(self._path(split), self)

    def _path(self, split: str) -> Path:
        return self.path[split] if isinstance(self.path, dict) else self.path
