"""Explains the rows of a table: what each modality and each column of a record contributes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.meter import Meter
from mmtoolkit.components import Run
from mmtoolkit.figures.files import save_figure
from mmtoolkit.tables.fitting import fitted, type_of
from mmtoolkit.tables.output import check_output
from mmtoolkit.tables.writing import fields_of, new_table
from mmtoolkit.using.contribution_bars import MeanBars, figure_of_row
from mmtoolkit.using.contributions import Contributions, Explainer
from mmtoolkit.using.embedding import check_copied_columns, read_by
from mmtoolkit.using.lost_texts import LostTexts
from mmtoolkit.using.run_table import Piece, RunTable, rows_at_once
from mmtoolkit.using.user_table import UserFile, UserFrame, UserTable

_MOST_ROWS = 512  # at once, each with some draws of z


class TableExplainer:
    """Computes the contributions in all rows of a user's table, and draws a picture of them.

    Args:
        run: infers z.
        user_table: the rows.
        target: the modality whose prediction to explain.
        figure: the file of a picture.
        row: the row that the picture shows, counted from 0; by default it shows the means over all rows.

    Raises:
        UserError: the run explains nothing in this table, there is no such row, or no picture can be written there.
    """

    def __init__(
        self,
        run: Run,
        user_table: UserTable,
        target: str | None = None,
        figure: Path | None = None,
        row: int | None = None,
    ) -> None:
        self.explainer = Explainer(run, target)
        self.table = RunTable.of(run, user_table, read_by(run))
        self.row, self.figure = row, figure
        called, length = self.table.table.called, len(self.table.table)
        if row is not None and not 0 <= row < length:
            raise UserError(f"{called}: has {length:,} rows, so there is no row {row + 1:,} to draw; choose another")

    @property
    def predicted(self) -> str | None:
        """The name of the column of predictions; None if there is none."""
        return None if self.explainer.example is None else f"{self.explainer.target}_predicted"

    @property
    def names(self) -> list[str]:
        """The names of the new columns: the prediction, then PART_MEASURE."""
        numbers = ["_".join(key) for key in self.explainer.keys()]  # noqa: SIM118 (a method, no mapping)
        return numbers if self.predicted is None else [self.predicted, *numbers]

    @property
    def fields(self) -> list[tuple[str, pa.DataType]]:
        """The new columns with their types."""
        kind = {} if self.predicted is None else {self.predicted: type_of(self.explainer.example)}
        return [(name, kind.get(name, pa.float32())) for name in self.names]

    def pieces(self, names: Sequence[str] = ()) -> Iterator[tuple[Piece, dict[str, pa.Array]]]:
        """The new columns of all rows in order, some rows at a time. At the end, the picture is written.

        Args:
            names: columns of the table to read besides those of the modalities.
        """
        means = MeanBars(self.explainer)
        size = min(rows_at_once(self.table.run.modalities, self.table.used), _MOST_ROWS)
        for piece in self.table.pieces(size, names):
            contributions = self.explainer.contributions(piece.batch)
            if self.row is None:
                means.add(contributions, piece.batch.size)
            elif piece.start <= self.row < piece.start + piece.batch.size:
                self._draw_row(piece, contributions, self.row)
            yield piece, self._columns(contributions)
        if self.figure is not None and self.row is None:
            title = f"{self._title}: means over {means.rows:,} rows"
            save_figure(means.figure(title), self.figure)

    def _draw_row(self, piece: Piece, contributions: Contributions, row: int) -> None:
        if self.figure is not None:
            title = f"{self._title}, row {row + 1:,}"
            figure = figure_of_row(self.explainer, contributions, piece.batch, row - piece.start, title)
            save_figure(figure, self.figure)

    @property
    def _title(self) -> str:
        return Path(self.table.table.called).name

    def _columns(self, contributions: Contributions) -> dict[str, pa.Array]:
        columns = {
            "_".join(key): pa.array(values.float().numpy(), from_pandas=True)  # NaN becomes null
            for key, values in contributions.numbers.items()
        }
        if self.predicted is None or contributions.predicted is None:
            return columns
        kind = type_of(self.explainer.example)
        return {self.predicted: fitted(contributions.predicted, kind), **columns}

    def notes(self, lacking: Sequence[str]) -> list[str]:
        """Lines for the user about the rows, and about columns that the table lacks."""
        called = self.table.table.called
        notes = self.table.notes()
        if lacking:
            notes.append(f"{called}: has no column {self.table.listed(lacking)}: z is inferred without it")
        return [*notes, *(f"{called}: {note}" for note in self.explainer.notes())]


def explain_table(
    run: Run,
    user_file: UserFile,
    out: Path | None,
    target: str | None = None,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    figure: Path | None = None,
    row: int | None = None,
    meter: Callable[[Callable[[str], None], str, int], Meter] = Meter,
) -> list[str]:
    """Write the contributions in each row of a table, some rows at a time, and a picture of them.

    Args:
        run: infers z.
        user_file: the table.
        out: the file to write; None for a picture alone.
        target: the modality whose prediction to explain.
        keep: columns of the table to copy, before the others.
        overwrite: whether to replace files that exist.
        figure: the file of a picture.
        row: the row that the picture shows, counted from 0; by default it shows the means over all rows.
        meter: creates a meter of the rows from `run.say`, the name of the task and the number of rows.

    Returns:
        Lines for the user, such as notes on empty rows.

    Raises:
        UserError: the table cannot be read or written, or has no such column or row; the model does not predict the
            target. No half-written file stays.
    """
    table = user_file.rows
    if figure is not None:
        check_figure(figure, overwrite)
    explainer = TableExplainer(run, user_file, target, figure, row)
    progress = meter(run.say, "explain", len(table))
    lacking = list(explainer.table.misnamed)
    if out is None:
        for piece, _ in explainer.pieces():
            progress.advance(piece.batch.size)
            if row is not None and row < piece.start + piece.batch.size:
                break
        return explainer.notes(lacking)
    check_output(out, overwrite, table.path)
    check_copied_columns(table, keep, explainer.names)
    fields = pa.schema([*(fields_of(table).field(name) for name in keep), *explainer.fields])
    lost = LostTexts(table, out)
    with new_table(out, fields) as writer:
        for piece, columns in explainer.pieces(keep):
            copied = {name: piece.rows.raw[name] for name in keep}
            writer.write(copied | columns)
            lost.count(copied)
            progress.advance(piece.batch.size)
    return [*explainer.notes(lacking), *lost.notes()]


def check_figure(figure: Path, overwrite: bool) -> None:
    """Raise if a picture cannot be written to a file."""
    if figure.suffix.lower() != ".png":
        raise UserError(f"{figure}: the picture is a PNG; give a file that ends in .png")
    if os.path.lexists(figure) and not overwrite:
        raise UserError(f"{figure}: is there already; give --overwrite to replace it, or another file")


def explain_frame(
    run: Run,
    user_frame: UserFrame,
    target: str | None,
    keep: Sequence[str],
    figure: Path | None,
    row: int | None,
) -> tuple[Any, list[str]]:
    """Explain a table in memory, as a table of the same kind, with notes; see `TrainedRun.explain`."""
    frame = user_frame.rows
    if figure is not None:
        check_figure(figure, overwrite=True)
    explainer = TableExplainer(run, user_frame, target, figure, row)
    check_copied_columns(frame, keep, explainer.names)
    fields = pa.schema(explainer.fields)
    tables = [pa.table(columns, fields) for _, columns in explainer.pieces()]
    new = pa.concat_tables([fields.empty_table(), *tables])
    columns = {
        name: new[name].to_pylist() if name == explainer.predicted else new[name].to_numpy() for name in explainer.names
    }
    return frame.alongside(keep, columns), explainer.notes(explainer.table.absent)
