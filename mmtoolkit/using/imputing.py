"""Predicts the missing cells of a table with a trained run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Modality, Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.tables import Rows
from mmtoolkit.tables.fitting import fitted, plain, type_of
from mmtoolkit.tables.gaps import are_alike
from mmtoolkit.tables.signs import Signs, signs_of
from mmtoolkit.tables.summary import ColumnSummary, summarise_columns
from mmtoolkit.tables.types import type_named
from mmtoolkit.using.fill import Fill, Predicted
from mmtoolkit.using.run_table import Piece, RunTable, rows_at_once

_PAIRS = 1 << 13  # (draw, row) pairs to decode at once
_NOTHING = "these rows have nothing to infer z from, and the model has no p(z)"


class TypedRun(Run, Protocol):
    """A run that knows the types of its columns."""

    @property
    def types(self) -> Mapping[str, str]:
        """Column -> the Arrow type that it had in the run's data, such as int64; none for columns without a type."""


@dataclass(frozen=True)
class ImputeSummary:
    """What an imputation did to a table.

    Attributes:
        filled: column -> how many of its cells are filled, lists of which only gaps are filled included.
        unfilled: column -> reason -> how many of its cells stay missing.
        absent: the columns that the run knows and the table lacks.
        added: those of them that are added.
        uninformed: how many rows have nothing to infer z from, and are filled from the prior.
        bad: modality -> how many of its cells cannot be read, and the first fault with its row.
        notes: all that changes results, as lines.
    """

    filled: Mapping[str, int]
    unfilled: Mapping[str, Mapping[str, int]]
    absent: Sequence[str]
    added: Sequence[str]
    uninformed: int
    bad: Mapping[str, tuple[int, str]]
    notes: Sequence[str]


@dataclass(frozen=True, eq=False)
class Filling:
    """Predictions for n rows of a table.

    Attributes:
        start: the place of the first row.
        rows: the rows of the table.
        cells: column -> the places among these rows to fill, and their cells; columns that the table lacks included.
            Where the table has a list with gaps, the cell fills only these.
        spread: new column -> (n,) float64, NaN where no cell is filled.
    """

    start: int
    rows: Rows
    cells: Mapping[str, tuple[Sequence[int], Sequence[Any]]]
    spread: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class _Target:
    """A modality that the model decodes.

    Attributes:
        name: of the modality.
        modality: the modality.
        columns: the columns that it fills.
        spread: column -> measure of spread -> the new column for it.
    """

    name: str
    modality: Modality
    columns: tuple[str, ...]
    spread: Mapping[str, Mapping[str, str]]


class Imputer:
    """Fills the missing cells of a table from q(z | all that a row has).

    If a row has nothing to infer z from, q is the prior. If the table lacks a column that the run knows, the column is
    added and filled in every row.

    Args:
        run: predicts the cells.
        table: the rows, as the run reads them.
        fill: what the cells get; by default the prediction. If it pools draws of z, they also give the spread.
        signs: further texts that no cell is filled with, since a reader of the new table takes them for missing.

    Raises:
        UserError: the table already has a column with the name of a new column for the spread.
    """

    def __init__(self, run: TypedRun, table: RunTable, fill: Fill | None = None, signs: Collection[str] = ()) -> None:
        self.run, self.table, self.fill, self.signs = run, table, fill or Predicted(), signs
        self.filled: Counter[str] = Counter()
        """Column -> how many of its cells are filled."""
        self.unfilled: Counter[tuple[str, str]] = Counter()
        """Column and reason -> how many of its cells stay missing."""
        self.uninformed = 0
        """How many rows are filled from the prior."""
        self.examples: dict[str, Any] = {}
        """Column -> an example of the cells that the run predicts, from which a new column gets its type."""
        self.types: dict[str, pa.DataType | None] = {}
        """Column -> the type that its known cells ask for, where a modality has signs of its own."""
        self._targets = self._plan()
        self._styles = self._read_styles()
        self.examples = {column: plain(self._styles[column](cell)) for column, cell in self.examples.items()}

    @property
    def added(self) -> list[str]:
        """The columns that the table lacks and the model can fill, in schema order."""
        return [column for column in self.table.absent if column in self.examples]

    def added_type(self, column: str) -> pa.DataType:
        """The type of a column that the table lacks: the one learned, if it holds what the run predicts."""
        example, name = self.examples[column], self.run.types.get(column)
        learned = None if name is None else type_named(name)
        if learned is None or fitted([example], learned).null_count:
            return type_of(example)
        return learned

    @property
    def spread(self) -> list[str]:
        """The new columns for the spread, after all others."""
        return [name for target in self._targets for names in target.spread.values() for name in names.values()]

    @torch.no_grad()
    def _plan(self) -> list[_Target]:
        """Decode one empty row, to see which columns each modality fills."""
        run, names, targets = self.run, set(self.table.table.names), []
        z = torch.zeros(1, run.model.latent_dim, device=run.device)
        nothing = Batch.of_present(
            1,
            {name: torch.zeros(0, *m.event_shape(), device=run.device) for name, m in run.model.modalities.items()},
            dict.fromkeys(run.model.modalities, torch.zeros(0, dtype=torch.int64)),
        )
        for name, p in run.model.decode(z, nothing, run.model.targets).items():
            modality = run.modalities[name]
            cells = modality.by_column(name, [modality.cell(value) for value in modality.point(p).cpu()])
            columns = tuple(c for c in modality.source_columns(name) if c not in self.examples)  # the first fills it
            self.examples |= {column: cells[column][0] for column in columns}
            measures = modality.spread(name, p, 1) if self.fill.samples else {}
            spread = {c: {measure: f"{c}_{measure}" for measure in measures[c]} for c in columns if c in measures}
            for new in (new for column in spread.values() for new in column.values()):
                if new in names:
                    fault = f"already has a column {new!r}, where the spread would go; rename it"
                    raise UserError(f"{self.table.table.called}: {fault}")
                names.add(new)
            targets.append(_Target(name, modality, columns, spread))
        return targets

    def _read_styles(self) -> dict[str, Callable[[Any], Any]]:
        """Column -> how the table writes a cell of it, for each column that a modality fills."""
        modality_of = {column: target.modality for target in self._targets for column in target.columns}
        read = [c for c, modality in modality_of.items() if not modality.reads_files and c not in self.table.absent]
        signs = {column: modality.missing or () for column, modality in modality_of.items()}
        known = summarise_columns(self.table.table, read, signs=signs) if read else []
        summaries = {column.name: column for column in known}
        self.types = {column.name: column.type for column in known if signs[column.name]}
        rows, text_format = len(self.table.table), not self.table.table.has_null
        empty = {c: ColumnSummary(c, rows, 0, (), (), text_format=text_format) for c in modality_of}
        return {c: modality.style(summaries.get(c, empty[c])) for c, modality in modality_of.items()}

    @torch.no_grad()
    def fillings(self, names: Sequence[str] | None = None, lines: bool = False) -> Iterator[Filling]:
        """Predict the missing cells of all rows in order, some rows at a time.

        Args:
            names: columns to read besides those of the modalities; by default all.
            lines: whether to read the text of the rows too, `Rows.lines`.
        """
        run = self.run
        fill, part = self.fill, ""
        generator = fill.generator(run.device)
        size = rows_at_once(run.modalities, self.table.used)
        if fill.samples:
            size = min(size, max(_PAIRS // fill.samples, 1))
        for piece in self.table.pieces(size, names, blank=True, lines=lines):
            if piece.rows.part != part:
                part = piece.rows.part
                generator = fill.generator(run.device, part)
            z = fill.latents(run.model, self._units, run.model.infer_all(piece.batch), generator)
            yield self._filling(piece, z, generator)

    @property
    def _units(self) -> dict[str, list[_Target]]:
        """The units of the model, with what each fills."""
        units: dict[str, list[_Target]] = {}
        for target in self._targets:
            (unit,) = self.run.model.touched([target.name])
            units.setdefault(unit, []).append(target)
        return units

    def _filling(self, piece: Piece, z: Mapping[str, Tensor], generator: torch.Generator) -> Filling:
        """Predict the missing cells of a piece from z (K, B, D) for each unit."""
        present = piece.batch.present
        names = list(self.run.model.modalities)
        ready = present[:, [names.index(name) for name in self.run.model.conditions]].all(1).numpy()
        informed = self.run.model.informed(present).numpy()
        certain = informed if self.run.model.prior is None else np.ones(len(present), dtype=bool)
        cells: dict[str, tuple[Sequence[int], Sequence[Any]]] = {}
        spread = {name: np.full(len(present), np.nan) for name in self.spread}
        has_filled = np.zeros(len(present), dtype=bool)
        handled: set[str] = set()
        for unit, targets in self._units.items():
            gaps = {target.name: self._find_gaps(target, piece) for target in targets}
            holes_of = {c: _with(piece.blank[t.name][c], gaps[t.name][c]) for t in targets for c in t.columns}
            blank = {column: self._fillable(column, holes, piece) for column, holes in holes_of.items()}
            handled |= blank.keys()
            has_holes = np.logical_or.reduce(list(blank.values())) if blank else np.zeros(len(present), dtype=bool)
            rows = np.flatnonzero(has_holes & ready & certain)
            for column, holes in blank.items():
                self._count_unfilled(column, int((holes & ~ready).sum()), self._unready)
                self._count_unfilled(column, int((holes & ready & ~certain).sum()), _NOTHING)
            if not len(rows):
                continue
            has_filled[rows] = True
            predictions = self._predict(targets, piece.batch, z[unit], torch.from_numpy(rows), generator)
            for target in targets:
                values, measures = predictions[target.name]
                places = np.flatnonzero(np.logical_or.reduce([blank[c][rows] for c in target.columns]))
                whole = [target.modality.cell(values[place]) for place in places.tolist()]
                by_column = target.modality.by_column(target.name, whole)
                for column in target.columns:
                    own, style = np.flatnonzero(blank[column][rows[places]]), self._styles[column]
                    new = [plain(style(by_column[column][place])) for place in own.tolist()]
                    # An empty text would look like a hole in every format.
                    cells[column] = self._without_signs(
                        column,
                        *self._without_misfits(column, rows[places[own]].tolist(), new, gaps[target.name][column]),
                        signs_of(("", *piece.rows.missing, *(target.modality.missing or ()), *self.signs)),
                    )
                    for measure, new_column in target.spread.get(column, {}).items():
                        numbers = measures[column][measure].double().cpu().numpy()
                        spread[new_column][rows] = np.where(blank[column][rows], numbers, spread[new_column][rows])
        self.uninformed += int((has_filled & ~informed).sum())
        for name in names:  # columns that the model does not decode stay as they are
            for column, holes in piece.blank[name].items():
                if column not in handled and column not in self.table.absent:
                    self._count_unfilled(column, int(holes.sum()), "the model does not decode them")
                handled.add(column)
        return Filling(piece.start, piece.rows, cells, spread)

    def _find_gaps(self, target: _Target, piece: Piece) -> dict[str, dict[int, Any]]:
        """Column -> place -> its cell, for lists with gaps in rows of which the modality knows a part only."""
        known = target.modality.known_parts(piece.batch.value(target.name)).all(1).cpu()
        partly = piece.batch.rows(target.name)[~known].tolist()
        gaps = {
            column: piece.rows.lists_with_gaps(column, partly) if partly and column in self.table.columns else {}
            for column in target.columns
        }
        parsed = piece.parsed[target.name]
        if partly and parsed is not None and len(target.modality.source_columns(target.name)) == 1:
            for column, of_column in gaps.items():
                unseen = sum(place not in of_column and place not in parsed.faults for place in partly)
                self._count_unfilled(column, unseen, "they lack a part, and are no lists with null or NaN in its place")
        return gaps

    def _without_misfits(
        self, column: str, places: Sequence[int], cells: Sequence[Any], gaps: Mapping[int, Any]
    ) -> tuple[Sequence[int], Sequence[Any]]:
        """Drop predictions that cannot fill the gaps of a list, as they are lists of another length."""
        fit = [at for at, place in enumerate(places) if place not in gaps or are_alike(gaps[place], cells[at])]
        self._count_unfilled(column, len(places) - len(fit), "their lists are not as long as those of the model")
        return [places[at] for at in fit], [cells[at] for at in fit]

    def _fillable(self, column: str, blank: NDArray[np.bool_], piece: Piece) -> NDArray[np.bool_]:
        """Which blank cells of a column may be filled, (n,) bool: those that no formula computes."""
        if not (formulas := piece.rows.formulas.get(column)):
            return blank
        computed = np.zeros(len(blank), dtype=bool)
        computed[list(formulas)] = True
        self._count_unfilled(column, int((blank & computed).sum()), "a formula computes them")
        return blank & ~computed

    def _predict(
        self, targets: Sequence[_Target], batch: Batch, z: Tensor, rows: Tensor, generator: torch.Generator
    ) -> dict[str, tuple[Tensor, Mapping[str, Mapping[str, Tensor]]]]:
        """Predict the modalities of one unit in some rows, by one pass of its decoder.

        Returns:
            For each modality, its values (n, *event), in which known parts stay, and measures of their spread.
        """
        model, names = self.run.model, [target.name for target in targets]
        part, draws = batch.only({*names, *model.conditions}).take(rows), len(z)
        values: dict[str, list[Tensor]] = {name: [] for name in names}
        spreads: dict[str, list[Mapping[str, Mapping[str, Tensor]]]] = {name: [] for name in names}
        size = max(_PAIRS // draws, 1)
        for place, some in enumerate(part.split(size)):
            own = rows[place * size : (place + 1) * size].to(z.device)
            decoded = model.decode(z.index_select(1, own).flatten(0, 1), some, names)
            for target in targets:
                modality, p = target.modality, decoded[target.name]
                value = self.fill.values(modality, p, draws, generator).cpu()
                if len(known := some.rows(target.name)):
                    value[known] = modality.filled(some.value(target.name).cpu(), value[known])
                values[target.name].append(value)
                spreads[target.name].append(modality.spread(target.name, p, draws) if target.spread else {})
        return {name: (torch.cat(values[name]), _joined(spreads[name])) for name in names}

    def _without_signs(
        self, column: str, places: Sequence[int], cells: Sequence[Any], signs: Signs
    ) -> tuple[Sequence[int], Sequence[Any]]:
        """Drop predictions that would not fill a cell: those that stand for a missing one, and empty texts."""
        values = [at for at, cell in enumerate(cells) if signs.shown(cell) is None]
        reason = "the text or number that the model predicts is empty or stands for a missing cell"
        self._count_unfilled(column, len(cells) - len(values), reason)
        self.filled[column] += len(values)
        return [places[at] for at in values], [cells[at] for at in values]

    def _count_unfilled(self, column: str, count: int, reason: str) -> None:
        if count:
            self.unfilled[column, reason] += count

    @property
    def _unready(self) -> str:
        return f"the model decodes them given {', '.join(self.run.model.conditions)}, which these rows lack"

    def count_unfit(self, column: str, count: int, reason: str = "") -> None:
        """Count cells that stay missing because their column cannot hold the prediction; by default, for its type."""
        own = f"the type of the column cannot hold a cell such as {self.examples[column]!r}"
        self._count_unfilled(column, count, reason or own)
        self.filled[column] -= count

    def summary(self) -> ImputeSummary:
        """What was done, once all rows are filled."""
        unfilled: dict[str, dict[str, int]] = {}
        for (column, reason), count in self.unfilled.items():
            unfilled.setdefault(column, {})[reason] = count
        filled = {column: count for column, count in self.filled.items() if count}
        return ImputeSummary(
            filled, unfilled, self.table.absent, self.added, self.uninformed, self.table.bad, self.notes()
        )

    def notes(self) -> list[str]:
        """Lines for the user about added columns, cells that stay missing and empty rows."""
        notes = self.table.notes()
        name = self.table.table.called
        if self.added:
            notes.append(f"{name}: has no column {self.table.listed(self.added)}: added, and filled in every row")
        if unknown := [column for column in self.table.absent if column not in self.examples]:
            notes.append(f"{name}: has no column {self.table.listed(unknown)}, which the model cannot predict")
        for (column, reason), count in self.unfilled.items():
            notes.append(f"{name}: cells of {column} that stay missing: {count:,}; {reason}")
        if self.uninformed:
            rows = f"rows with nothing to infer z from: {self.uninformed:,}"
            notes.append(f"{name}: {rows}; they are filled from the prior")
        return notes


def _with(mask: NDArray[np.bool_], places: Collection[int]) -> NDArray[np.bool_]:
    """A mask (n,) that is true at more places."""
    more = mask.copy()
    more[list(places)] = True
    return more


def _joined(parts: Sequence[Mapping[str, Mapping[str, Tensor]]]) -> dict[str, dict[str, Tensor]]:
    """Measures of spread of rows in parts, one after the other."""
    return {
        column: {measure: torch.cat([part[column][measure].cpu() for part in parts]) for measure in by_measure}
        for column, by_measure in parts[0].items()
    }
