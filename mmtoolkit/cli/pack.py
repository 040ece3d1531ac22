"""`mmt pack`: writes a small folder of a run, to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmtoolkit.cli.app import app, load_run, out, say
from mmtoolkit.cli.options import DeviceOption, RunArgument


@app.command(epilog="Example:\n\n  mmt pack runs/demo --out clothes")
def pack(
    ctx: typer.Context,
    run_folder: RunArgument,
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier packed run in DIR.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Write a small folder of a run to pass on: weights in half precision, no checkpoint, pictures or report."""
    from mmtoolkit.catalogue.models import model_size
    from mmtoolkit.runs.packing import check_pack, pack_run

    check_pack(out_folder, overwrite)
    cost = pack_run(load_run(ctx, run_folder, device), out_folder, overwrite).half_precision
    say(
        f"{model_size(out_folder) / 1e6:.1f} MB; half precision takes {cost.loss:.4f} nats from the bound of a row "
        f"({cost.full:,.3f}, now {cost.half:,.3f}: {cost.rows:,} rows of {cost.split})"
    )
    out().print(escape(str(out_folder)), soft_wrap=True)
