"""The work of `mmt impute`: it writes a copy of a table with the missing cells filled and all else unchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmtoolkit.base.meter import Meter
from mmtoolkit.components import Run
from mmtoolkit.tables import Format, TableFile
from mmtoolkit.tables.delimited import Delimited
from mmtoolkit.tables.fitting import as_text, is_bytes, is_picture, is_text, replaced, type_of
from mmtoolkit.tables.json_array import JsonArray
from mmtoolkit.tables.json_lines import JsonLines
from mmtoolkit.tables.output import PicturesBeside, check_output, names_folder, output_format, pictures_beside, png
from mmtoolkit.tables.parts import is_parted
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.table_writer import unwritable
from mmtoolkit.tables.writing import fields_of, place_of_table, table_at, value_types
from mmtoolkit.using.fill import Fill, Predicted
from mmtoolkit.using.imputing import Filling, Imputer, TypedRun
from mmtoolkit.using.lost_texts import LostTexts
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFile

_MeterOf = Callable[[Callable[[str], None], str, int], Meter]


def impute_table(
    run: TypedRun,
    user_file: UserFile,
    out: Path,
    samples: int = 0,
    seed: int = 0,
    overwrite: bool = False,
    meter: _MeterOf = Meter,
) -> list[str]:
    """Write a copy of a table with its missing cells filled, some rows at a time.

    Args:
        run: predicts the missing cells.
        user_file: the table.
        out: the file to write; pictures go to the folder NAME_images beside it.
        samples: how many draws of z to pool for each row; 0 takes the mean.
        seed: fixes the draws.
        overwrite: whether to replace `out` if it exists.
        meter: creates a meter of the rows from `run.say`, the name of the task and the number of rows.

    Returns:
        How many cells of each column it filled, and what else the user should know, line by line.

    Raises:
        UserError: the table or a cell cannot be read or written; no half-written file stays.
    """
    return impute_tables(run, user_file, {out: Predicted(samples, seed)}, overwrite, meter)


def impute_tables(
    run: TypedRun,
    user_file: UserFile,
    fill_of: Mapping[Path, Fill],
    overwrite: bool = False,
    meter: _MeterOf = Meter,
) -> list[str]:
    """Write several copies of a table, each with a fill of its own: all of them, or after an error none.

    Args:
        run: as in `impute_table`, as are user_file, overwrite and meter.
        user_file: the table.
        fill_of: the file or folder to write -> what its missing cells get.
        overwrite: whether to replace files that exist.
        meter: of the rows of all copies.

    Returns:
        The lines of `impute_table`, each once.

    Raises:
        UserError: as in `impute_table`.
    """
    table = user_file.rows
    for out in fill_of:
        check_output(out, overwrite, table.path, is_parted(table.path), user_file.shard)
    progress = meter(run.say, "impute", len(table) * len(fill_of))
    notes: dict[str, None] = {}
    with contextlib.ExitStack() as places:  # when it ends well, each table is moved to its path
        for out, fill in fill_of.items():
            pictures = places.enter_context(pictures_beside(out, user_file.shard))
            new = places.enter_context(place_of_table(out, user_file.shard))
            notes |= dict.fromkeys(_write(run, user_file, fill, new, out, pictures, overwrite, progress))
    return list(notes)


def _write(
    run: TypedRun,
    user_file: UserFile,
    fill: Fill,
    new: Path,
    out: Path,
    pictures: PicturesBeside,
    overwrite: bool,
    progress: Meter,
) -> list[str]:
    """Write a table to the place of `out`, and return its notes."""
    table = user_file.rows
    run_table = RunTable.of(run, user_file, run.model.modalities)
    lost = LostTexts(table, out)
    imputer = Imputer(run, run_table, fill, lost.signs)
    if any(is_picture(cell) for cell in imputer.examples.values()):
        pictures.check(overwrite)
    output = _Output(table, out, imputer, pictures)
    with table_at(new, out, output.fields, table if output.alike else None) as writer:
        for filling in imputer.fillings(lines=writer.edits):
            columns = output.columns(filling)
            lines = filling.rows.lines if writer.edits else ()
            writer.write(columns, lines, output.changes(filling) if output.alike else {})
            lost.count(columns)
            progress.advance(len(filling.rows))
    counts = ", ".join(f"{count:,} of {column}" for column, count in imputer.filled.items() if count)
    notes = [*table.notes(), *imputer.notes(), *lost.notes(), *_note_on_paths(run, run_table, user_file, out)]
    return [f"filled {counts or 'no cell'}", *notes]


class _Output:
    """The columns of the new table.

    Attributes:
        fields: their names and types.
        alike: whether the new table has the format of the old one.
    """

    def __init__(self, table: TableFile, out: Path, imputer: Imputer, pictures: PicturesBeside) -> None:
        self.table, self.out, self.imputer, self.pictures = table, out, imputer, pictures
        kind = output_format(out)
        self.alike = kind == table.format
        self.typed = kind in ("parquet", "arrow")
        self.places = {
            column: (name, place)
            for place, (name, modality) in reversed(list(enumerate(imputer.run.modalities.items())))
            for column in modality.source_columns(name)
        }
        self.known = value_types(table, markers=False) | imputer.types if self._untyped else {}
        old = pa.schema([(name, pa.null()) for name in table.names]) if self._untyped else fields_of(table)
        new = [(column, self._added_type(column, kind)) for column in imputer.added]
        fields = [self._filled_type(field) for field in old]
        fields += [pa.field(*field) for field in [*new, *((column, pa.float64()) for column in imputer.spread)]]
        self.fields = pa.schema(fields, old.metadata)

    @property
    def _untyped(self) -> bool:
        return isinstance(self.table, (JsonLines, JsonArray)) and not self.typed

    def _added_type(self, column: str, kind: Format) -> pa.DataType:
        """The type of a column that the old table lacks; text keeps the spelling of the prediction."""
        learned = self.imputer.added_type(column)
        whole = pa.types.is_integer(learned)
        return learned if kind != "csv" or whole else type_of(self.imputer.examples[column])

    def _filled_type(self, field: pa.Field) -> pa.Field:
        """A column of nulls takes the type of the cells that fill it."""
        if field.type != pa.null() or field.name not in self.imputer.examples:
            return field
        return field.with_type(type_of(self.imputer.examples[field.name]))

    def columns(self, filling: Filling) -> dict[str, Raw]:
        """The columns of some rows."""
        columns: dict[str, Raw] = {}
        for field in self.fields:
            if field.name in filling.spread:
                columns[field.name] = pa.array(filling.spread[field.name], field.type, from_pandas=True)
                continue
            column = self._old(filling, field)
            if field.name in filling.cells:
                places, cells = filling.cells[field.name]
                rows = [filling.start + place for place in places]
                cells = self._storable(cells, rows, field)
                writable = [at for at, cell in enumerate(cells) if self._has_letters(cell)]
                if lost := len(cells) - len(writable):
                    reason = f"the encoding {self._encoding} lacks letters of the prediction"
                    self.imputer.count_unfit(field.name, lost, reason)
                    places, cells = [places[at] for at in writable], [cells[at] for at in writable]
                column, unfit = replaced(column, places, cells, self.known.get(field.name))
                self.imputer.count_unfit(field.name, unfit)
            columns[field.name] = column
        return columns

    def _old(self, filling: Filling, field: pa.Field) -> Raw:
        """The old cells of a column, in the type of the new table."""
        if field.name not in self.table.names:
            return pa.nulls(len(filling.rows), field.type)
        column = filling.rows.raw[field.name]
        if isinstance(self.table, Delimited) and not self.alike and field.name in self.imputer.table.columns:
            return pa.array(filling.rows.cells(field.name), field.type)  # has null where the text has a marker
        if isinstance(column, list):
            if not self.typed:
                return column
            if is_text(field.type):
                column = [None if cell is None else as_text(cell) for cell in column]
            try:
                return pa.array(column, field.type)
            except pa.ArrowException as error:  # such as a large whole number in a column of floats
                raise unwritable(self.out, error) from error
        return column.cast(field.type) if pa.types.is_null(column.type) else column

    def _storable(self, cells: Sequence[Any], rows: Sequence[int], field: pa.Field) -> Sequence[Any]:
        """Pictures as the column holds them: the path of a file, or its bytes."""
        if not any(map(is_picture, cells)):
            return cells
        name, place = self.places[field.name]
        if is_bytes(field.type):
            return [png(cell) for cell in cells]
        if is_text(field.type) or self._untyped:
            return [self.pictures.path_of(cell, row, name, place) for cell, row in zip(cells, rows, strict=True)]
        return cells

    @property
    def _encoding(self) -> str | None:
        """The encoding of the new table, if it has letters that cannot be written."""
        return self.table.encoding if self.alike and isinstance(self.table, Delimited) else None

    def _has_letters(self, cell: Any) -> bool:
        """Whether the encoding of the new table has all letters of a cell."""
        if self._encoding is None or not isinstance(cell, str) or cell.isascii():
            return True
        try:
            cell.encode(self._encoding)
        except UnicodeEncodeError:
            return False
        return True

    def changes(self, filling: Filling) -> dict[str, Sequence[int]]:
        """Column -> the places of the rows where its cell changes."""
        places_of: dict[str, Sequence[int]] = {column: places for column, (places, _) in filling.cells.items()}
        for name in filling.spread:
            places_of[name] = np.flatnonzero(~np.isnan(filling.spread[name])).tolist()
        return places_of


def _note_on_paths(run: Run, run_table: RunTable, user_file: UserFile, out: Path) -> list[str]:
    """A note if paths in cells are relative to the old table's folder and the new table lies elsewhere."""
    old, new = user_file.beside.folder, out if names_folder(out) else out.parent
    if new.resolve() == old.resolve():
        return []
    columns = [
        column
        for name, modality in run.modalities.items()
        if modality.reads_files
        for column in modality.source_columns(name)
        if column in run_table.columns
    ]
    if not columns:
        return []
    where = user_file.folder or f"the folder of {user_file.path}"
    return [
        f"{out}: paths in the column {', '.join(columns)} are unchanged: relative to {where}, not to the folder of the "
        "new table"
    ]
