"""`mmt impute` and `mmt embed`: apply a run to a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

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


def _print_end(streams: Streams, out_file: Path, notes: Iterable[str]) -> None:
    """Print the notes on a new table, and its path if it has one."""
    for note in notes:
        streams.say(note)
    if streams.out == out_file:
        out().print(escape(str(out_file)), soft_wrap=True)


@app.command(
    epilog="Examples:\n\n  mmt impute runs/shop new.csv --out filled.csv\n\n"
    "  mmt impute runs/shop new.parquet --out filled.parquet --samples 50\n\n"
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
    seed: Annotated[int, typer.Option(min=0, help="Fixes the draws.")] = 0,
    on_bad_cell: BadCellOption = None,
    set_: ReadOption = None,
    shard: ShardOption = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Fill the missing cells of a table; all other cells stay as they are."""
    from mmtoolkit.tables.shard import Shard
    from mmtoolkit.using.imputed_table import impute_table
    from mmtoolkit.using.user_table import file_as_set

    share = None if shard is None else Shard.parse(shard)
    with table_streams(table, out_file, set_ or (), overwrite, in_parts=True, shard=share) as streams:
        run = load_run(ctx, run_folder, device)
        user_file = file_as_set(run, streams.table, set_, on_bad_cell, streams.folder, share)
        with row_meter() as meter:
            notes = impute_table(run, user_file, streams.out, samples or 0, seed, overwrite, meter)
        _print_end(streams, out_file, notes)


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
        _print_end(streams, out_file, notes)
