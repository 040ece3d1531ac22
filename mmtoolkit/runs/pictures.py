"""The pictures of a run: the data, learning, samples, what each modality tells of the others, the latent space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import safe_name
from mmtoolkit.components import Picture
from mmtoolkit.figures.cells import cells
from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.directions import direction, offers, rows_with
from mmtoolkit.figures.files import save_figure
from mmtoolkit.figures.latent import MOST_PANELS, colourable, latent_space
from mmtoolkit.figures.lines import COLUMNS, Line, draw_lines, groups
from mmtoolkit.figures.samples import distinct_values, samples
from mmtoolkit.runs.folder import read_finished_record, read_latent

if TYPE_CHECKING:
    from mmtoolkit.runs.trained import TrainedRun

ROWS_OF_DATA = "cells"
"""The name of the picture that the report shows beside what is said of the data."""
_LATENT = "latent"
_MOST_MODALITIES = 8
_PANELS = 64


def pictures(run: TrainedRun, latent: Mapping[str, Any]) -> Iterator[tuple[str, Picture]]:
    """The pictures of a run in the order of its report, each with the stem of its file.

    Args:
        run: trained.
        latent: where its rows lie in the latent space, as `latent_rows` gives it.
    """
    split, model, modalities = run.default_split(), run.model, run.modalities
    names = list(enumerate(modalities))[:_MOST_MODALITIES]
    if (figure := cells(run, "train")) is not None:
        yield ROWS_OF_DATA, _rows_of_data(figure)
    yield "learning_curves", _curves(learning_curves(run.history))
    if offers(model, ()):
        panels = sum(modalities[name].picture for name in model.targets)
        yield "samples", _samples(samples(modalities, run.sample(max(COLUMNS, _PANELS // max(panels, 1)))))
    for place, name in names:
        if not modalities[name].picture and set(model.targets) - {name} and offers(model, [name]):
            values = distinct_values(run, split, name)
            if values:
                yield f"given_{safe_name(name, place)}", _given(name, samples_given(run, name, values))
    if len(model.inputs) > 1 and (figure := _direction(run, split, model.inputs)) is not None:
        yield "from_all", _from_all(figure)
    for place, name in names:
        if (figure := _direction(run, split, [name])) is not None:
            yield f"from_{safe_name(name, place)}", _from(name, figure)
    if len(latent["means"]) > 1:
        yield _LATENT, _latent(latent_space(latent))


def notes_on_pictures(run: TrainedRun, latent: Mapping[str, Any]) -> list[str]:
    """What the pictures leave out, and how to draw it: a line each."""
    notes = []
    if left_out := list(run.modalities)[_MOST_MODALITIES:]:
        notes.append(
            f"there are figures given each of the first {_MOST_MODALITIES} modalities; `mmt sample --given NAME` draws "
            f"them given the others: {', '.join(left_out)}"
        )
    if more := colourable(latent)[MOST_PANELS:]:
        notes.append(
            f"the latent space is coloured by {MOST_PANELS} columns; `mmt report RUN --colour COLUMN` colours it by "
            f"others: {', '.join(more)}"
        )
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
    save_figure(latent_space(latent, colours, projection), folder / "figures" / f"{_LATENT}.png")


def samples_given(run: TrainedRun, name: str, values: Sequence[Tensor], n: int = COLUMNS) -> Figure:
    """A line for each value of one modality: n draws of z given it, shown by the first picture, or else in words."""
    modality = run.modalities[name]
    others = groups(run.modalities, [other for other in run.model.targets if other != name], together=True)[0]
    lines = []
    for seed, value in enumerate(values):
        drawn = run.sample(n, {name: modality.cell(value)}, seed)
        lines.append(
            Line([{other: drawn[other][place] for other in others} for place in range(n)], modality.text(value))
        )
    return draw_lines(run.modalities, lines)


def _direction(run: TrainedRun, split: str, given: Sequence[str]) -> Figure | None:
    """What some modalities tell of all; None where the model cannot infer from them, or no row has them."""
    if not offers(run.model, given) or not len(rows := rows_with(run, split, given, COLUMNS)):
        return None
    return direction(run, split, given, rows)


# What each picture shows, and what to look for.


def _rows_of_data(figure: Figure) -> Picture:
    text = "Training rows as the networks get them, a column each, from the first to the last evenly."
    return Picture(ROWS_OF_DATA, "Rows of the data", text, figure)


def _curves(figure: Figure) -> Picture:
    text = (
        "The training loss, the validation bound and each part of the loss, summed over the terms of a row and "
        "averaged over rows, in nats. β, the weight of the KL divergence, rises over the warm-up."
    )
    return Picture("learning curves", "Learning curves", text, figure)


def _samples(figure: Figure) -> Picture:
    text = "z is drawn from N(0, I); what every modality makes of one draw stands in one column, or below one picture."
    return Picture("samples", "Samples from the prior", text, figure)


def _given(name: str, figure: Figure) -> Picture:
    text = (
        f"Each line fixes one value of {name}, draws z from q(z | that value) and shows what another modality makes "
        "of it: it should be of the value in every column, and differ between columns in all else."
    )
    return Picture(f"given {name}", f"Samples given {name}", text, figure)


def _from_all(figure: Figure) -> Picture:
    text = (
        "Rows of the data, a column each. z is the mean of q(z | all that is marked as given). Each given stands over "
        "its reconstruction: what is lost between the two, z does not hold."
    )
    return Picture("from all", "Everything from everything", text, figure)


def _from(name: str, figure: Figure) -> Picture:
    text = (
        f"Rows of the data, a column each; where {name} has few values, rows with different ones. z is the mean of "
        f"q(z | {name} alone). First {name} over its reconstruction, then each other modality as predicted from it, "
        f"over the row's own value, which the model was not shown: where the two agree, {name} tells of it."
    )
    return Picture(f"from {name}", f"Everything from {name}", text, figure)


def _latent(figure: Figure) -> Picture:
    text = (
        "The mean of q(z | all that a row has), of up to 2,000 rows of the split that is scored, in the two "
        "dimensions in which these means vary most. Where colours keep apart, z tells of that column; what is missing "
        "is grey. `mmt report RUN --colour COLUMN` colours it by another, and `--projection umap` draws it by UMAP."
    )
    return Picture(_LATENT, "The latent space", text, figure)
