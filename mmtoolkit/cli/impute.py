"""`mmt impute` and `mmt embed`: apply a run to a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import app, load_run, out
from mmtoolkit.cli.options import (
    BadCellOption,
    DeviceOption,
    NewTableOption,
    OverwriteOption,
    ReadOption,
    RunArgument,
    ShardOption,
    TableArgument,
)
from mmtoolkit.cli.progress import row_meter
from mmtoolkit.cli.streams import Streams, table_streams


def _print_end(streams: Streams, notes: Iterable[str], outs: Iterable[Path]) -> None:
    """Print the notes on new tables, and the paths of those that are no stream."""
    from mmtoolkit.tables.location import STDIN

    for note in notes:
        streams.say(note)
    for path in outs:
        if path != STDIN:
            out().print(escape(str(path)), soft_wrap=True)


@app.command(
    epilog="Examples:\n\n  mmt impute runs/shop new.csv --out filled.csv\n\n"
    "  mmt impute runs/shop new.parquet --out filled.parquet --samples 50\n\n"
    "  mmt impute runs/shop new.csv --out drawn.csv --tables 20\n\n"
    "  cat new.csv | mmt impute runs/shop - --out - > filled.csv"
)
def impute(
    ctx: typer.Context,
    run_folder: RunArgument,
    table: TableArgument,
    out_file: NewTableOption,
    samples: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Combine K draws of z for each row, and add columns with their spread."),
    ] = None,
    tables: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="M",
            help="Write M tables with a draw in each missing cell, for multiple imputation: NAME_1.csv, NAME_2.csv, … "
            "if --out is NAME.csv.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the draws.")] = 0,
    on_bad_cell: BadCellOption = None,
    set_: ReadOption = None,
    shard: ShardOption = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Fill the missing cells of a table; all other cells stay as they are."""
    from mmtoolkit.tables.location import STDIN
    from mmtoolkit.tables.output import numbered
    from mmtoolkit.tables.shard import Shard
    from mmtoolkit.using.fill import Predicted, fills_of
    from mmtoolkit.using.imputed_table import impute_tables
    from mmtoolkit.using.user_table import file_as_set

    fills = [Predicted(samples or 0, seed)] if tables is None else fills_of(tables, samples or 0, seed)
    outs = [] if tables is None else numbered(out_file, tables)
    if outs and out_file == STDIN:
        raise UserError(f"--tables {tables}: standard output holds one table; give --out FILE")
    share, out = None if shard is None else Shard.parse(shard), None if outs else out_file
    with table_streams(table, out, set_ or (), overwrite, in_parts=True, shard=share) as streams:
        run = load_run(ctx, run_folder, device)
        user_file = file_as_set(run, streams.table, set_, on_bad_cell, streams.folder, share)
        with row_meter() as meter:
            fill_of = dict(zip(outs or [streams.out], fills, strict=True))
            notes = impute_tables(run, user_file, fill_of, overwrite, meter)
        _print_end(streams, notes, outs or [out_file])


@app.command(
    epilog="Examples:\n\n  mmt embed runs/shop shop.csv --out z.parquet\n\n"
    "  mmt embed runs/shop shop.csv --out z.csv --keep id"
)
def embed(
    ctx: typer.Context,
    run_folder: RunArgument,
    table: TableArgument,
    out_file: NewTableOption,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Copy a column of the table, such as an id; may be repeated."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Write all of z, also what is private to a modality, not the shared part.")
    ] = False,
    on_bad_cell: BadCellOption = None,
    set_: ReadOption = None,
    shard: ShardOption = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Write the mean and log-variance of q(z | the modalities of a row) for each row of a table."""
    from mmtoolkit.tables.shard import Shard
    from mmtoolkit.using.embedding import embed_table
    from mmtoolkit.using.user_table import file_as_set

    share = None if shard is None else Shard.parse(shard)
    with table_streams(table, out_file, set_ or (), overwrite, in_parts=True, shard=share) as streams:
        run = load_run(ctx, run_folder, device)
        user_file = file_as_set(run, streams.table, set_, on_bad_cell, streams.folder, share)
        with row_meter() as meter:
            notes = embed_table(run, user_file, streams.out, keep or (), overwrite, private, meter)
        _print_end(streams, notes, [out_file])
