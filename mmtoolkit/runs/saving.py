"""Writes the run folder of networks that were trained in another loop than ours."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, replacing, write_text
from mmtoolkit.components import Listener
from mmtoolkit.runs.folder import ELSEWHERE, holds_run
from mmtoolkit.runs.prepare import write_folder
from mmtoolkit.runs.provenance import provenance
from mmtoolkit.runs.results import write_results
from mmtoolkit.training.compute import current_compute
from mmtoolkit.training.networks import build
from mmtoolkit.training.weights import misfit, to_bytes

if TYPE_CHECKING:
    from mmtoolkit.runs.trained import TrainedRun


def save_run(run: TrainedRun, folder: Path, figures: bool) -> None:
    """Write a run folder that all commands read; see `TrainedRun.save`."""
    if holds_run(folder):
        raise UserError(f"{folder}: holds a run already; give another folder")
    _check_components(run)
    _check_network(run)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    facts = provenance(run.schema, run.plugins, run.device, "32-true", 1, current_compute(), started)
    record = {**facts, ELSEWHERE: True}
    training = {"epochs": 0, "kept_epoch": 0, "reason": "the networks were trained elsewhere", "validation": None}
    make_folder(folder)
    with replacing(folder / "weights.safetensors") as new:
        new.write_bytes(to_bytes(run.model))
    write_text(folder / "history.jsonl", "")
    try:
        write_folder(folder, run.schema, run.baselines, record)
        write_results(dataclasses.replace(run, folder=folder, saved=True), record, training, figures, Listener())
    except BaseException:
        (folder / "schema.yaml").unlink(missing_ok=True)  # without it the folder holds no run, and you may save again
        raise


def _check_components(run: TrainedRun) -> None:
    """Raise if `load` could not find the class of a component."""
    faults = [
        f"{run.schema.at(*path)}: no plugin has the {part.family} {type(part).__qualname__}; return it from the "
        "mmt_components of a file, and give plugins=load_plugins([FILE])"
        for path, part in run.schema.components()
        if type(part) not in run.plugins.origins
    ]
    if faults:
        raise UserError(faults)


def _check_network(run: TrainedRun) -> None:
    """Raise if the schema does not build a network with these weights."""
    schema = run.schema
    fault = misfit(run.model.state_dict(), build(schema.model, schema.units, schema.train.seed))
    if fault:
        raise UserError(
            f"run {schema.name}: its network is not the one that the schema's model builds: {fault}; make it with "
            "build(schema.model, dataset.units)"
        )
