"""A run: its folder, from a schema to trained weights and scores, and back from the folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.batch import Batch
from mmtoolkit.components import Evaluator, Modality, Network
from mmtoolkit.dataset import Dataset, Report, prepare
from mmtoolkit.devices import new_fabric
from mmtoolkit.errors import UserError
from mmtoolkit.faults import key_path
from mmtoolkit.files import make_folder, replacing, write_json, write_text
from mmtoolkit.networks import build, parameter_counts
from mmtoolkit.plugins import Plugins, load_plugins
from mmtoolkit.posterior import Posterior
from mmtoolkit.record import record
from mmtoolkit.schema import Schema, read_schema
from mmtoolkit.seeds import seed_for
from mmtoolkit.training import Trainer, Watcher
from mmtoolkit.weights import load_weights
from mmtoolkit.yaml12 import Path as KeyPath

_EVALUATION_ROWS = 500


@dataclass
class TrainedRun:
    """A trained run, ready to infer, decode, sample and be evaluated. It meets the `Run` protocol.

    Attributes:
        folder: the run folder.
        schema: resolved.
        model: the networks, in evaluation mode.
        device: where they lie.
        baselines: for each modality the training mean or mode.
    """

    folder: Path
    schema: Schema
    model: Network
    device: torch.device
    baselines: Mapping[str, Tensor]
    report: Report = lambda line: None
    main_process: bool = True
    """False in all but one process of a run on several devices."""

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The modalities in schema order."""
        return self.schema.modalities

    @property
    def generator(self) -> torch.Generator:
        """A new generator, the same each time, on the run's device."""
        return torch.Generator(self.device).manual_seed(seed_for("evaluation", self.schema.train.seed))

    @property
    def results(self) -> dict[str, Any]:
        """What results.json holds."""
        results: dict[str, Any] = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        return results

    @property
    def history(self) -> list[dict[str, Any]]:
        """What history.jsonl holds: a line an epoch."""
        return [json.loads(line) for line in (self.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]

    @cached_property
    def dataset(self) -> Dataset:
        """The prepared data; read when it is first asked for."""
        return prepare(self.schema.data, self.schema.modalities, self.schema.at, self.report)

    def batches(self, split: str) -> Iterator[Batch]:
        """The rows of a split."""
        return self.dataset.split(split).batches(_EVALUATION_ROWS, self.device)

    def default_split(self) -> str:
        """`test` where the data has it, else `valid`, else `train`."""
        return next(name for name in ("test", "valid", "train") if name in self.schema.data.splits())

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """Rows of cells, name -> cell, as the networks read them. What a row leaves out, or gives as None, is missing.

        Raises:
            UserError: a name is no modality, or a cell cannot be read.
        """
        self.model.check_names({name for row in rows for name in row})
        values: dict[str, Tensor] = {}
        places: dict[str, Tensor] = {}
        for name, modality in self.modalities.items():
            cells = [row.get(name) for row in rows]
            place = torch.tensor([i for i, cell in enumerate(cells) if cell is not None], dtype=torch.int64)
            places[name] = place
            if not len(place):
                values[name] = torch.zeros(0, *modality.event_shape(), device=self.device)
                continue
            parsed = modality.parse_column([cells[i] for i in place])
            if parsed.faults:
                row, fault = min(parsed.faults.items())
                raise UserError(f"row {int(place[row])}, {name}: {fault}")
            keys = place.to(self.device)
            values[name] = modality.prepare(parsed.stored.to(self.device), None, keys)
        return Batch.of_present(len(rows), values, places)

    @torch.no_grad()
    def infer(self, rows: Sequence[Mapping[str, Any]], given: Collection[str] | None = None) -> Posterior:
        """q(z | what each row has of `given`) for rows of cells: (B, D). All modalities where given is left out."""
        return self.model.infer(self.batch(rows), tuple(self.modalities) if given is None else given)

    @torch.no_grad()
    def decode(self, z: Tensor, targets: Collection[str] | None = None) -> dict[str, Distribution]:
        """p(target | z) for z (N, D); all modalities where targets is left out."""
        batch = self.batch([{}] * len(z))
        return self.model.decode(z.to(self.device), batch, tuple(self.modalities) if targets is None else targets)

    @torch.no_grad()
    def sample(self, n: int, given: Mapping[str, Any] | None = None, seed: int = 0) -> dict[str, Tensor]:
        """Values of every modality for n draws of z, from the prior or from q(z | given).

        Args:
            n: how many.
            given: name -> cell.
            seed: fixes the draws.

        Returns:
            name -> (n, *event): the point prediction p(x | z) makes of each draw; a given modality is as given.
        """
        given = dict(given or {})
        batch = self.batch([given])
        generator = torch.Generator(self.device).manual_seed(seed_for("sample", seed))
        noise = torch.randn(n, 1, self.model.latent_dim, generator=generator, device=self.device)
        z = self.model.infer(batch, tuple(given)).rsample(noise).flatten(0, 1)
        values = {}
        for name, p in self.model.decode(z, batch, tuple(self.modalities)).items():
            known = batch.value(name)
            values[name] = known.expand(n, *known.shape[1:]) if len(known) else self.modalities[name].point(p)
        return values

    @torch.no_grad()
    def evaluate(self, evaluators: Sequence[Evaluator], split: str) -> tuple[list[dict[str, Any]], list[str]]:
        """The scores of each evaluator on a split, as results.json holds them, and notes for the user."""
        if not len(self.dataset.split(split)):
            raise UserError(f"the split {split!r} has no rows; choose another with --split")
        scores, notes = [], []
        for evaluator in evaluators:
            found = evaluator.evaluate(self, split)
            options = evaluator.model_dump(mode="json", exclude={"kind"})
            results = [_finite(result) for result in found.results]
            scores.append({"kind": evaluator.kind, "options": options, "split": split, "results": results})
            notes += [f"{evaluator.kind}: {note}" for note in found.notes]
            if results != found.results:
                notes.append(f"{evaluator.kind}: scores that are not finite stand as null")
            for name, figure in found.figures.items():
                with replacing(make_folder(self.folder / "figures") / f"{evaluator.kind}-{name}.png") as new:
                    figure.savefig(new, format="png")
        return scores, notes


def _finite(result: dict[str, Any]) -> dict[str, Any]:
    """A result with null for numbers that are not finite, which JSON does not have."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in result.items()}


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return (folder / "schema.yaml").exists()


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
    if holds_run(folder) and not resume:
        raise UserError(
            f"{folder}: holds a run already; go on with it by --resume, or write elsewhere with --out FOLDER"
        )
    make_folder(folder)
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
    if holds_run(folder):
        _check_same(folder, resolved, plugins)
    network = build(resolved.model, resolved.modalities, resolved.train.seed)
    trainer = Trainer(network, dataset, resolved.train, folder, fabric, watcher)
    if resume and trainer.resume():
        say(f"going on after epoch {trainer.progress.epoch}, step {trainer.progress.step}")
    baselines = {name: m.baseline(dataset.splits["train"].values(name)) for name, m in resolved.modalities.items()}
    made_by = record(resolved, plugins, fabric.device, precision, fabric.world_size, started)
    if fabric.is_global_zero:
        write_text(folder / "schema.yaml", resolved.to_yaml())
        write_json(folder / "run.json", made_by)
        with replacing(folder / "baselines.safetensors") as new:
            new.write_bytes(save({name: value.contiguous() for name, value in baselines.items()}))

    outcome = trainer.run()
    say(outcome.reason)
    fabric.barrier()
    if fabric.world_size > 1:  # the main process scores alone; metrics would wait for the others
        torch.distributed.destroy_process_group()
    load_weights(network, folder / "weights.safetensors")
    network.eval()
    run = TrainedRun(folder, resolved, network, fabric.device, baselines, say, fabric.is_global_zero)
    run.__dict__["dataset"] = dataset
    if fabric.is_global_zero:
        scores, notes = run.evaluate(resolved.evaluate, run.default_split())
        for note in notes:
            say(note)
        training = {"epochs": outcome.epochs, "kept_epoch": outcome.kept_epoch, "reason": outcome.reason}
        results = {
            "name": resolved.name,
            "parameters": parameter_counts(network),
            "training": {**training, "validation": outcome.bound},
            "scores": scores,
        }
        write_json(folder / "results.json", results)
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


def _differences(before: Any, now: Any, path: KeyPath = ()) -> Iterator[str]:
    """The paths of the keys that differ between two schemas, each as `--set` takes it."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _differences(before.get(key), now.get(key), (*path, key))
    elif before != now:
        yield key_path(path)


def load(
    folder: Path | str,
    plugin_files: Sequence[str | Path] = (),
    device: str | torch.device = "cpu",
    report: Report = lambda line: None,
) -> TrainedRun:
    """Load a trained run from its folder. The data is not touched, and nothing is unpickled.

    Args:
        folder: the run folder.
        plugin_files: the `--plugin` files that the run used.
        device: where to put the networks.
        report: told what is being prepared, where data is read later.

    Raises:
        UserError: the folder holds no finished run, is damaged, or was made with a plugin that is not here.
    """
    folder = Path(folder)
    if not holds_run(folder):
        hint = "give the folder that `mmt run` wrote"
        raise UserError(f"{folder}: holds no run (there is no schema.yaml in it); {hint}")
    made_by = _read_json(folder / "run.json")
    plugins = load_plugins(plugin_files)
    given = {plugin.checksum for plugin in plugins.origins.values()}
    for plugin in made_by.get("plugins", []):
        if plugin["checksum"] and plugin["checksum"] not in given:
            raise UserError(
                f"{folder}: was made with the plugin file {plugin['distribution']} "
                f"(SHA-256 {plugin['checksum'][:12]}…); name that file, unchanged, with --plugin"
            )
    schema = read_schema(folder / "schema.yaml", plugins=plugins)
    if not (folder / "weights.safetensors").exists():
        raise UserError(f"{folder}: is not finished (it has no weights yet); go on with `mmt run … --resume`")
    network = build(schema.model, schema.modalities, schema.train.seed)
    load_weights(network, folder / "weights.safetensors")
    baselines = _baselines(folder / "baselines.safetensors")
    return TrainedRun(folder, schema, network.to(device).eval(), torch.device(device), baselines, report)


def _baselines(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: is missing or damaged: {text}; train the run again") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; the run is damaged, train it again") from None
    except ValueError as error:
        raise UserError(f"{path}: is damaged: {error}; train it again") from error
    return data
