"""All figures of a finished run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, safe_name, write_text
from mmtoolkit.figures.cells import cells
from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.directions import direction, offers, rows_with
from mmtoolkit.figures.files import save_figure
from mmtoolkit.figures.latent import MOST_PANELS, colourable, latent_space
from mmtoolkit.figures.latent_rows import latent_rows
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups
from mmtoolkit.figures.samples import distinct_values, samples
from mmtoolkit.runs.folder import read_finished_record, read_latent

if TYPE_CHECKING:
    from mmtoolkit.runs.run import TrainedRun

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


def redraw_latent_space(folder: Path | str, colours: Sequence[str] = (), projection: str = "pca") -> None:
    """Draw the picture of the latent space anew, from what the run folder holds.

    Args:
        folder: the run folder.
        colours: the columns that colour its points; those that the run has chosen where left out.
        projection: pca or umap.

    Raises:
        UserError: the folder holds no finished run, there is no such column, or UMAP is not installed.
    """
    folder = Path(folder)
    read_finished_record(folder)
    latent = read_latent(folder)
    if not latent["means"]:
        raise UserError(
            f"{folder}: no row of {latent['split']} has anything that z is inferred from; there is no picture"
        )
    save_figure(latent_space(latent, colours, projection), folder / "figures" / "latent.png")


# Titles and captions by file name, in the order of the report; the text says what to look for.
_CAPTIONS = {
    "cells": (
        "Rows of the data",
        "Training rows as the networks get them, a column each, from the first to the last evenly.",
    ),
    "learning_curves": (
        "Learning curves",
        "The training loss, the validation bound and each part of the loss, summed over the terms of a row and "
        "averaged over rows, in nats. β, the weight of the KL divergence, rises over the warm-up.",
    ),
    "samples": (
        "Samples from the prior",
        "z is drawn from N(0, I); what every modality makes of one draw stands in one column, or below one picture.",
    ),
    r"given_(\d+)_.*": (
        "Samples given {}",
        "Each line fixes one value of {}, draws z from q(z | that value) and shows what another modality makes of it: "
        "it should be of the value in every column, and differ between columns in all else.",
    ),
    "from_all": (
        "Everything from everything",
        "Rows of the data, a column each. z is the mean of q(z | all that is marked as given). Each given stands over "
        "its reconstruction: what is lost between the two, z does not hold.",
    ),
    r"from_(\d+)_.*": (
        "Everything from {}",
        "Rows of the data, a column each; where {} has few values, rows with different ones. z is the mean of "
        "q(z | {} alone). First {} over its reconstruction, then each other modality as predicted from it, over the "
        "row's own value, which the model was not shown: where the two agree, {} tells of it.",
    ),
    "latent": (
        "The latent space",
        "The mean of q(z | all that a row has), of up to 2,000 rows of the split that is scored, in the two dimensions "
        "in which these means vary most. Where colours keep apart, z tells of that column; what is missing is grey. "
        "`mmt report RUN --colour COLUMN` colours it by another, and `--projection umap` draws it by UMAP.",
    ),
}


def caption(stem: str, modalities: list[str]) -> tuple[int, str, str]:
    """The place of a figure in the report, its title and its text."""
    for place, (pattern, words) in enumerate(_CAPTIONS.items()):
        if match := re.fullmatch(pattern, stem):
            name = "".join(modalities[int(number)] for number in match.groups())
            title, text = (part.replace("{}", name) for part in words)
            return place, title, text
    # An evaluator's: its place and the figure's number come first.
    return len(_CAPTIONS), re.sub(r"^\d+_\d+_", "", stem).replace("_", " ").replace("-", ": "), ""


def samples_given(run: TrainedRun, name: str, values: Sequence[Tensor], n: int = COLUMNS) -> Figure:
    """A line for each value of one modality: n draws of z given it, shown by the first picture, or else in words."""
    modality = run.modalities[name]
    shown = groups(run.modalities, [other for other in run.model.targets if other != name], together=True)[0]
    lines = []
    for seed, value in enumerate(values):
        drawn = run.sample(n, {name: modality.cell(value)}, seed)
        cells = [{other: drawn[other][place] for other in shown} for place in range(n)]
        lines.append(Line(cells, modality.text(value)))
    return draw_lines(run.modalities, lines)
