"""A trained run: to infer, decode, sample and score with, from its folder."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.batch import Batch
from mmtoolkit.components import Evaluator, Modality, Network
from mmtoolkit.dataset import Dataset, Report, prepare
from mmtoolkit.devices import resolve_device
from mmtoolkit.errors import UserError
from mmtoolkit.figures import safe_name, save_figure
from mmtoolkit.files import make_folder
from mmtoolkit.networks import build
from mmtoolkit.plugins import Plugins, load_plugins
from mmtoolkit.posterior import Posterior
from mmtoolkit.run_folder import (
    check_result,
    read_declared,
    read_finished_record,
    read_history,
    read_results,
    resume_command,
)
from mmtoolkit.schema import Schema, read_schema
from mmtoolkit.seeds import seed_for
from mmtoolkit.weights import load_weights

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
        plugins: those that its components come from.
    """

    folder: Path
    schema: Schema
    model: Network
    device: torch.device
    baselines: Mapping[str, Tensor]
    plugins: Plugins
    say: Report = lambda line: None
    main_process: bool = True
    """False in all but one process of a run on several devices."""
    prepared: Dataset | None = None
    """The data, where it is at hand already."""

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
        return read_results(self.folder)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What history.jsonl holds: a line an epoch."""
        return read_history(self.folder, self.results["training"]["epochs"])

    @cached_property
    def dataset(self) -> Dataset:
        """The prepared data; read when it is first asked for."""
        return self.prepared or prepare(self.schema.data, self.schema.modalities, self.schema.at, self.say)

    @property
    def present(self) -> Mapping[str, Tensor]:
        """For each split which rows have which modality: (N, M) bool, in schema order."""
        return {name: split.present for name, split in self.dataset.splits.items()}

    def batches(self, split: str, rows: Iterable[Tensor] | None = None, redraw: bool = False) -> Iterator[Batch]:
        """All rows of a split in order, or in each batch those that are asked for; with `redraw` as training draws."""
        found = self.dataset.split(split)
        if rows is None:
            return found.batches(_EVALUATION_ROWS, self.device)
        return (found.batch(chosen, self.device, redraw) for chosen in rows)

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
            if not parsed.present.all():  # NaN, or a mapping that holds nothing, is missing too
                places[name] = place = place[parsed.present]
            stored = parsed.stored[parsed.present].to(self.device)
            values[name] = modality.prepare(stored, None, place.to(self.device))
        return Batch.of_present(len(rows), values, places)

    @torch.no_grad()
    def infer(self, rows: Sequence[Mapping[str, Any]], given: Collection[str] | None = None) -> Posterior:
        """q(z | what each row has of `given`) for rows of cells: (B, D).

        Args:
            rows: name -> cell, each.
            given: names; whatever a row has, as far as the model can infer z from it, where left out.
        """
        batch = self.batch(rows)
        return self.model.infer_all(batch) if given is None else self.model.infer(batch, given)

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        targets: Collection[str] | None = None,
        rows: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, Distribution]:
        """p(target | z) for z (N, D).

        Args:
            z: (N, D).
            targets: names; all that the model decodes where left out.
            rows: N rows of cells, for a model that decodes given some of them, such as a CVAE.

        Raises:
            UserError: the model decodes given what `rows` do not have.
        """
        rows = rows if rows is not None else [{}] * len(z)
        batch = self.batch(rows)
        self._check_conditions(batch)
        return self.model.decode(z.to(self.device), batch, self.model.targets if targets is None else targets)

    def _check_conditions(self, batch: Batch) -> None:
        if unmet := [name for name in self.model.conditions if len(batch.rows(name)) < batch.size]:
            fault = f"this {self.schema.model.kind} decodes {', '.join(self.model.targets)} given {', '.join(unmet)}"
            raise UserError(f"{fault}; give a value of {unmet[0]} too")

    @torch.no_grad()
    def sample(self, n: int, given: Mapping[str, Any] | None = None, seed: int = 0) -> dict[str, Tensor]:
        """Values of every modality that the model decodes for n draws of z, from the prior or from q(z | given).

        Args:
            n: how many.
            given: name -> cell.
            seed: fixes the draws.

        Returns:
            name -> (n, *event): the point prediction p(x | z) makes of each draw; a given modality is as given, and
            what is unknown of a given vector is predicted.
        """
        given = dict(given or {})
        batch = self.batch([given])
        self._check_conditions(batch)
        generator = torch.Generator(self.device).manual_seed(seed_for("sample", seed))
        noise = torch.randn(n, 1, self.model.latent_dim, generator=generator, device=self.device)
        z = self.model.infer(batch, tuple(given)).rsample(noise).flatten(0, 1)
        decoded = self.model.decode(z, batch, self.model.targets)
        values = {}
        for name, modality in self.modalities.items():
            made = modality.point(decoded[name]) if name in decoded else None
            if len(known := batch.value(name)):
                known = known.expand(n, *known.shape[1:])
                made = known if made is None else modality.filled(known, made)
            if made is not None:
                values[name] = made
        return values

    @torch.no_grad()
    def evaluate(
        self, evaluators: Sequence[Evaluator], split: str, figures: Path | None = None
    ) -> list[dict[str, Any]]:
        """The scores of each evaluator on a split, with its notes for the user, as results.json holds them.

        Args:
            evaluators: in order.
            split: of the run's data.
            figures: the folder for the figures that evaluators draw; they are not kept where it is left out.

        Raises:
            UserError: there is no such split, it has no rows, or an evaluator gives what is no result.
        """
        for evaluator in evaluators:
            evaluator.check_model(self.model)
        if not len(self.dataset.split(split)):
            raise UserError(f"the split {split!r} has no rows; choose another with --split")
        scores = []
        for place, evaluator in enumerate(evaluators):
            found = evaluator.evaluate(self, split)
            options = evaluator.model_dump(mode="json", exclude={"kind"})
            results = [_finite(result) for result in found.results]
            _check_results(evaluator.kind, results)
            notes = list(found.notes)
            if results != found.results:
                notes.append("scores that are not finite stand as null")
            score = {"kind": evaluator.kind, "options": options, "split": split, "results": results, "notes": notes}
            scores.append(score)
            if figures is not None and found.figures:
                make_folder(figures)
                for name, figure in found.figures.items():
                    save_figure(figure, figures / f"{evaluator.kind}_{safe_name(name, place)}.png")
        return scores


def _check_results(kind: str, results: Sequence[Mapping[str, Any]]) -> None:
    for result in results:
        try:
            check_result(result)
        except ValueError as error:
            fault = f"evaluate, {kind}: what it gives is no result: {error}: {dict(result)}"
            raise UserError(f"{fault}; the evaluator's author must mend it") from error


def _finite(result: dict[str, Any]) -> dict[str, Any]:
    """A result with null for numbers that are not finite, which JSON does not have."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in result.items()}


def load(
    folder: Path | str,
    plugin_files: Sequence[str | Path] = (),
    device: str = "cpu",
    say: Report = lambda line: None,
) -> TrainedRun:
    """Load a trained run from its folder. The data is not touched, and nothing is unpickled.

    Args:
        folder: the run folder.
        plugin_files: the `--plugin` files that the run used.
        device: where to put the networks: auto, cpu or cuda.
        say: told of plugins that do not work, and what is being prepared where data is read later.

    Raises:
        UserError: the folder holds no finished run, is damaged, or was made by another version of mmtoolkit or with a
            plugin that is not here.
    """
    folder = Path(folder)
    made_by = read_finished_record(folder)
    plugins = load_plugins(plugin_files)
    for line in plugins.broken:
        say(line)
    given = {plugin.checksum for plugin in plugins.origins.values()}
    for plugin in made_by["plugins"]:
        if plugin["checksum"] and plugin["checksum"] not in given:
            raise UserError(
                f"{folder}: was made with the plugin file {plugin['distribution']} "
                f"(SHA-256 {plugin['checksum'][:12]}…); name that file, unchanged, with --plugin"
            )
    read_declared(folder)  # damage is told as such, and not key by key
    schema = read_schema(folder / "schema.yaml", plugins=plugins)
    network = build(schema.model, schema.modalities, schema.train.seed)
    load_weights(network, folder / "weights.safetensors")
    baselines = _baselines(folder, schema.modalities)
    where = resolve_device(device)
    return TrainedRun(folder, schema, network.to(where).eval(), where, baselines, plugins, say)


def _baselines(folder: Path, modalities: Mapping[str, Modality]) -> dict[str, Tensor]:
    path = folder / "baselines.safetensors"
    try:
        baselines: dict[str, Tensor] = load_file(path)
        shapes = {name: tuple(baseline.shape) for name, baseline in baselines.items()}
        if shapes != {name: modality.event_shape() for name, modality in modalities.items()}:
            raise ValueError(f"it holds the shapes {shapes}, which are not those of the modalities")
    except Exception as error:  # safetensors and the file system have their own
        text = " ".join(str(error).split())[:300]
        remedy = f"have it written again with `{resume_command(folder)}`"
        raise UserError(f"{path}: is missing or damaged: {text}; {remedy}") from error
    return baselines
