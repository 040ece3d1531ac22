"""`mmt export`: writes a run as programs that other software runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmtoolkit.cli.app import app, load_run, out, say
from mmtoolkit.cli.options import RunArgument


@app.command(
    epilog="Examples:\n\n  mmt export runs/demo --out served\n\n  mmt export runs/demo --out served --format onnx"
)
def export(
    ctx: typer.Context,
    run_folder: RunArgument,
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")],
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="torch for torch.export (.pt2), or onnx, which needs the extra onnx; may be repeated. Default: torch.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
) -> None:
    """Write q(z | any modalities) and the decoders as programs, with a JSON that says how to call them."""
    from mmtoolkit.export.exporting import check_export, export_run

    formats = tuple(dict.fromkeys(format_ or ("torch",)))
    check_export(out_folder, formats, overwrite)
    run = load_run(ctx, run_folder, "cpu")
    export_run(run, out_folder, formats, overwrite, say)
    out().print(escape(str(out_folder)), soft_wrap=True)
