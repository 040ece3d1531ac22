"""`mmt sample`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import app, load_run, out
from mmtoolkit.cli.options import DeviceOption, OverwriteOption, RunArgument

if TYPE_CHECKING:
    from mmtoolkit.components import Modality


@app.command(
    epilog="Examples:\n\n  mmt sample runs/demo -n 64 --out samples.png\n\n"
    "  mmt sample runs/demo --given label=Sandal -n 10 --out sandals.png\n\n"
    "  mmt sample runs/demo --given image=shoe.png -n 5 --out guesses.csv\n\n"
    "  mmt sample runs/demo --given image --draws 3 --out from_images.png"
)
def sample(
    ctx: typer.Context,
    run_folder: RunArgument,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]",
            help="Fix a modality at what its cell would hold; NAME alone takes its values from rows of the data, and "
            "draws them over what they tell of every modality. May be repeated.",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="How many. Default: 64 draws; 10 rows of the data.")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="A .png, or a .csv, .parquet, .arrow or .jsonl table. Default: RUN/samples/N.png.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Whose rows --given NAME takes its values from. Default: test.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=0, max=20, help="With --given NAME: draws of z to show beside its mean.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the draws.")] = 0,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Generate from the prior, given any values, or given modalities of the data's rows."""
    from mmtoolkit.figures import COLUMNS
    from mmtoolkit.using.sampling import check_samples_output, write_direction, write_samples

    out_file = out_file or _first_free(run_folder / "samples")
    check_samples_output(out_file, overwrite)
    loaded = load_run(ctx, run_folder, device)
    values, named = _givens(given or (), loaded.modalities)
    if named:
        write_direction(loaded, named, out_file, split or loaded.default_split(), n or COLUMNS, draws, seed, overwrite)
    elif split or draws:
        option = "--split" if split else "--draws"
        raise UserError(f"{option}: goes with --given NAME, which takes its values from rows of the data; add it")
    else:
        write_samples(loaded.modalities, loaded.sample(n or 64, values, seed), out_file, overwrite)
    out().print(escape(str(out_file)), soft_wrap=True)


def _first_free(folder: Path) -> Path:
    paths = (folder / f"{number}.png" for number in itertools.count(1))
    return next(path for path in paths if not os.path.exists(path))  # Path's own raises for a name too long


def _givens(texts: Sequence[str], modalities: Mapping[str, Modality]) -> tuple[dict[str, Any], list[str]]:
    """The modalities that are fixed, with their cells, or those whose values come from rows, in schema order."""
    named = {text for text in texts if text in modalities}
    fixed = [text for text in texts if text not in named]
    values = dict(_fixed(text, modalities) for text in fixed)
    if named and fixed:
        raise UserError(
            f"--given {min(named)}, --given {fixed[0]}: values are taken from rows of the data or fixed, not both; "
            "give all of them a value, or none"
        )
    return values, [name for name in modalities if name in named]


def _fixed(text: str, modalities: Mapping[str, Modality]) -> tuple[str, Any]:
    """NAME=VALUE; a name may itself hold an equals sign."""
    for place, character in enumerate(text):
        name, cell = text[:place], text[place + 1 :]
        if character == "=" and name in modalities:
            modality = modalities[name]
            try:
                typed = modality.typed(cell)
                modality.parse(typed)
            except ValueError as error:
                raise UserError(f"--given {name}={cell}: {error}") from None
            return name, typed
    name = text.partition("=")[0]
    names = ", ".join(modalities)
    raise UserError(f"--given {text}: there is no modality {name!r}; the modalities are {names}")
