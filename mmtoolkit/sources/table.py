"""Tables of the user's own: a file of rows, and the files that its cells name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmtoolkit.components import DataPath
from mmtoolkit.sources.cut import CutSource
from mmtoolkit.tables import FilesBeside, Reading, RowTable, open_table


class TableSource(Reading, CutSource):
    """Rows of a table: CSV, TSV, Parquet, Arrow (Feather) or JSON Lines, with files such as pictures beside it.

    Its columns are what modalities read. A cell is missing where it is null, NaN or one of the texts in `missing`.
    Rows are read some at a time, so that a table may be larger than memory.
    """

    kind: Literal["table"] = "table"

    path: DataPath | Annotated[dict[str, DataPath], Field(min_length=1)]
    """The table's file; or a file for each split, `{train: a.csv, test: b.csv}`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.path, dict):
            if "train" not in self.path:
                raise ValueError("path names no file for the split train; add train: FILE")
            if self.split is not None or self.group is not None:
                raise ValueError("split and group are of one file, and path names one for each split; remove them")
        return self

    def reading(self) -> Reading:
        """As this table is read; the format is each file's own."""
        return Reading.model_validate(self.model_dump(include=set(Reading.model_fields) - {"format"}))

    def beside(self, split: str) -> FilesBeside:
        """The folder of the split's file."""
        return self.files_in(self._path(split).parent)

    def files(self) -> Sequence[Path]:
        """The tables' files. Those that cells name belong to their columns."""
        return list(self.path.values()) if isinstance(self.path, dict) else [self.path]

    def of_splits(self) -> tuple[str, ...] | None:
        """Those that `path` names."""
        return tuple(self.path) if isinstance(self.path, dict) else None

    def _table(self, split: str) -> RowTable:
        """The split's file."""
        return open_table(self._path(split), self)

    def _path(self, split: str) -> Path:
        return self.path[split] if isinstance(self.path, dict) else self.path
