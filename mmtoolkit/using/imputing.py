"""The missing cells of a table, filled in by a trained run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.tables import Rows
from mmtoolkit.tables.fitting import plain
from mmtoolkit.using.run_table import Piece, RunTable, rows_at_once

_PAIRS = 1 << 13  # (draw, row) pairs decoded at once


@dataclass(frozen=True, eq=False)
class Filling:
    """What goes into some rows of a table.

    Attributes:
        start: the place of the first.
        rows: as the table holds them.
        cells: column -> the places among these rows that are filled, and their cells; columns that the table has not
            among them.
        spread: column that is added -> (n,) float64, NaN where nothing was filled.
    """

    start: int
    rows: Rows
    cells: Mapping[str, tuple[Sequence[int], Sequence[Any]]]
    spread: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class _Target:
    """A modality that is decoded, the columns that it fills, and by column of each what is added of its spread."""

    name: str
    modality: Modality
    columns: tuple[str, ...]
    spread: Mapping[str, Mapping[str, str]]


class Imputer:
    """Fills the missing cells of a table: with the point prediction of the mean of q(z | what a row has), or of draws.

    Where a row has nothing that z can be inferred from, q is the prior. A column that the run knows and the table has
    not is added and filled in every row.

    Args:
        run: the run.
        table: the rows, as the run reads them.
        samples: draws of z a row, which are joined to one prediction and tell its spread; 0 for the mean of q.
        seed: fixes the draws.

    Raises:
        UserError: the table has a column already that would be added.
    """

    def __init__(self, run: Run, table: RunTable, samples: int = 0, seed: int = 0) -> None:
        self.run, self.table, self.samples, self.seed = run, table, samples, seed
        self.filled: Counter[str] = Counter()
        """Column -> how many of its cells were filled."""
        self.left: Counter[tuple[str, str]] = Counter()
        """Column and why -> how many of its cells stay missing."""
        self.uninformed = 0
        """How many rows were filled from the prior."""
        self.examples: dict[str, Any] = {}
        """Column -> a cell as the run makes them, by which the type of a new column is told."""
        self._targets = self._planned()

    @property
    def added(self) -> list[str]:
        """The columns of modalities that the table has not and the model gives, in schema order."""
        return [column for column in self.table.absent if column in self.examples]

    @property
    def spread(self) -> list[str]:
        """The columns that tell the spread, after all others."""
        return [name for target in self._targets for told in target.spread.values() for name in told.values()]

    @torch.no_grad()
    def _planned(self) -> list[_Target]:
        """What each modality fills, tried on one row of which nothing is known."""
        run, taken, found = self.run, set(self.table.table.names), []
        z = torch.zeros(1, run.model.latent_dim, device=run.device)
        nothing = Batch.of_present(
            1,
            {name: torch.zeros(0, *m.event_shape(), device=run.device) for name, m in run.modalities.items()},
            dict.fromkeys(run.modalities, torch.zeros(0, dtype=torch.int64)),
        )
        for name, p in run.model.decode(z, nothing, run.model.targets).items():
            modality = run.modalities[name]
            cells = modality.by_column(name, [modality.cell(value) for value in modality.point(p).cpu()])
            columns = tuple(c for c in modality.source_columns(name) if c not in self.examples)  # the first fills it
            self.examples |= {column: cells[column][0] for column in columns}
            told = modality.spread(name, p, 1) if self.samples else {}
            spread = {c: {what: f"{c}_{what}" for what in told[c]} for c in columns if c in told}
            for new in (new for column in spread.values() for new in column.values()):
                if new in taken:
                    fault = f"has a column {new!r} already, in which the spread would stand; rename it"
                    raise UserError(f"{self.table.table.called}: {fault}")
                taken.add(new)
            found.append(_Target(name, modality, columns, spread))
        return found

    @torch.no_grad()
    def fillings(self, names: Sequence[str] | None = None) -> Iterator[Filling]:
        """What goes into all rows in order, a piece at a time.

        Args:
            names: columns to read beside those of the modalities; all where left out.
        """
        run = self.run
        generator = torch.Generator(run.device).manual_seed(seed_for("impute", self.seed))
        size = rows_at_once(run.modalities, self.table.used)
        if self.samples:
            size = min(size, max(_PAIRS // self.samples, 1))
        for piece in self.table.pieces(size, names, blank=True):
            q = run.model.infer_all(piece.batch)
            z = q.mean.unsqueeze(0)
            if self.samples:
                shape = (self.samples, piece.batch.size, run.model.latent_dim)
                z = q.rsample(torch.randn(shape, generator=generator, device=run.device))
            yield self._filling(piece, z)

    def _filling(self, piece: Piece, z: Tensor) -> Filling:
        """What goes into the rows of a piece, z (K, B, D)."""
        present = piece.present
        names = list(self.run.modalities)
        ready = present[:, [names.index(name) for name in self.run.model.conditions]].all(1).numpy()
        told = self.run.model.informed(present).numpy()
        cells: dict[str, tuple[Sequence[int], Sequence[Any]]] = {}
        spread = {name: np.full(len(present), np.nan) for name in self.spread}
        touched = np.zeros(len(present), dtype=bool)
        seen: set[str] = set()
        for target in self._targets:
            blank = {column: piece.blank[target.name][column] for column in target.columns}
            seen |= blank.keys()
            wanted = np.logical_or.reduce(list(blank.values())) if blank else np.zeros(len(present), dtype=bool)
            rows = np.flatnonzero(wanted & ready)
            for column, holes in blank.items():
                self._stay(column, int((holes & ~ready).sum()), self._unready)
            if not len(rows):
                continue
            touched[rows] = True
            made, p = self._made(target, piece.batch, z, torch.from_numpy(rows))
            for column in target.columns:
                chosen = np.flatnonzero(blank[column][rows])
                cells[column] = self._readable(
                    column,
                    rows[chosen].tolist(),
                    [plain(made[column][place]) for place in chosen.tolist()],
                    piece.rows.missing,
                )
            for column, what in (target.modality.spread(target.name, p, self.samples) if target.spread else {}).items():
                for key, values in what.items() if column in target.spread else ():
                    holes = blank[column][rows]
                    told_of = values.double().cpu().numpy()[holes]
                    spread[target.spread[column][key]][rows[holes]] = [plain(number) for number in told_of.tolist()]
        self.uninformed += int((touched & ~told).sum())
        for name in names:  # what the model does not decode stays as it is
            for column, holes in piece.blank[name].items():
                if column not in seen and column not in self.table.absent:
                    self._stay(column, int(holes.sum()), "the model does not decode them")
                seen.add(column)
        return Filling(piece.start, piece.rows, cells, spread)

    def _made(
        self, target: _Target, batch: Batch, z: Tensor, rows: Tensor
    ) -> tuple[Mapping[str, Sequence[Any]], Distribution]:
        """The cells that a modality's columns would hold in some rows, and the distribution they are points of."""
        model, modality = self.run.model, target.modality
        part = batch.only({target.name, *model.conditions}).take(rows)
        p = model.decode(z.index_select(1, rows.to(z.device)).flatten(0, 1), part, [target.name])[target.name]
        values = list((modality.pooled(p, self.samples) if self.samples else modality.point(p)).cpu())
        if len(known := part.rows(target.name)):  # a vector of which some is known
            made = torch.stack([values[place] for place in known.tolist()])
            whole = modality.filled(part.value(target.name).cpu(), made)
            for place, value in zip(known.tolist(), whole, strict=True):
                values[place] = value
        return modality.by_column(target.name, [modality.cell(value) for value in values]), p

    def _readable(
        self, column: str, places: Sequence[int], cells: Sequence[Any], missing: Collection[str]
    ) -> tuple[Sequence[int], Sequence[Any]]:
        """The cells that were made, less the texts that would be read as missing: no hole is filled with a hole."""
        kept = [at for at, cell in enumerate(cells) if not (isinstance(cell, str) and cell in missing)]
        self._stay(column, len(cells) - len(kept), "the text made for them is one that stands for a missing cell")
        self.filled[column] += len(kept)
        return [places[at] for at in kept], [cells[at] for at in kept]

    def _stay(self, column: str, count: int, why: str) -> None:
        if count:
            self.left[column, why] += count

    @property
    def _unready(self) -> str:
        return f"the model decodes them given {', '.join(self.run.model.conditions)}, which these rows lack"

    def refused(self, column: str, count: int) -> None:
        """Note that some cells that were made do not fit into the type of their column, and were not put there."""
        self._stay(column, count, f"the type of the column holds no cell such as {self.examples[column]!r}")
        self.filled[column] -= count

    def notes(self) -> list[str]:
        """What the user should know of what was filled and what was not."""
        notes = self.table.notes()
        named = self.table.table.called
        if self.table.absent:
            lacking = [column for column in self.table.absent if column not in self.examples]
            if self.added:
                notes.append(f"{named}: has no column {', '.join(self.added)}: added, and filled in every row")
            if lacking:
                notes.append(f"{named}: has no column {', '.join(lacking)}, which the model cannot give")
        for (column, why), count in self.left.items():
            notes.append(f"{named}: cells of {column} that stay missing: {count:,}; {why}")
        if self.uninformed:
            rows = f"rows with nothing that z is inferred from: {self.uninformed:,}"
            notes.append(f"{named}: {rows}; they are filled from the prior")
        return notes
