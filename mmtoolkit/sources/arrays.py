"""The source `arrays`: frames, Arrow tables, arrays and lists in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import PrivateAttr, field_validator

from mmtoolkit.base.errors import UserError
from mmtoolkit.sources.cut import CutSource
from mmtoolkit.tables import Reading, RowTable
from mmtoolkit.tables.frames import frame_of, is_table
from mmtoolkit.tables.reading import unless_usual

_PIECE = 4096


class Arrays(CutSource):
    """Rows of pandas or polars frames, Arrow tables, or dictionaries of arrays, tensors and lists, for use in Python.

    `Arrays.of` makes one. The data is not an option: the schema of a run stores only its checksum. To resume the run,
    pass the data again.
    """

    kind: Literal["arrays"] = "arrays"

    digest: str = ""
    """The SHA-256 of the data."""
    missing: tuple[str, ...] | None = None
    """Texts that count as missing, as None, null and NaN do. By default none: every text is a value."""

    _missing_unless_usual = field_validator("missing", mode="before")(unless_usual)

    _tables: dict[str | None, RowTable] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, data: Any, **options: Any) -> Self:
        """Make a source from data in memory.

        Args:
            data: a table, which is cut into splits, or a mapping from split to table. A table is a pandas or polars
                frame, an Arrow table, or a mapping from column to array, tensor or list, all of one length.
            options: of this class and of every source, such as `on_bad_cell`.

        Raises:
            UserError: the data is not a table.
            ValueError: an option is wrong.
        """
        each = isinstance(data, Mapping) and bool(data) and all(map(is_table, data.values()))
        by_split: dict[str | None, Any] = dict(data) if each else {None: data}
        if each and "train" not in by_split:
            raise ValueError(f"the tables are {', '.join(map(str, by_split))}, and none is train; name one train")
        if each and {"split", "group"} & options.keys():
            raise ValueError("split and group cut one table, but each split has its own table; remove split and group")
        source = cls(**options)
        missing = source.reading().signs(has_null=True)
        tables: dict[str | None, RowTable] = {split: frame_of(table, missing) for split, table in by_split.items()}
        source = source.model_copy(update={"digest": _digest(tables)})
        source._tables = tables
        return source

    def reading(self) -> Reading:
        """Reading with the same texts for missing cells."""
        return Reading(missing=self.missing)

    def files(self) -> Sequence[Path]:
        """No files; `digest` identifies the data."""
        return []

    def of_splits(self) -> tuple[str, ...] | None:
        """The splits with their own tables; None for one table."""
        splits = tuple(split for split in self._loaded if split is not None)
        return splits or None

    def _table(self, split: str) -> RowTable:
        """The split's table."""
        tables = self._loaded
        return tables[split] if split in tables else tables[None]

    @property
    def _loaded(self) -> Mapping[str | None, RowTable]:
        if not self._tables:
            raise UserError(
                "data: was in memory when this schema was made; pass it again in Python with mmtoolkit.Arrays.of, or "
                "name a table instead: data={kind: table, path: FILE}"
            )
        return self._tables


def _digest(tables: Mapping[str | None, RowTable]) -> str:
    """The SHA-256 of all cells with their types, columns and splits."""
    digest = hashlib.sha256()
    for split, table in tables.items():
        digest.update(f"{split!r}{table.names!r}{len(table)}".encode())
        for rows in table.rows(_PIECE):
            for column in rows.raw.values():
                if isinstance(column, list):
                    for cell in column:
                        _add(digest, cell)
                else:
                    batch = pa.record_batch([pa.concat_arrays([column])], ["_"])  # copies only the slice
                    digest.update(batch.schema.serialize())
                    digest.update(batch.serialize())
    return digest.hexdigest()


def _add(digest: Any, cell: Any) -> None:
    """Add a cell of any type: its contents if NumPy reads it as an array, else its repr."""
    if cell is None or isinstance(cell, (str, bytes, int, float)):
        digest.update(f"{type(cell).__name__}{cell!r}\0".encode(errors="surrogatepass"))
        return
    try:
        array = np.asarray(cell)
    except Exception:  # a cell's own conversion may raise anything
        array = np.empty(0, dtype=object)
    if array.dtype.kind in "biufcSU":
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    else:
        digest.update(f"{type(cell).__name__}{cell!r}\0".encode(errors="surrogatepass"))
