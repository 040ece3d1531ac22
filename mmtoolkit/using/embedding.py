"""Where the rows of a table lie in the latent space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.meter import Meter
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components import Run
from mmtoolkit.tables import Rows, RowTable
from mmtoolkit.tables.output import check_output
from mmtoolkit.tables.rows import Raw
from mmtoolkit.tables.writing import fields_of, new_table
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFile


def embedding_columns(latent_dim: int) -> list[str]:
    """mean_0 … and logvar_0 …, D of each."""
    return [f"{what}_{k}" for what in ("mean", "logvar") for k in range(latent_dim)]


def read_by(run: Run) -> list[str]:
    """The modalities that z can be inferred from, in schema order."""
    subsets = run.model.subsets()
    wanted = run.model.inputs if subsets is None else {name for subset in subsets for name in subset}
    return [name for name in run.modalities if name in wanted]


class Embedder:
    """Mean and log of the variance of q(z | what a row has), row by row.

    Args:
        run: infers z.
        table: the rows, as the run reads them.
    """

    def __init__(self, run: Run, table: RunTable) -> None:
        self.run, self.table = run, table
        self.uninformed = 0
        """How many rows have nothing that z can be inferred from: theirs is the prior."""

    @torch.no_grad()
    def pieces(self, names: Sequence[str] = ()) -> Iterator[tuple[Rows, Tensor]]:
        """All rows in order, some at a time: as the table holds them, and (2 D, n) float32 on the host.

        Args:
            names: columns to read beside those of the modalities.
        """
        for piece in self.table.pieces(names=names):
            q = self.run.model.infer_all(piece.batch)
            self.uninformed += int((~self.run.model.informed(piece.present)).sum())
            yield piece.rows, torch.cat([q.mean.T, q.variance.log().T]).float().cpu()

    def notes(self) -> list[str]:
        """What the user should know of the rows."""
        notes = self.table.notes()
        if self.uninformed:
            rows = f"rows with nothing that z is inferred from: {self.uninformed:,}"
            notes.append(f"{self.table.table.called}: {rows}; they have the prior")
        return notes


def embed_table(
    run: Run,
    user_file: UserFile,
    out: Path,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    meter: Callable[[Callable[[str], None], str, int], Meter] = Meter,
) -> list[str]:
    """Write mean and log-variance of q(z | what the row has), a row for each of a table's; some at a time.

    Args:
        run: infers z.
        user_file: the table.
        out: the file to write.
        keep: columns of the table that are copied, before the others.
        overwrite: whether `out` may be there.
        meter: makes the meter of the rows that are done, from `run.say`, what is done and how many rows there are.

    Returns:
        What the user should know, a line each.

    Raises:
        UserError: the table cannot be read or written, or has no such column; nothing half-written stays.
    """
    table = user_file.rows
    check_output(out, overwrite, table.path)
    made = embedding_columns(run.model.latent_dim)
    check_kept(table, keep, made)
    embedder = Embedder(run, RunTable.of(run, user_file, read_by(run)))
    counted = meter(run.say, "embed", len(table))
    fields = pa.schema([fields_of(table).field(name) for name in keep] + [(name, pa.float32()) for name in made])
    with new_table(out, fields) as writer:
        for rows, values in embedder.pieces(keep):
            writer.write({name: rows.raw[name] for name in keep} | as_columns(made, values))
            counted.advance(values.shape[1])
    return embedder.notes()


def check_kept(table: RowTable, keep: Sequence[str], made: Sequence[str]) -> None:
    """Raise where a column that is to be kept is not there, or has the name of one that is made."""
    for name in keep:
        if name not in table.names:
            hint = did_you_mean(name, list(table.names))
            raise UserError(
                f"{table.called}: has no column {name!r} to keep{hint}; its columns are {', '.join(table.names)}"
            )
        if name in made:
            raise UserError(f"{table.called}: the column {name!r} to keep has the name of one that is made; rename it")


def as_columns(names: Sequence[str], values: Tensor) -> dict[str, Raw]:
    """Columns of numbers, (K, n), without a copy."""
    return {name: pa.array(column) for name, column in zip(names, values.numpy(), strict=True)}
