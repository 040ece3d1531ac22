"""`mmt score`: how likely a run finds the rows and cells of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import decimals
from mmtoolkit.cli.app import app, load_run, out
from mmtoolkit.cli.options import (
    BadCellOption,
    DeviceOption,
    OverwriteOption,
    ReadOption,
    RunArgument,
    ShardOption,
    TableArgument,
)
from mmtoolkit.cli.progress import row_meter
from mmtoolkit.cli.streams import table_streams
from mmtoolkit.cli.tables import table as plain_table

if TYPE_CHECKING:
    from mmtoolkit.using.suspects import Suspect

_TOP = 20
_LONGEST = 32  # characters of a cell


@app.command(
    epilog="Examples:\n\n  mmt score runs/shop shop.csv\n\n"
    "  mmt score runs/shop shop.csv --out scores.parquet --keep id --top 50"
)
def score(
    ctx: typer.Context,
    run_folder: RunArgument,
    table: TableArgument,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the scores of all rows and cells to a table; its ending names the format. - for standard "
            "output.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help=f"Print the N most suspicious cells. Default: {_TOP} without --out."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Copy a column of the table to --out, such as an id; may be repeated."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, metavar="K", help="Draws of z for each row and each cell.")] = 100,
    ranks: Annotated[
        Literal["train", "table"],
        typer.Option(help="Rank cells among those of the run's training rows, or of TABLE itself."),
    ] = "train",
    seed: Annotated[int, typer.Option(min=0, help="Fixes the draws.")] = 0,
    on_bad_cell: BadCellOption = None,
    set_: ReadOption = None,
    shard: ShardOption = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Score rows by log p, and each cell by log p given the rest of its row: unlikely cells may be wrong."""
    from mmtoolkit.tables.location import STDIN
    from mmtoolkit.tables.shard import Shard
    from mmtoolkit.using.scored_table import score_table
    from mmtoolkit.using.user_table import file_as_set

    if keep and out_file is None:
        raise UserError("--keep: copies columns to the table that --out names; add --out FILE")
    most = (_TOP if out_file is None else 0) if top is None else top
    share = None if shard is None else Shard.parse(shard)
    with table_streams(table, out_file, set_ or (), overwrite, in_parts=True, shard=share) as streams:
        run = load_run(ctx, run_folder, device)
        user_file = file_as_set(run, streams.table, set_, on_bad_cell, streams.folder, share)
        target = None if out_file is None else streams.out
        with row_meter() as meter:
            suspects, notes = score_table(
                run, user_file, target, keep or (), samples, seed, ranks, most, overwrite, meter
            )
        for note in notes:
            streams.say(note)
        if suspects:
            _print_suspects(suspects, Console(stderr=True, highlight=False) if out_file == STDIN else out())
        if out_file is not None and streams.out == out_file:
            out().print(escape(str(out_file)), soft_wrap=True)


def _print_suspects(suspects: Sequence[Suspect], console: Console) -> None:
    """Print cells as a table, the most suspicious first."""
    result = plain_table("most suspicious cells", "row ", "column", "cell", "expected", "suspicion ", "log p ", "rank ")
    for suspect in suspects:
        result.add_row(
            f"{suspect.row + 1:,}",
            escape(suspect.column),
            escape(_short(str(suspect.cell))),
            escape(_short(suspect.expected)),
            decimals(suspect.suspicion, 100),
            decimals(suspect.log_prob, 100),
            f"{suspect.rank:.4f}",
        )
    console.print(result)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
