"""`mmt sample`: generates samples from a run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import app, load_run, out
from mmtoolkit.cli.options import DeviceOption, OverwriteOption, RunArgument

if TYPE_CHECKING:
    from mmtoolkit.components import Modality


@app.command(
    epilog="Examples:\n\n  mmt sample fashion_mini --given label=Sandal --out sandals.png\n\n"
    "  mmt sample runs/demo -n 64 --out samples.png\n\n"
    "  mmt sample runs/demo --given label=Sandal -n 10 --out sandals.png\n\n"
    "  mmt sample runs/demo --given image=shoe.png -n 5 --out guesses.csv\n\n"
    "  mmt sample runs/demo --given image --draws 3 --out from_images.png\n\n"
    "  mmt sample runs/demo --sampler mixture --out samples.png"
)
def sample(
    ctx: typer.Context,
    run_folder: RunArgument,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]",
            help="Fix a modality at the value of a cell. NAME alone takes values from rows of the data, and shows them "
            "above the samples of every modality that they give. May be repeated.",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="How many samples. Default: 64 draws, or 10 rows of the data.")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="A .png, or a table: .csv, .parquet, .arrow, .json, .jsonl or .xlsx. Default: RUN/samples/N.png, and "
            "samples/N.png for a packed run or a model of the catalogue.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="The split whose rows --given NAME uses. Default: test, or valid where the data has none."),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=0, max=20, help="With --given NAME: draws of z to show beside its mean.")
    ] = 0,
    sampler: Annotated[
        Literal["mixture"] | None,
        typer.Option(
            help="Draw z from what is fitted to the z of the training rows, in place of the prior: a mixture of "
            "Gaussians. It is fitted once and kept with the run; it needs scikit-learn."
        ),
    ] = None,
    components: Annotated[
        int | None, typer.Option(min=1, help="The number of Gaussians of --sampler mixture. Default: 10.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the draws.")] = 0,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Generate samples: from the prior, given values that you choose, or given modalities of rows of the data."""
    from mmtoolkit.catalogue.models import folder_for
    from mmtoolkit.figures import COLUMNS
    from mmtoolkit.using.sampling import check_samples_output, write_direction, write_samples

    out_file = out_file or _first_free(folder_for(run_folder) / "samples")
    check_samples_output(out_file, overwrite)
    loaded = load_run(ctx, run_folder, device)
    values, names = _givens(given or (), loaded.modalities)
    if components is not None and sampler is None:
        raise UserError("--components: goes with --sampler mixture; add it")
    if names and sampler is not None:
        raise UserError(f"--sampler: z is inferred from {names[0]} where it is given; leave out one of them")
    if names:
        write_direction(loaded, names, out_file, split or loaded.default_split(), n or COLUMNS, draws, seed, overwrite)
    elif split or draws:
        option = "--split" if split else "--draws"
        raise UserError(f"{option}: goes with --given NAME, which takes its values from rows of the data; add it")
    else:
        drawn = loaded.sample(n or 64, values, seed, sampler, components or 10)
        write_samples(loaded.modalities, drawn, out_file, overwrite)
    out().print(escape(str(out_file)), soft_wrap=True)


def _first_free(folder: Path) -> Path:
    paths = (folder / f"{number}.png" for number in itertools.count(1))
    return next(path for path in paths if not os.path.exists(path))  # Path.exists raises for a name too long


def _givens(texts: Sequence[str], modalities: Mapping[str, Modality]) -> tuple[dict[str, Any], list[str]]:
    """The cells of modalities with a value; or the modalities with values from rows, in schema order."""
    names = {text for text in texts if text in modalities}
    assignments = [text for text in texts if text not in names]
    values = dict(_assignment(text, modalities) for text in assignments)
    if names and assignments:
        raise UserError(
            f"--given {min(names)}, --given {assignments[0]}: values are taken from rows of the data or fixed, not "
            "both; give all of them a value, or none"
        )
    return values, [name for name in modalities if name in names]


def _assignment(text: str, modalities: Mapping[str, Modality]) -> tuple[str, Any]:
    """The name and cell of NAME=VALUE; the name may hold an equals sign too."""
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
