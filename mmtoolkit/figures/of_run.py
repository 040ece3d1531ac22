"""All figures of a finished run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mmtoolkit.figures.cells import cells
from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.directions import direction, offers, rows_with
from mmtoolkit.figures.files import safe_name, save_figure
from mmtoolkit.figures.latent import MOST_PANELS, colourable, latent_space
from mmtoolkit.figures.lines import COLUMNS
from mmtoolkit.figures.samples import distinct_values, samples, samples_given
from mmtoolkit.files import make_folder, write_text
from mmtoolkit.latent import latent_rows

if TYPE_CHECKING:
    from mmtoolkit.run import TrainedRun

_MOST_MODALITIES = 8
_PANELS = 64


def draw_figures(run: TrainedRun) -> list[str]:
    """Draw the pictures of a finished run into its folder, and write what that of the latent space shows: latent.json.

    Returns:
        What the user should know, a line each.
    """
    split, model, modalities = run.default_split(), run.model, run.modalities
    names = list(modalities)
    notes = []
    if left_out := names[_MOST_MODALITIES:]:
        notes.append(
            f"there are figures given each of the first {_MOST_MODALITIES} modalities; `mmt sample --given NAME` draws "
            f"them given the others: {', '.join(left_out)}"
        )
    figures = {"learning_curves": learning_curves(run.history)}
    if offers(model, ()):
        pictures = sum(modalities[name].picture for name in model.targets)
        figures["samples"] = samples(modalities, run.sample(max(COLUMNS, _PANELS // max(pictures, 1))))
    givens = {f"from_{safe_name(name, place)}": [name] for place, name in enumerate(names[:_MOST_MODALITIES])}
    if len(model.inputs) > 1:
        givens["from_all"] = list(model.inputs)
    for stem, given in givens.items():
        if offers(model, given) and len(rows := rows_with(run, split, given, COLUMNS)):
            figures[stem] = direction(run, split, given, rows)
    for place, name in enumerate(names[:_MOST_MODALITIES]):
        if not modalities[name].picture and set(model.targets) - {name} and offers(model, [name]):
            values = distinct_values(run, split, name)
            if values:
                figures[f"given_{safe_name(name, place)}"] = samples_given(run, name, values)
    if (shown := cells(run, "train")) is not None:
        figures["cells"] = shown
    latent = latent_rows(run, split)
    write_text(run.folder / "latent.json", json.dumps(latent, allow_nan=False))
    if len(latent["means"]) > 1:
        figures["latent"] = latent_space(latent)
    if more := colourable(latent)[MOST_PANELS:]:
        notes.append(
            f"the latent space is coloured by {MOST_PANELS} columns; `mmt report RUN --colour COLUMN` colours it by "
            f"others: {', '.join(more)}"
        )
    folder = make_folder(run.folder / "figures")
    for stem, figure in figures.items():
        save_figure(figure, folder / f"{stem}.png")
    return notes
