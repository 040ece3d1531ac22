"""The command `mmt traverse`: what a run decodes along one latent variable."""

from pathlib import Path
from typing import Annotated

import typer


def traverse(
    ctx: typer.Context,
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    along: Annotated[int, typer.Option(min=0, help="Which latent variable, from 0 on.")] = 0,
    steps: Annotated[int, typer.Option(min=2, help="How many values it takes, from -2 to 2.")] = 5,
) -> None:
    """Print what is decoded while one latent variable changes and all others are 0."""
    import torch

    from mmtoolkit import UserError, load

    run = load(run_folder, plugin_files=ctx.obj)
    if along >= run.model.latent_dim:
        raise UserError(f"--along {along}: z has {run.model.latent_dim} variables; give one from 0 on")
    z = torch.zeros(steps, run.model.latent_dim)
    z[:, along] = torch.linspace(-2, 2, steps)
    decoded = {name: run.modalities[name].point(p) for name, p in run.decode(z).items()}
    typer.echo("\t".join(["z", *decoded]))
    for step, value in enumerate(z[:, along].tolist()):
        shown = [run.modalities[name].text(values[step]) for name, values in decoded.items()]
        typer.echo("\t".join([f"{value:g}", *shown]))
