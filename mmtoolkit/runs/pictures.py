"""The pictures of a run: rows of the data, learning curves, samples, predictions between modalities, latent space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import safe_name, write_json
from mmtoolkit.base.words import listing
from mmtoolkit.components import Picture
from mmtoolkit.components.evaluator import seen_by_model
from mmtoolkit.figures.cells import cells
from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.directions import direction, offers, rows_with
from mmtoolkit.figures.files import save_figure, save_pictures
from mmtoolkit.figures.latent import MOST_PANELS, colourable, latent_space
from mmtoolkit.figures.lines import COLUMNS, MOST_IN_WORDS, Line, draw_lines, groups
from mmtoolkit.figures.samples import distinct_values, samples
from mmtoolkit.runs.folder import read_finished_record, read_latent, read_pictures
from mmtoolkit.using.contribution_bars import mean_contributions
from mmtoolkit.using.leaving_out import parts_of

if TYPE_CHECKING:
    from mmtoolkit.runs.trained import TrainedRun

ROWS_OF_DATA = "cells"
"""The name of the picture that the report shows in its section on the data."""
_LATENT = "latent"
_MOST_UNITS = 8
_PANELS = 64
_LINES = 12  # of words
_LISTED = 8  # files in a note
_MOST_EXPLAINED = 300  # rows
_EXPLAINED = 1 << 13  # (part, row) pairs


class Drawing(NamedTuple):
    """A picture of a run that can be drawn.

    Attributes:
        stem: of its file.
        reads_data: whether drawing it reads rows of the run's data.
        draw: draws it; None if there is nothing to show.
    """

    stem: str
    reads_data: bool
    draw: Callable[[], Picture | None]


def pictures(run: TrainedRun, latent: Mapping[str, Any]) -> Iterator[tuple[str, Picture]]:
    """Draw the pictures of a run in the order of its report, each with the stem of its file.

    Args:
        run: the trained run.
        latent: where its rows lie in the latent space, as `latent_rows` returns it.
    """
    for drawing in _drawings(run, latent):
        if (picture := drawing.draw()) is not None:
            yield drawing.stem, picture


def _drawings(run: TrainedRun, latent: Mapping[str, Any]) -> Iterator[Drawing]:
    """The pictures that this run can have, in the order of its report."""
    split, model, modalities = run.default_split(), run.model, run.modalities
    places = {name: place for place, name in enumerate(modalities)}
    units = [(places[names[0]], unit, names) for unit, names in model.members.items()][:_MOST_UNITS]

    def given(name: str) -> Picture | None:
        values = distinct_values(run, split, name)
        return _given(name, samples_given(run, name, values)) if values else None

    def described(describe: Callable[[Figure], Picture], figure: Figure | None) -> Picture | None:
        return None if figure is None else describe(figure)

    yield Drawing(ROWS_OF_DATA, True, lambda: described(_rows_of_data, cells(run, "train")))
    yield Drawing("learning_curves", False, lambda: _learning_curves(run) if run.history else None)
    if offers(model, ()):
        panels = sum(modalities[name].picture for name in model.targets)
        count = _PANELS // panels if panels else COLUMNS * (_LINES // len(model.targets))
        yield Drawing("samples", False, lambda: _samples(samples(modalities, run.sample(max(COLUMNS, count)))))
    for place, name, _ in units:
        if name not in modalities:  # there are too many values of a record to choose from
            continue
        if not modalities[name].picture and set(model.targets) - {name} and offers(model, [name]):
            yield Drawing(f"given_{safe_name(name, place)}", True, partial(given, name))
    if len(model.inputs) > 1:
        yield Drawing("from_all", True, lambda: described(_from_all, _direction(run, split, model.inputs)))
    for place, unit, names in units if len(model.units) > 1 or len(model.inputs) == 1 else ():
        draw = partial(lambda unit, names: described(partial(_from, unit), _direction(run, split, names)), unit, names)
        yield Drawing(f"from_{safe_name(unit, place)}", True, draw)
    if len(parts_of(run)) > 1:
        yield Drawing("contributions", True, lambda: described(_contributions, _mean_contributions(run, split)))
    if len(latent["means"]) > 1:
        yield Drawing(_LATENT, False, lambda: _latent(latent_space(latent)))


def pictures_in_training(run: TrainedRun) -> Iterator[Picture]:
    """Draw what shows how far training has come: samples, and rows with their reconstructions.

    Args:
        run: its networks are those in training, in evaluation mode; its folder needs no results yet.
    """
    whole = "from_all" if len(run.model.inputs) > 1 else "from_"
    for drawing in _drawings(run, {"means": []}):
        if drawing.stem.startswith(("samples", whole)) and (picture := drawing.draw()) is not None:
            yield picture


def redraw(run: TrainedRun) -> list[str]:
    """Draw the pictures in a run's folder again, such as after a plugin draws differently.

    Pictures of evaluators stay as they are, since they belong to scores. So does the latent space, which
    `redraw_latent_space` draws in the colours that you ask for; and pictures of rows, if the data cannot be read. A
    picture whose file you removed stays away.

    Returns:
        A line for each reason why pictures stay as they are.
    """
    entries = read_pictures(run.folder)
    places = {entry["file"]: place for place, entry in enumerate(entries) if entry["evaluator"] is None}
    unread: UserError | None = None
    kept: list[str] = []
    for drawing in _drawings(run, {"means": []}):
        file = f"{drawing.stem}.png"
        if file not in places:
            continue
        if drawing.reads_data and unread is None:
            unread = _data_fault(run)
        if drawing.reads_data and unread is not None:
            kept.append(file)
        elif (picture := drawing.draw()) is not None:
            (entry,) = save_pictures([(drawing.stem, picture)], run.folder / "figures")
            entries[places[file]] = {**entry, "evaluator": None}
    write_json(run.folder / "figures.json", {"pictures": entries})
    notes = []
    if unread is not None:
        files = listing(kept, _LISTED)
        notes.append(f"{files} stay as they are, since the data of the run cannot be read: {unread.faults[0]}")
    if others := [entry["file"] for entry in entries if entry["evaluator"] is not None]:
        notes.append(
            f"{listing(others, _LISTED)} stay as they are; `mmt evaluate {run.folder}` draws pictures of scores"
        )
    return notes


def _data_fault(run: TrainedRun) -> UserError | None:
    """Why the run's data cannot be read; None if it can."""
    try:
        run.dataset  # noqa: B018 (the first access reads it)
    except UserError as error:
        return error
    return None


def notes_on_pictures(run: TrainedRun, latent: Mapping[str, Any]) -> list[str]:
    """A line for everything that the pictures leave out, with the command that draws it."""
    notes = []
    if left_out := list(run.model.units)[_MOST_UNITS:]:
        notes.append(
            f"there are figures given each of the first {_MOST_UNITS} modalities; draw a figure given another "
            f"with `mmt sample --given NAME`: {', '.join(left_out)}"
        )
    in_words = [name for name, modality in run.modalities.items() if not modality.picture]
    if left_out := in_words[MOST_IN_WORDS:]:
        notes.append(
            f"pictures show the first {MOST_IN_WORDS} modalities in words, without {listing(left_out, _LISTED)}"
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


def _mean_contributions(run: TrainedRun, split: str) -> Figure | None:
    """Draw the mean contributions in some rows of a split; None if no row has anything to infer z from."""
    rows = run.model.informed(seen_by_model(run, split)).nonzero().squeeze(1)
    if not len(rows):
        return None
    count = max(_EXPLAINED // len(parts_of(run)), 1)
    order = torch.randperm(len(rows), generator=run.generator, device=run.device).cpu()
    return mean_contributions(run, split, rows[order[: min(count, _MOST_EXPLAINED)].sort().values]).figure()


# The title of each picture, and a text that says what it shows and what to look for.


def _rows_of_data(figure: Figure) -> Picture:
    text = "Training rows as the networks read them, one a column, evenly spaced from the first row to the last."
    return Picture(ROWS_OF_DATA, "Rows of the data", text, figure)


def _learning_curves(run: TrainedRun) -> Picture:
    train = run.schema.train
    filling = train.select == "imputation"
    measures = "The training loss and" if filling else "The training loss, the validation bound and"
    text = (
        f"{measures} each part of the loss, in nats: the sum over the terms of a row, averaged over rows. "
        "β is the weight of the KL divergence; it rises during the warm-up."
    )
    if filling:
        text += (
            " The filling score says how well the model fills in hidden cells of the validation rows: 0 is as well as "
            "the mean or mode, 1 is perfect."
        )
    figure = learning_curves(run.history, train.validation_measure)
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


def _contributions(figure: Figure) -> Picture:
    text = (
        "What each modality, and in paler bars each column of a record, contributes to q(z | all that a row has), on "
        "average over some hundred rows of the scored split that have it: its share in the precision of q; how far the "
        "mean of q moves when it is left out, in standard deviations of q; and KL(q || q without it). The larger, the "
        "more z depends on it. `mmt explain` computes them for each row of a table."
    )
    return Picture("contributions", "What each modality tells", text, figure)


def _latent(figure: Figure) -> Picture:
    text = (
        "Each point is the mean of q(z | all that a row has), for up to 2,000 rows of the scored split, projected to "
        "the two directions in which these means vary most. If colours separate, z holds that column. Missing values "
        "are grey. `mmt report RUN --colour COLUMN` colours by another column; `--projection umap` projects by UMAP."
    )
    return Picture(_LATENT, "The latent space", text, figure)
