"""Writes scores, pictures and report of a run, then marks it as finished."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mmtoolkit.base.files import write_json, write_text
from mmtoolkit.components import Listener, Picture
from mmtoolkit.data.summary import summary
from mmtoolkit.figures.files import save_pictures
from mmtoolkit.figures.latent_rows import latent_rows
from mmtoolkit.runs.pictures import notes_on_pictures, pictures
from mmtoolkit.runs.report import report_of
from mmtoolkit.runs.scoring import Scored, score
from mmtoolkit.training.networks import parameter_counts

if TYPE_CHECKING:
    from mmtoolkit.runs.trained import TrainedRun


def write_results(
    run: TrainedRun, record: dict[str, Any], training: Mapping[str, Any], figures: bool, listener: Listener
) -> None:
    """Score a run, draw its pictures, write its report, and put the finish time into run.json.

    Args:
        run: whose folder has all other files.
        record: the content of run.json.
        training: how training ended, as results.json holds it.
        figures: whether to draw the run's own pictures.
        listener: hears of each picture.
    """
    folder = run.folder
    scored = score(run, run.schema.evaluate, run.default_split())
    for entry in scored.scores:
        for note in entry["notes"]:
            run.say(f"{entry['kind']}: {note}")
    results = {"name": run.schema.name, "parameters": parameter_counts(run.model), "training": dict(training)}
    write_json(folder / "results.json", {**results, "scores": scored.scores})
    write_json(folder / "data.json", summary(run.dataset))
    _draw(run, scored, figures, listener)
    report_of(folder)
    record["times"]["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / "run.json", record)


def _draw(run: TrainedRun, scored: Scored, figures: bool, listener: Listener) -> None:
    """Draw the run's pictures and its evaluators', and list them in figures.json for the report."""

    def passed_on(pictures: Iterable[tuple[str, Picture]]) -> Iterator[tuple[str, Picture]]:
        for stem, picture in pictures:
            listener.picture(picture)
            yield stem, picture

    folder = run.folder / "figures"
    entries: list[dict[str, Any]] = []
    if figures:
        latent = latent_rows(run, run.default_split())
        write_text(run.folder / "latent.json", json.dumps(latent, allow_nan=False))
        entries += [{**entry, "evaluator": None} for entry in save_pictures(passed_on(pictures(run, latent)), folder)]
        for note in notes_on_pictures(run, latent):
            run.say(note)
    for _, picture in scored.pictures:
        listener.picture(picture)
    entries += scored.save_pictures(folder)
    write_json(run.folder / "figures.json", {"pictures": entries})
