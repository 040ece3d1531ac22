"""The pictures of a run: rows of the data, learning curves, samples, predictions between modalities, latent space."""

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
"""The name of the picture that the report shows in its section on the data."""
_LATENT = "latent"
_MOST_MODALITIES = 8
_PANELS = 64


def pictures(run: TrainedRun, latent: Mapping[str, Any]) -> Iterator[tuple[str, Picture]]:
    """Draw the pictures of a run in the order of its report, each with the stem of its file.

    Args:
        run: the trained run.
        latent: where its rows lie in the latent space, as `latent_rows` returns it.
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
    """A line for everything that the pictures leave out, with the command that draws it."""
    notes = []
    if left_out := list(run.modalities)[_MOST_MODALITIES:]:
        notes.append(
            f"there are figures given each of the first {_MOST_MODALITIES} modalities; draw a figure given another "
            f"with `mmt sample --given NAME`: {', '.join(left_out)}"
        )
    if more := colourable(latent)[MOST_PANELS:]:
        notes.append(
            f"{MOST_PANELS} columns colour the latent space; colour it by others with "
            f"`mmt report RUN --colour COLUMN`: {', '.join(more)}"
        )
    return notes


def redraw_latent_space(folder: Path | str, colours: Sequence[str] = (), projection: str = "pca") -> None:
    """Draw the picture of the latent space again, from the files of the run folder.

    Args:
        folder: the run folder.
        colours: the columns that colour its points; by default those of the run's own picture.
        projection: pca or umap.

    Raises:
        UserError: the folder holds no finished run, there is no such column, or UMAP is not installed.
    """
    folder = Path(folder)
    read_finished_record(folder)
    latent = read_latent(folder)
    if not latent["means"]:
        raise UserError(
            f"{folder}: no row of {latent['split']} has a value to infer z from, so there is no picture; "
            "add such rows to the data and train again"
        )
    save_figure(latent_space(latent, colours, projection), folder / "figures" / f"{_LATENT}.png")


def samples_given(run: TrainedRun, name: str, values: Sequence[Tensor], n: int = COLUMNS) -> Figure:
    """Draw a line for each value of one modality: n samples given it, of the first picture, or else in words."""
    modality = run.modalities[name]
    others = groups(run.modalities, [other for other in run.model.targets if other != name], together=True)[0]
    lines = []
    for seed, value in enumerate(values):
        batch = run.sample(n, {name: modality.cell(value)}, seed)
        columns = [{other: batch[other][place] for other in others} for place in range(n)]
        lines.append(Line(columns, modality.text(value)))
    return draw_lines(run.modalities, lines)


def _direction(run: TrainedRun, split: str, given: Sequence[str]) -> Figure | None:
    """Draw predictions from some modalities; None if the model cannot infer z from them or no row has them."""
    if not offers(run.model, given) or not len(rows := rows_with(run, split, given, COLUMNS)):
        return None
    return direction(run, split, given, rows)


# The title of each picture, and a text that says what it shows and what to look for.


def _rows_of_data(figure: Figure) -> Picture:
    text = "Training rows as the networks read them, one a column, evenly spaced from the first row to the last."
    return Picture(ROWS_OF_DATA, "Rows of the data", text, figure)


def _curves(figure: Figure) -> Picture:
    text = (
        "The training loss, the validation bound and each part of the loss, in nats: the sum over the terms of a row, "
        "averaged over rows. β is the weight of the KL divergence; it rises during the warm-up."
    )
    return Picture("learning curves", "Learning curves", text, figure)


def _samples(figure: Figure) -> Picture:
    text = (
        "z is drawn from the prior. Each column, or each picture with its caption, shows what the model "
        "decodes from one draw."
    )
    return Picture("samples", "Samples from the prior", text, figure)


def _given(name: str, figure: Figure) -> Picture:
    text = (
        f"Each line fixes one value of {name}; each column is one draw of z from q(z | that value). Look for samples "
        "that match the value in every column and otherwise vary between columns."
    )
    return Picture(f"given {name}", f"Samples given {name}", text, figure)


def _from_all(figure: Figure) -> Picture:
    text = (
        "Rows of the data, one a column. z is the mean of q(z | all modalities marked as given). Each given stands "
        "over its reconstruction. z does not hold the details that the reconstruction lacks."
    )
    return Picture("from all", "Everything from everything", text, figure)


def _from(name: str, figure: Figure) -> Picture:
    text = (
        f"Rows of the data, one a column, with different values of {name} if it has few. z is the mean of "
        f"q(z | {name} alone). At the top, {name} stands over its reconstruction. Below, each other modality as "
        f"predicted from {name} stands over the row's own value, which the model did not see. If the two agree, "
        f"{name} predicts that modality."
    )
    return Picture(f"from {name}", f"Everything from {name}", text, figure)


def _latent(figure: Figure) -> Picture:
    text = (
        "Each point is the mean of q(z | all that a row has), for up to 2,000 rows of the scored split, projected to "
        "the two directions in which these means vary most. If colours separate, z holds that column. Missing values "
        "are grey. `mmt report RUN --colour COLUMN` colours by another column; `--projection umap` projects by UMAP."
    )
    return Picture(_LATENT, "The latent space", text, figure)
