"""Embeds the rows of a table: mean and log-variance of their posterior."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.meter import Meter
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components import Network, Run
from mmtoolkit.tables import Rows, RowTable
from mmtoolkit.tables.output import check_output, names_folder
from mmtoolkit.tables.parts import is_parted
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.writing import fields_of, new_table
from mmtoolkit.using.lost_texts import LostTexts
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFile


def embedding_columns(model: Network, private: bool = False) -> list[str]:
    """The names of the new columns: mean_0 … and logvar_0 …, one of each for a latent variable.

    Args:
        model: infers z.
        private: whether to write all of z, also what is private to a modality; the shared part comes first.
    """
    size = model.latent_dim if private else model.shared.stop - model.shared.start
    return [f"{what}_{k}" for what in ("mean", "logvar") for k in range(size)]


def read_by(run: Run) -> list[str]:
    """The modalities that the model can infer z from, in schema order."""
    subsets = run.model.subsets()
    inputs = run.model.inputs if subsets is None else run.model.flat({unit for subset in subsets for unit in subset})
    return [name for name in run.modalities if name in inputs]


class Embedder:
    """Computes mean and log of the variance of q(z | all that a row has).

    Args:
        run: infers z.
        table: the rows, as the run reads them.
        private: whether to compute all of z, or the part that modalities share.
    """

    def __init__(self, run: Run, table: RunTable, private: bool = False) -> None:
        self.run, self.table = run, table
        self._part = slice(None) if private else run.model.shared
        self.uninformed = 0
        """How many rows have nothing to infer z from, and so get the prior, or N(0, I) in a model without one."""

    @torch.no_grad()
    def pieces(self, names: Sequence[str] = ()) -> Iterator[tuple[Rows, Tensor]]:
        """Embed all rows in order, n at a time: the rows of the table, and the new columns (C, n) float32, on the host.

        Args:
            names: columns to read besides those of the modalities.
        """
        for piece in self.table.pieces(names=names):
            q = self.run.model.infer_all(piece.batch)
            self.uninformed += int((~self.run.model.informed(piece.batch.present)).sum())
            moments = (q.mean[:, self._part].T, q.variance[:, self._part].log().T)
            yield piece.rows, torch.cat(moments).float().cpu()

    def notes(self, lacking: Sequence[str]) -> list[str]:
        """Lines for the user about the rows, and about columns that the table lacks."""
        notes = self.table.notes()
        if lacking:
            named = self.table.listed(lacking)
            notes.append(f"{self.table.table.called}: has no column {named}: z is inferred without it")
        if self.uninformed:
            rows = f"rows with nothing to infer z from: {self.uninformed:,}"
            prior = "N(0, I), as the model has no prior" if self.run.model.prior is None else "the prior"
            notes.append(f"{self.table.table.called}: {rows}; they get {prior}")
        return notes


def embed_table(
    run: Run,
    user_file: UserFile,
    out: Path,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    private: bool = False,
    meter: Callable[[Callable[[str], None], str, int], Meter] = Meter,
) -> list[str]:
    """Write mean and log-variance of q(z | all that a row has) for each row of a table, some rows at a time.

    Args:
        run: infers z.
        user_file: the table.
        out: the file to write; for a table in parts it may be a folder, for parts with the same names.
        keep: columns of the table to copy, before the others.
        overwrite: whether to replace `out` if it exists.
        private: whether to write all of z, or the part that modalities share.
        meter: creates a meter of the rows from `run.say`, the name of the task and the number of rows.

    Returns:
        Lines for the user, such as notes on empty rows.

    Raises:
        UserError: the table cannot be read or written, or has no such column; no half-written file stays.
    """
    table = user_file.rows
    check_output(out, overwrite, table.path, is_parted(table.path), user_file.shard)
    names = embedding_columns(run.model, private)
    check_copied_columns(table, keep, names)
    run_table = RunTable.of(run, user_file, read_by(run))
    embedder = Embedder(run, run_table, private)
    progress = meter(run.say, "embed", len(table))
    fields = pa.schema([fields_of(table).field(name) for name in keep] + [(name, pa.float32()) for name in names])
    lost = LostTexts(table, out)
    with new_table(out, fields, table if names_folder(out) else None) as writer:
        for rows, values in embedder.pieces(keep):
            copied = {name: rows.raw[name] for name in keep}
            writer.write(copied | as_columns(names, values))
            lost.count(copied)
            progress.advance(values.shape[1])
    return [*embedder.notes(list(run_table.misnamed)), *lost.notes()]


def check_copied_columns(table: RowTable, keep: Sequence[str], new: Sequence[str]) -> None:
    """Raise if a column to copy does not exist, or has the name of a new column."""
    for name in keep:
        if name not in table.names:
            hint = did_you_mean(name, list(table.names))
            raise UserError(
                f"{table.called}: has no column {name!r} to keep{hint}; its columns are {', '.join(table.names)}"
            )
        if name in new:
            raise UserError(f"{table.called}: the column {name!r} to keep has the name of a new column; rename it")


def as_columns(names: Sequence[str], values: Tensor) -> dict[str, Raw]:
    """Turn numbers (K, n) into K columns, without copying them."""
    return {name: pa.array(column) for name, column in zip(names, values.numpy(), strict=True)}
