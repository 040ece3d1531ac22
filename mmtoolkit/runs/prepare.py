"""The first phase of a run: it prepares the data, builds the networks and writes the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, replacing, sweep, write_json, write_text
from mmtoolkit.catalogue.models import refuse_packed
from mmtoolkit.components import Network, Picture
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.components.watcher import BasicListener
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.runs.computing import compute_of_run, latest_compute
from mmtoolkit.runs.folder import holds_run
from mmtoolkit.runs.provenance import provenance
from mmtoolkit.runs.resuming import check_schema, resumed_record
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import Schema
from mmtoolkit.training.compute import Compute
from mmtoolkit.training.listeners import check_watchers
from mmtoolkit.training.networks import build, unused_rows, usable_rows
from mmtoolkit.training.trainer import Trainer
from mmtoolkit.training.validation import check_schedule, validation_rows

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that is ready for training.

    Attributes:
        folder: the run folder.
        schema: the resolved schema.
        plugins: the plugins that its components come from.
        fabric: launched.
        dataset: the prepared data.
        network: the networks to train.
        trainer: the network's trainer, at the start or at the folder's checkpoint.
        baselines: the training mean or mode of each modality.
        record: the content of run.json.
        compute: the threads and matrix kernels of this run.
        say: prints a line for the user; silent in all but the main process.
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
    compute: Compute
    say: Callable[[str], None]


def prepare_run(
    schema: Schema,
    folder: Path,
    plugins: Plugins,
    fabric: Fabric,
    precision: str,
    resumes: bool,
    watcher: BasicListener | None,
    say: Callable[[str], None],
    threads: int | None = None,
) -> Prepared:
    """Read the data, build the networks, check that they fit, and write the files that make a folder a run.

    Args:
        schema: from `read_schema`.
        folder: the run folder.
        plugins: the plugins that read the schema.
        fabric: launched, with this precision.
        precision: as in `new_fabric`.
        resumes: whether the folder already holds this run, from `check_folder`.
        watcher: as in `run`.
        say: prints a line for the user.
        threads: as in `run`.

    Raises:
        UserError: the data has faults, this model cannot give a score of the schema, a watcher cannot be built, a
            resumed run changed too much, or its checkpoint is damaged.
    """
    check_watchers(schema.train.watch)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    dataset, resolved = _data(schema, fabric, say)
    if resumes:
        check_schema(folder, resolved, plugins)
    network = _network(resolved, dataset, say)
    baselines = dataset.baselines()
    before = latest_compute(folder) if resumes else None
    compute = compute_of_run(network, dataset, resolved.train.batch_size, fabric, threads, before, say)
    main = fabric.is_global_zero

    def draw(network: Network) -> Iterator[Picture]:
        from mmtoolkit.runs.pictures import pictures_in_training  # few runs draw in training

        run = TrainedRun(folder, resolved, network, fabric.device, baselines, plugins, say, main, dataset)
        return pictures_in_training(run)

    trainer = Trainer(network, dataset, resolved.train, folder, fabric, watcher, resolved, say, draw)
    if resumes and trainer.resume():
        say(f"going on after epoch {trainer.progress.epoch}, step {trainer.progress.step}")
    record = provenance(resolved, plugins, fabric.device, precision, fabric.world_size, compute, started)
    if resumes:
        record = resumed_record(folder, record)
    if fabric.is_global_zero:
        write_folder(folder, resolved, baselines, record)
    return Prepared(folder, resolved, plugins, fabric, dataset, network, trainer, baselines, record, compute, say)


def check_folder(folder: Path, resume: bool) -> bool:
    """Whether a folder holds a run to resume.

    Call it before several processes start, because the main one writes the folder.

    Raises:
        UserError: it holds a run, and you did not ask to resume it; or a packed run.
    """
    refuse_packed(folder, "checkpoint")
    resumes = holds_run(folder)
    if resumes and not resume:
        raise UserError(f"{folder}: holds a run already; resume it with --resume, or write elsewhere with --out FOLDER")
    return resumes


def _data(schema: Schema, fabric: Fabric, say: Callable[[str], None]) -> tuple[Dataset, Schema]:
    """Prepare the data, and put the options learned from it into the schema."""
    with fabric.rank_zero_first():  # the main process fills the cache for the others
        dataset = prepare(schema.data, schema.units, schema.at, say)
    for note in dataset.notes:
        say(note)
    return dataset, schema.with_learned(dataset.source, dataset.modalities)


def _network(schema: Schema, dataset: Dataset, say: Callable[[str], None]) -> Network:
    """Build networks, and check that the data can train them and the schema's evaluators can score them."""
    train = schema.train
    if train.warmup_epochs > train.epochs:
        say(
            f"train.warmup_epochs is {train.warmup_epochs} and train.epochs is {train.epochs}: "
            "training ends before the KL divergence has its full weight"
        )
    network = build(schema.model, schema.units, train.seed)
    for evaluator in schema.evaluate:
        evaluator.check_modalities(schema.modalities)
        evaluator.check_model(network)
    for note in unused_rows(network, dataset):
        say(note)
    usable_rows(network, dataset.splits["train"])
    check_schedule(train, validation_rows(network, dataset), schema.at("train", "schedule"))
    if train.sampling.complete is not None and not dataset.splits["train"].modelled.present.all(1).any():
        say("train.sampling.complete: no training row has every modality; rows come as they are in the data")
    return network


def write_folder(folder: Path, schema: Schema, baselines: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write the files that make a folder a run."""
    make_folder(folder)
    sweep(folder)
    write_json(folder / "run.json", record)
    with replacing(folder / "baselines.safetensors") as new:
        new.write_bytes(save({name: value.contiguous() for name, value in baselines.items()}))
    write_text(folder / "schema.yaml", schema.to_yaml())  # last: it makes the folder a run
