"""`mmt explain`: says what each modality and each column contributes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import app, load_run, out
from mmtoolkit.cli.options import BadCellOption, DeviceOption, ReadOption, RunArgument, TableArgument
from mmtoolkit.cli.progress import row_meter
from mmtoolkit.cli.streams import table_streams


@app.command(
    epilog="Examples:\n\n  mmt explain runs/shop shop.csv --out why.parquet --keep id\n\n"
    "  mmt explain runs/shop shop.csv --out why.csv --target price\n\n"
    "  mmt explain runs/shop shop.csv --target price --row 3 --figure row3.png"
)
def explain(
    ctx: typer.Context,
    run_folder: RunArgument,
    table: TableArgument,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The table to write; its ending names the format. - for standard output."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="Explain the prediction of this modality too.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Copy a column of the table, such as an id; may be repeated."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="FILE.png", help="Draw a picture: the means over all rows, or one row."),
    ] = None,
    row: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The row of the picture; the first row is 1.")
    ] = None,
    on_bad_cell: BadCellOption = None,
    set_: ReadOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Write what each modality and column contributes to q(z | the row), and to the prediction of a target."""
    from mmtoolkit.using.explaining import explain_table
    from mmtoolkit.using.user_table import file_as_set

    if out_file is None and figure is None:
        raise UserError("give --out FILE for a table, --figure FILE.png for a picture, or both")
    if row is not None and figure is None:
        raise UserError(f"--row {row}: names the row of a picture; add --figure FILE.png")
    if keep and out_file is None:
        raise UserError(f"--keep {keep[0]}: copies a column to the new table; add --out FILE")
    with table_streams(table, out_file, set_ or (), overwrite) as streams:
        run = load_run(ctx, run_folder, device)
        user_file = file_as_set(run, streams.table, set_, on_bad_cell, streams.folder)
        with row_meter() as meter:
            notes = explain_table(
                run,
                user_file,
                None if out_file is None else streams.out,
                target,
                keep or (),
                overwrite,
                figure,
                None if row is None else row - 1,
                meter,
            )
        for note in notes:
            streams.say(note)
        files = [file for file in (out_file, figure) if file is not None and str(file) != "-"]
        # A path among the rows of a table on standard output would spoil it.
        for file in files if out_file is None or streams.out == out_file else ():
            out().print(escape(str(file)), soft_wrap=True)
