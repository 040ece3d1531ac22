"""Rows that are in memory: frames, Arrow tables, arrays and lists."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import PrivateAttr

from mmtoolkit.base.errors import UserError
from mmtoolkit.sources.cut import CutSource
from mmtoolkit.tables import MISSING, Reading, RowTable
from mmtoolkit.tables.frames import frame_of, is_table

_PIECE = 4096


class Arrays(CutSource):
    """Rows of pandas or polars frames, Arrow tables, or dictionaries of arrays, tensors and lists, for use in Python.

    `Arrays.of` makes one. The data is no option: the schema of a run keeps its checksum alone, and who goes on with the
    run gives the data again.
    """

    kind: Literal["arrays"] = "arrays"

    digest: str = ""
    """The SHA-256 of the data."""
    missing: tuple[str, ...] = MISSING
    """Texts that stand for a missing cell, beside None, null and NaN."""

    _tables: dict[str | None, RowTable] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, data: Any, **options: Any) -> Self:
        """A source over what is in memory.

        Args:
            data: a table, which is cut into splits, or a mapping of split -> table. A table is a pandas or polars
                frame, an Arrow table, or a mapping of column -> array, tensor or list, of one length.
            options: of this class and of every source, such as `on_bad_cell`.

        Raises:
            UserError: it is no table.
            ValueError: an option does not fit.
        """
        each = isinstance(data, Mapping) and bool(data) and all(map(is_table, data.values()))
        given: dict[str | None, Any] = dict(data) if each else {None: data}
        if each and "train" not in given:
            raise ValueError(f"the tables are {', '.join(map(str, given))} and none is train; name one train")
        if each and {"split", "group"} & options.keys():
            raise ValueError("split and group are of one table, and there is one for each split; remove them")
        tables: dict[str | None, RowTable] = {
            split: frame_of(table, options.get("missing", MISSING)) for split, table in given.items()
        }
        source = cls(digest=_digest(tables), **options)
        source._tables = tables
        return source

    def reading(self) -> Reading:
        """With the same texts for a missing cell."""
        return Reading(missing=self.missing)

    def files(self) -> Sequence[Path]:
        """None: `digest` says whether the data is the same."""
        return []

    def of_splits(self) -> tuple[str, ...] | None:
        """Those that have a table of their own."""
        splits = tuple(split for split in self._given if split is not None)
        return splits or None

    def _table(self, split: str) -> RowTable:
        """The split's table."""
        tables = self._given
        return tables[split] if split in tables else tables[None]

    @property
    def _given(self) -> Mapping[str | None, RowTable]:
        if not self._tables:
            raise UserError(
                "data: was in memory when this schema was made; give it again in Python, by mmtoolkit.Arrays.of, or "
                "name a table instead: data={kind: table, path: FILE}"
            )
        return self._tables


def _digest(tables: Mapping[str | None, RowTable]) -> str:
    """The SHA-256 of all cells, their types, and the columns and splits they stand in."""
    digest = hashlib.sha256()
    for split, table in tables.items():
        digest.update(f"{split!r}{table.names!r}{len(table)}".encode())
        for rows in table.rows(_PIECE):
            for column in rows.raw.values():
                if isinstance(column, list):
                    for cell in column:
                        _add(digest, cell)
                else:
                    batch = pa.record_batch([pa.concat_arrays([column])], ["_"])  # without what a slice leaves out
                    digest.update(batch.schema.serialize())
                    digest.update(batch.serialize())
    return digest.hexdigest()


def _add(digest: Any, cell: Any) -> None:
    """Add a cell of any type: what has an array's contents by those, else as it prints itself."""
    if cell is None or isinstance(cell, (str, bytes, int, float)):
        digest.update(f"{type(cell).__name__}{cell!r}\0".encode(errors="surrogatepass"))
        return
    try:
        array = np.asarray(cell)
    except Exception:  # whatever its own conversion raises
        array = np.empty(0, dtype=object)
    if array.dtype.kind in "biufcSU":
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    else:
        digest.update(f"{type(cell).__name__}{cell!r}\0".encode(errors="surrogatepass"))
