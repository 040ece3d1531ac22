"""The last phase of a run: it writes scores, pictures and report, then marks the run as finished."""

from __future__ import annotations

import json
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
    folder, say = prepared.folder, prepared.say
    run = TrainedRun(
        folder,
        prepared.schema,
        prepared.network,
        prepared.fabric.device,
        prepared.baselines,
        prepared.plugins,
        say,
        prepared.fabric.is_global_zero,
        prepared.dataset,
    )
    if run.main_process:
        scored = score(run, prepared.schema.evaluate, run.default_split())
        for entry in scored.scores:
            for note in entry["notes"]:
                say(f"{entry['kind']}: {note}")
        write_json(folder / "results.json", _results(prepared, outcome, scored))
        write_json(folder / "data.json", summary(prepared.dataset))
        _draw(run, scored, figures)
        report_of(folder)
        prepared.record["times"]["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / "run.json", prepared.record)
    return run


def _results(prepared: Prepared, outcome: TrainingOutcome, scored: Scored) -> dict[str, Any]:
    """The content of results.json."""
    return {
        "name": prepared.schema.name,
        "parameters": parameter_counts(prepared.network),
        "training": {
            "epochs": outcome.epochs,
            "kept_epoch": outcome.kept_epoch,
            "reason": outcome.reason,
            "validation": outcome.bound,
        },
        "scores": scored.scores,
    }


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
