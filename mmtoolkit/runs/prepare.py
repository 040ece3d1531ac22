"""The first phase of a run: data, networks and a folder that is a run, before the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from safetensors.torch import save
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, replacing, sweep, write_json, write_text
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.components import Network
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.runs.folder import holds_run
from mmtoolkit.runs.provenance import provenance
from mmtoolkit.runs.resuming import check_schema, resumed_record
from mmtoolkit.schema.schema import Schema
from mmtoolkit.training.networks import build, unused_rows, usable_rows
from mmtoolkit.training.trainer import Trainer
from mmtoolkit.training.watcher import Watcher


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that is ready to be trained.

    Attributes:
        folder: of the run.
        schema: resolved.
        plugins: those that its components come from.
        fabric: launched.
        dataset: the prepared data.
        network: built.
        trainer: of the network, at the start or at the folder's checkpoint.
        baselines: for each modality the training mean or mode.
        record: what run.json holds.
        say: tells the user a line; silent in all but the main process.
    """

    folder: Path
    schema: Schema
    plugins: Plugins
    fabric: Fabric
    dataset: Dataset
    network: Network
    trainer: Trainer
    baselines: Mapping[str, Tensor]
    record: dict[str, Any]
    say: Callable[[str], None]


def prepare_run(
    schema: Schema,
    folder: Path,
    plugins: Plugins,
    fabric: Fabric,
    precision: str,
    resumes: bool,
    watcher: Watcher | None,
    say: Callable[[str], None],
) -> Prepared:
    """Read the data, build the networks and look whether they fit, and write the files that make a folder a run.

    Args:
        schema: as it was read.
        folder: of the run.
        plugins: those the schema was read with.
        fabric: launched, with this precision.
        precision: as `new_fabric` takes it.
        resumes: whether the folder holds this run already, as `check_folder` says.
        watcher: is told how training goes.
        say: tells the user a line.

    Raises:
        UserError: the data has faults, a score cannot be had of this model, a resumed run changed too much, or its
            checkpoint is damaged.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    dataset, resolved = _data(schema, fabric, say)
    if resumes:
        check_schema(folder, resolved, plugins)
    network = _network(resolved, dataset, say)
    trainer = Trainer(network, dataset, resolved.train, folder, fabric, watcher, resolved)
    if resumes and trainer.resume():
        say(f"going on after epoch {trainer.progress.epoch}, step {trainer.progress.step}")
    baselines = {name: m.baseline(dataset.splits["train"].values(name)) for name, m in resolved.modalities.items()}
    record = provenance(resolved, plugins, fabric.device, precision, fabric.world_size, started)
    if resumes:
        record = resumed_record(folder, record)
    if fabric.is_global_zero:
        _write(folder, resolved, baselines, record)
    return Prepared(folder, resolved, plugins, fabric, dataset, network, trainer, baselines, record, say)


def check_folder(folder: Path, resume: bool) -> bool:
    """Whether a folder holds a run, which is then resumed.

    Ask it before there are several processes: the main one writes the folder.

    Raises:
        UserError: it holds a run that is not to be resumed.
    """
    resumes = holds_run(folder)
    if resumes and not resume:
        raise UserError(
            f"{folder}: holds a run already; go on with it by --resume, or write elsewhere with --out FOLDER"
        )
    return resumes


def _data(schema: Schema, fabric: Fabric, say: Callable[[str], None]) -> tuple[Dataset, Schema]:
    """The prepared data, and the schema with what was learned from it."""
    with fabric.rank_zero_first():  # the others find the cache filled
        dataset = prepare(schema.data, schema.modalities, schema.at, say)
    for note in dataset.notes:
        say(note)
    return dataset, schema.with_learned(dataset.source, dataset.modalities)


def _network(schema: Schema, dataset: Dataset, say: Callable[[str], None]) -> Network:
    """New networks that can be trained on the data and scored as the schema asks."""
    train = schema.train
    if train.warmup_epochs > train.epochs:
        say(
            f"train.warmup_epochs is {train.warmup_epochs} and train.epochs {train.epochs}: "
            "training ends before the KL divergence has its full weight"
        )
    network = build(schema.model, schema.modalities, train.seed)
    for evaluator in schema.evaluate:
        evaluator.check_model(network)
    for note in unused_rows(network, dataset):
        say(note)
    usable_rows(network, dataset.splits["train"])
    if train.sampling.complete is not None and not dataset.splits["train"].present.all(1).any():
        say("train.sampling.complete: no training row has every modality; rows come as they are in the data")
    return network


def _write(folder: Path, schema: Schema, baselines: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    make_folder(folder)
    sweep(folder)
    write_json(folder / "run.json", record)
    with replacing(folder / "baselines.safetensors") as new:
        new.write_bytes(save({name: value.contiguous() for name, value in baselines.items()}))
    write_text(folder / "schema.yaml", schema.to_yaml())  # last: it makes the folder a run
