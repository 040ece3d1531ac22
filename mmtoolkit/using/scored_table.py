"""Scores the rows and cells of a table: how likely a run finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.meter import Meter
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Run
from mmtoolkit.components.evaluator import unmodelled_notes
from mmtoolkit.tables import Rows
from mmtoolkit.tables.output import check_output, names_folder
from mmtoolkit.tables.parts import is_parted
from mmtoolkit.tables.writing import fields_of, new_table
from mmtoolkit.using.cell_scores import CellScorer
from mmtoolkit.using.embedding import check_copied_columns
from mmtoolkit.using.lost_texts import LostTexts
from mmtoolkit.using.references import own_reference, training_reference
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.suspects import Suspect, Suspects
from mmtoolkit.using.suspicion import suspicions
from mmtoolkit.using.user_table import UserFile, UserFrame, UserTable

Ranks = Literal["train", "table"]
_TASKS = ("rows", "left", "expected")

SAMPLES = 100
"""Draws of z for each row and each cell, if nobody says how many."""


class TableScorer:
    """Scores the rows of a table, and their cells.

    Args:
        run: knows how likely they are.
        user_table: the table.
        samples: draws of z for each row, and for each cell.
        seed: fixes the draws.
        ranks: among which cells to rank: `train`, those of the run's training rows, or `table`, those of the table.
        top: how many of the most suspicious cells to keep.

    Raises:
        UserError: an option does not fit; the table has none of the run's columns; a cell of it cannot be read; or the
            ranks need the run's training rows, and these cannot be read.
    """

    def __init__(
        self, run: Run, user_table: UserTable, samples: int, seed: int, ranks: Ranks = "train", top: int = 0
    ) -> None:
        for option, number, least in (("samples", samples, 1), ("seed", seed, 0), ("top", top, 0)):
            if not isinstance(number, int) or number < least:
                raise UserError(f"{option}: {number!r} does not fit; give a whole number of {least} or more")
        if ranks not in ("train", "table"):
            raise UserError(f"ranks: {ranks!r} does not fit; choose train or table")
        self.run, self.table = run, RunTable.of(run, user_table, run.model.modalities)

        self._seed, self._generators = seed, {task: torch.Generator(run.device) for task in _TASKS}
        self._begin("")

        def scorer(task: str) -> CellScorer:
            return CellScorer(run.model, samples, self._generators[task])

        # Each has its own draws and counts, so that no score depends on what else is computed.
        self.scorer, self._again, self.suspects = scorer("rows"), scorer("left"), Suspects(scorer("expected"), top)
        self._notes: list[str] = []
        if ranks == "train":
            self.reference, self._notes = training_reference(run, samples)
        else:
            self.reference = own_reference(run, RunTable.of(run, user_table, run.model.modalities), samples)

    def _begin(self, part: str) -> None:
        """Seed the draws of a file of the table: each file has its own, whichever job reads it."""
        for task, generator in self._generators.items():
            generator.manual_seed(seed_for("score", task, self._seed, *([part] if part else [])))

    @property
    def columns(self) -> list[str]:
        """The names of the new columns."""
        of_cells = (column for name in self.scorer.names for column in (f"{name}_log_prob", f"{name}_rank"))
        return ["log_likelihood", "log_likelihood_error", "suspicion", *of_cells]

    @torch.no_grad()
    def pieces(self, names: Sequence[str] = ()) -> Iterator[tuple[Rows, Tensor]]:
        """Score all rows in order, n at a time: the rows of the table, and the new columns (C, n), NaN where missing.

        Args:
            names: columns to read besides those of the modalities.
        """
        part = ""
        for piece in self.table.pieces(names=names):
            if piece.rows.part != part:
                part = piece.rows.part
                self._begin(part)
            columns = [*self.scorer.likelihoods(piece.batch)]
            log_probs = self.scorer.cells(piece.batch)
            ranks = {name: self.reference.rank(name, values) for name, values in log_probs.items()}
            suspicion = suspicions(self._again, self.reference, piece.batch, log_probs)
            self.suspects.add(piece, log_probs, ranks, suspicion)
            columns.append(_largest(list(suspicion.values()), piece.batch.size))
            for name, values in log_probs.items():
                columns += [values, ranks[name]]
            yield piece.rows, torch.stack(columns)

    def notes(self, likelihoods: bool = True) -> list[str]:
        """Lines for the user about the rows and cells, once all are scored.

        Args:
            likelihoods: whether the user sees the log-likelihoods of rows.
        """
        absent = self.table.absent
        lacking = [f"{self.table.table.called}: has no column {self.table.listed(absent)}: all rows lack it"]
        return [
            *self.table.notes(),
            *(lacking if absent else []),
            *unmodelled_notes(self.run),
            *self.scorer.notes(likelihoods),
            *self._notes,
        ]


def _largest(columns: Sequence[Tensor], rows: int) -> Tensor:
    """The largest number of each row, NaN where it has none: (B,)."""
    lowest = torch.full((rows,), -torch.inf, dtype=torch.float64)
    largest = torch.stack([lowest, *(column.nan_to_num(nan=-torch.inf) for column in columns)]).amax(0)
    return torch.where(largest.isinf(), torch.nan, largest)


def score_table(
    run: Run,
    user_file: UserFile,
    out: Path | None = None,
    keep: Sequence[str] = (),
    samples: int = SAMPLES,
    seed: int = 0,
    ranks: Ranks = "train",
    top: int = 0,
    overwrite: bool = False,
    meter: Callable[[Callable[[str], None], str, int], Meter] = Meter,
) -> tuple[list[Suspect], list[str]]:
    """Score the rows and cells of a table, some rows at a time; see `TrainedRun.score`.

    Args:
        run: knows how likely they are.
        user_file: the table.
        out: the file to write the scores to, or a folder for a table in parts; None writes none.
        keep: columns of the table to copy, before the others.
        samples: draws of z for each row, and for each cell.
        seed: fixes the draws.
        ranks: among which cells to rank.
        top: how many of the most suspicious cells to return.
        overwrite: whether to replace `out` if it exists.
        meter: creates a meter of the rows from `run.say`, the name of the task and the number of rows.

    Returns:
        The most suspicious cells, and lines for the user.

    Raises:
        UserError: as in `TableScorer`; or `out` cannot be written, or there is no such column; no half-written file
            stays.
    """
    table = user_file.rows
    if out is not None:
        check_output(out, overwrite, table.path, is_parted(table.path), user_file.shard)
    scorer = TableScorer(run, user_file, samples, seed, ranks, top)
    names = scorer.columns
    check_copied_columns(table, keep, names)
    progress = meter(run.say, "score", len(table))
    if out is None:
        for rows, _ in scorer.pieces():
            progress.advance(len(rows))
        return scorer.suspects.ordered(), scorer.notes(likelihoods=False)
    fields = pa.schema([fields_of(table).field(name) for name in keep] + [(name, pa.float64()) for name in names])
    lost = LostTexts(table, out)
    with new_table(out, fields, table if names_folder(out) else None) as writer:
        for rows, values in scorer.pieces(keep):
            copied = {name: rows.raw[name] for name in keep}
            new = {name: pa.array(column, from_pandas=True) for name, column in zip(names, values.numpy(), strict=True)}
            writer.write(copied | new)
            lost.count(copied)
            progress.advance(len(rows))
    return scorer.suspects.ordered(), [*scorer.notes(), *lost.notes()]


def score_frame(
    run: Run, user_frame: UserFrame, keep: Sequence[str], samples: int, seed: int, ranks: Ranks, top: int
) -> tuple[Any, list[Suspect], list[str]]:
    """Score a table in memory: a table of the same kind, the most suspicious cells, and notes."""
    frame = user_frame.rows
    scorer = TableScorer(run, user_frame, samples, seed, ranks, top)
    names = scorer.columns
    check_copied_columns(frame, keep, names)
    parts = [values.numpy() for _, values in scorer.pieces()]
    numbers = np.concatenate([np.zeros((len(names), 0)), *parts], axis=1)
    answer = frame.alongside(keep, dict(zip(names, numbers, strict=True)))
    return answer, scorer.suspects.ordered(), scorer.notes()
