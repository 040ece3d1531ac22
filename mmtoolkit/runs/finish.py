"""The last phase of a run: it writes scores, pictures and report, then marks the run as finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mmtoolkit.base.files import write_json, write_text
from mmtoolkit.data.summary import summary
from mmtoolkit.figures.files import save_pictures
from mmtoolkit.figures.latent_rows import latent_rows
from mmtoolkit.runs.pictures import notes_on_pictures, pictures
from mmtoolkit.runs.prepare import Prepared
from mmtoolkit.runs.report import report_of
from mmtoolkit.runs.scoring import Scored, score
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.training.networks import parameter_counts
from mmtoolkit.training.trainer import TrainingOutcome


def finish_run(prepared: Prepared, outcome: TrainingOutcome, figures: bool) -> TrainedRun:
    """Score the trained run, draw its pictures, write its report, and put the finish time into run.json.

    Args:
        prepared: the run, with trained networks.
        outcome: how training ended.
        figures: whether to draw the run's own pictures.
    """
    run = TrainedRun(
        prepared.folder,
        prepared.schema,
        prepared.network,
        prepared.fabric.device,
        prepared.baselines,
        prepared.plugins,
        prepared.say,
        prepared.fabric.is_global_zero,
        prepared.dataset,
    )
    if run.main_process:
        training = {
            "epochs": outcome.epochs,
            "kept_epoch": outcome.kept_epoch,
            "reason": outcome.reason,
            "validation": outcome.bound,
        }
        write_results(run, prepared.record, training, figures)
    return run


def write_results(run: TrainedRun, record: dict[str, Any], training: Mapping[str, Any], figures: bool) -> None:
    """Score a run, draw its pictures, write its report, and put the finish time into run.json.

    Args:
        run: whose folder has all other files.
        record: the content of run.json.
        training: how training ended, as results.json holds it.
        figures: whether to draw the run's own pictures.
    """
    folder = run.folder
    scored = score(run, run.schema.evaluate, run.default_split())
    for entry in scored.scores:
        for note in entry["notes"]:
            run.say(f"{entry['kind']}: {note}")
    results = {"name": run.schema.name, "parameters": parameter_counts(run.model), "training": dict(training)}
    write_json(folder / "results.json", {**results, "scores": scored.scores})
    write_json(folder / "data.json", summary(run.dataset))
    _draw(run, scored, figures)
    report_of(folder)
    record["times"]["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / "run.json", record)


def _draw(run: TrainedRun, scored: Scored, figures: bool) -> None:
    """Draw the run's pictures and its evaluators', and list them in figures.json for the report."""
    folder = run.folder / "figures"
    entries: list[dict[str, Any]] = []
    if figures:
        latent = latent_rows(run, run.default_split())
        write_text(run.folder / "latent.json", json.dumps(latent, allow_nan=False))
        entries += [{**entry, "evaluator": None} for entry in save_pictures(pictures(run, latent), folder)]
        for note in notes_on_pictures(run, latent):
            run.say(note)
    entries += scored.save_pictures(folder)
    write_json(run.folder / "figures.json", {"pictures": entries})
