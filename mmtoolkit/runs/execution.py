"""From a schema to a trained and scored run: what `mmt run` does, but for the pictures and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, replacing, sweep, write_json, write_text
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.catalogue.plugins import Plugins, load_plugins
from mmtoolkit.data.dataset import prepare
from mmtoolkit.data.summary import summary
from mmtoolkit.runs.folder import holds_run, read_record
from mmtoolkit.runs.provenance import record
from mmtoolkit.runs.run import TrainedRun
from mmtoolkit.schema.faults import key_path
from mmtoolkit.schema.schema import Schema, read_schema
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.networks import build, parameter_counts, unused_rows, usable_rows
from mmtoolkit.training.trainer import Trainer
from mmtoolkit.training.watcher import Watcher
from mmtoolkit.training.weights import load_weights


def execute(
    schema: Schema,
    out: Path | str | None = None,
    *,
    plugins: Plugins | None = None,
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32-true",
    watcher: Watcher | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainedRun:
    """Train a schema's model and evaluate it: everything `mmt run` does but the pictures and the report.

    Args:
        schema: as `read_schema` gives it.
        out: the run folder; runs/NAME where left out.
        plugins: those the schema was read with.
        resume: go on with the run that the folder holds; where none stands, one is started.
        device: as `new_fabric` takes it.
        devices: as `new_fabric` takes it.
        precision: as `new_fabric` takes it.
        watcher: is told how training goes.
        say: is told what else the user should know, a line each.

    Raises:
        UserError: the folder holds a run, the data has faults, training diverged.
    """
    folder = Path(out) if out is not None else Path("runs") / schema.name
    goes_on = holds_run(folder)  # asked before there are several processes, one of which writes
    if goes_on and not resume:
        raise UserError(
            f"{folder}: holds a run already; go on with it by --resume, or write elsewhere with --out FOLDER"
        )
    plugins = plugins if plugins is not None else load_plugins()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if schema.train.warmup_epochs > schema.train.epochs:
        say(
            f"train.warmup_epochs is {schema.train.warmup_epochs} and train.epochs {schema.train.epochs}: "
            "training ends before the KL divergence has its full weight"
        )
    fabric = new_fabric(device, devices, precision)
    if not fabric.is_global_zero:
        watcher, say = None, _unheard
    with fabric.rank_zero_first():  # the others find the cache filled
        dataset = prepare(schema.data, schema.modalities, schema.at, say)
    for note in dataset.notes:
        say(note)
    resolved = schema.with_learned(dataset.source, dataset.modalities)
    if goes_on:
        _check_same(folder, resolved, plugins)
        if fabric.is_global_zero:
            sweep(folder)
    network = build(resolved.model, resolved.modalities, resolved.train.seed)
    for evaluator in resolved.evaluate:
        evaluator.check_model(network)
    for note in unused_rows(network, dataset):
        say(note)
    usable_rows(network, dataset.splits["train"])
    if schema.train.sampling.complete is not None and not dataset.splits["train"].present.all(1).any():
        say("train.sampling.complete: no training row has every modality; rows come as they are in the data")
    make_folder(folder)
    trainer = Trainer(network, dataset, resolved.train, folder, fabric, watcher)
    if resume and trainer.resume():
        say(f"going on after epoch {trainer.progress.epoch}, step {trainer.progress.step}")
    baselines = {name: m.baseline(dataset.splits["train"].values(name)) for name, m in resolved.modalities.items()}
    made_by = record(resolved, plugins, fabric.device, precision, fabric.world_size, started)
    if goes_on:
        made_by = _resumed(folder, made_by)
    if fabric.is_global_zero:
        write_json(folder / "run.json", made_by)
        with replacing(folder / "baselines.safetensors") as new:
            new.write_bytes(save({name: value.contiguous() for name, value in baselines.items()}))
        write_text(folder / "schema.yaml", resolved.to_yaml())  # last: it makes the folder a run

    outcome = trainer.run()
    say(outcome.reason)
    fabric.barrier()
    if fabric.world_size > 1:  # the main process scores alone; metrics would wait for the others
        torch.distributed.destroy_process_group()
    load_weights(network, folder / "weights.safetensors")
    network.eval()
    run = TrainedRun(folder, resolved, network, fabric.device, baselines, plugins, say, fabric.is_global_zero, dataset)
    if fabric.is_global_zero:
        scores = run.evaluate(resolved.evaluate, run.default_split(), folder / "figures")
        for score in scores:
            for note in score["notes"]:
                say(f"{score['kind']}: {note}")
        training = {"epochs": outcome.epochs, "kept_epoch": outcome.kept_epoch, "reason": outcome.reason}
        results = {
            "name": resolved.name,
            "parameters": parameter_counts(network),
            "training": {**training, "validation": outcome.bound},
            "scores": scores,
        }
        write_json(folder / "results.json", results)
        write_json(folder / "data.json", summary(dataset))
        made_by["times"]["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / "run.json", made_by)
    return run


def _unheard(line: str) -> None:
    """What all processes but the main one say."""


def _check_same(folder: Path, schema: Schema, plugins: Plugins) -> None:
    """Raise where a resumed run's schema differs from the one in its folder in more than train.epochs."""
    before = read_schema(folder / "schema.yaml", plugins=plugins).model_dump(mode="json")
    now = schema.model_dump(mode="json")
    before["train"]["epochs"] = now["train"]["epochs"]
    changed = list(_differences(before, now))
    if changed:
        raise UserError(
            f"{folder}: holds a run of another schema ({', '.join(changed)} differ); --resume may change "
            "train.epochs alone: undo the change, or write elsewhere with --out FOLDER"
        )


def _resumed(folder: Path, now: dict[str, Any]) -> dict[str, Any]:
    """The run's own record, with this continuation added; what makes its weights must be as it was."""
    before = read_record(folder)
    changed = []
    if before.get("precision") != now["precision"]:
        changed.append(f"--precision (it was {before.get('precision')}, now {now['precision']})")
    if before.get("data") != now["data"]:
        changed.append("the data's files")
    files, was = ({(p["name"], p["checksum"]) for p in made["plugins"] if p["checksum"]} for made in (now, before))
    if files != was:
        changed.append("a --plugin file")
    if changed:
        raise UserError(
            f"{folder}: cannot go on: {', '.join(changed)} changed since; undo it, or write elsewhere with --out FOLDER"
        )
    again = {key: now[key] for key in ("command", "device", "versions")} | {"started": now["times"]["started"]}
    times = {**before["times"], "finished": None}  # the scores that stand there are of fewer epochs
    return {**before, "times": times, "resumed": [*before.get("resumed", []), again]}


def _differences(before: Any, now: Any, path: KeyPath = ()) -> Iterator[str]:
    """The paths of the keys that differ between two schemas, each as `--set` takes it."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _differences(before.get(key), now.get(key), (*path, key))
    elif before != now:
        yield key_path(path)
