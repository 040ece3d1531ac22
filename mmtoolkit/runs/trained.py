"""A trained run, with which you infer, decode, sample, impute, embed and evaluate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Evaluator, Modality, Network, Source
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.components.reading import known_cells
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.data.dataset import Dataset, Presence, prepare
from mmtoolkit.runs.folder import holds_run, read_data, read_history, read_results
from mmtoolkit.runs.on_tables import OnTables
from mmtoolkit.runs.plugin_files import given_files
from mmtoolkit.runs.scoring import score
from mmtoolkit.schema.schema import Schema
from mmtoolkit.using.drawing import check_conditions, draw_values

_EVALUATION_ROWS = 500


@dataclass(repr=False)
class TrainedRun(OnTables):
    """A trained run, with which you infer, decode, sample and evaluate. It meets the `Run` protocol.

    Attributes:
        folder: the run folder.
        schema: the resolved schema.
        model: the networks, in evaluation mode.
        device: the device of the networks.
        baselines: the training mean or mode of each modality.
        plugins: the plugins that its components come from.
    """

    folder: Path
    schema: Schema
    model: Network
    device: torch.device
    baselines: Mapping[str, Tensor]
    plugins: Plugins
    say: Callable[[str], None] = lambda line: None
    main_process: bool = True
    """Whether this is the main process, the only one that scores a run on several devices."""
    prepared: Dataset | None = None
    """The data, if it is already prepared."""
    saved: bool = True
    """Whether the folder holds the run."""

    @classmethod
    def of_network(
        cls, schema: Schema, network: Network, dataset: Dataset | None = None, plugins: Plugins | None = None
    ) -> Self:
        """The run of a network that you trained in a loop of your own; `save` writes its folder.

        Args:
            schema: names the data, the modalities and the model.
            network: as `build(schema.model, dataset.units)` returns it, trained. It is put into evaluation mode.
            dataset: the schema's data, as `prepare` returns it; by default it is prepared here.
            plugins: those that the components come from; by default the installed ones.

        Raises:
            UserError: the data cannot be read.
        """
        dataset = prepare(schema.data, schema.units, schema.at) if dataset is None else dataset
        return cls(
            Path("runs") / schema.name,
            schema.with_learned(dataset.source, dataset.modalities),
            network.eval(),
            next(network.parameters()).device,
            dataset.baselines(),
            load_plugins() if plugins is None else plugins,
            prepared=dataset,
            saved=False,
        )

    def save(self, folder: Path | str, figures: bool = True) -> None:
        """Write the run folder of networks that were trained elsewhere: weights, scores, pictures and report.

        `load` and all commands read it as they read the folder that `run` writes. There is nothing to resume in it.

        Args:
            folder: where to write; a new folder, or one that holds no run.
            figures: whether to draw the run's own pictures.

        Raises:
            UserError: the folder holds a run, the networks are not those of the schema, no plugin has one of the
                components, or the data cannot be read.
        """
        _beside("saving").save_run(self, Path(folder), figures)
        self.folder, self.saved = Path(folder), True

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the run as its folder, which is loaded again, with its plugin files and onto its device.

        Raises:
            UserError: the run was never saved.
        """
        files = tuple(plugin.distribution for plugin in given_files(self.plugins))
        return _loaded, (self.own_folder.resolve(), files, self.device.type)

    def __repr__(self) -> str:
        """Such as `TrainedRun(flowers: mvae of 5 modalities, in runs/flowers)`."""
        named = f"{self.schema.name}: {self.schema.model.kind} of {len(self.model.modalities)} modalities"
        return f"TrainedRun({named}, in {self.folder})" if self.saved else f"TrainedRun({named}, not saved)"

    def _repr_html_(self) -> str | None:
        """The head of the report, which notebooks show; None if the run was never saved."""
        has_report = self.saved and holds_run(self.folder)
        return _beside("report_head").head_in_notebook(self.folder) if has_report else None

    @property
    def own_folder(self) -> Path:
        """The folder, which holds the run.

        Raises:
            UserError: the run was never saved.
        """
        if not (self.saved and holds_run(self.folder)):
            raise UserError(f"run {self.schema.name}: was never saved; write its folder with run.save(FOLDER) first")
        return self.folder

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The modalities in schema order. Those that the model sees are `model.modalities`."""
        return self.schema.modalities

    @property
    def source(self) -> Source:
        """The source of the schema's data."""
        return self.schema.data

    @property
    def generator(self) -> torch.Generator:
        """A new generator on the run's device, with the same seed each time."""
        return torch.Generator(self.device).manual_seed(seed_for("evaluation", self.schema.train.seed))

    @property
    def results(self) -> dict[str, Any]:
        """The content of results.json."""
        return read_results(self.own_folder)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The content of history.jsonl: one line an epoch."""
        return read_history(self.own_folder, self.results["training"]["epochs"])

    @cached_property
    def types(self) -> Mapping[str, str]:
        """Column -> the Arrow type that it had in the run's data, such as int64; runs of 0.1 know none."""
        data = read_data(self.folder) if self.saved and (self.folder / "data.json").exists() else {}
        types: dict[str, str] = data.get("types", {})
        return types

    @cached_property
    def dataset(self) -> Dataset:
        """The prepared data. The first access reads it."""
        return self.prepared or prepare(self.schema.data, self.schema.units, self.schema.at, self.say)

    @property
    def present(self) -> Mapping[str, Tensor]:
        """Split -> which rows have which of `modalities`, (N, M) bool, in schema order."""
        return Presence(self.dataset)

    def batches(self, split: str, rows: Iterable[Tensor] | None = None, redraw: bool = False) -> Iterator[Batch]:
        """Iterate over batches of a split.

        Args:
            split: of the run's data.
            rows: the rows of each batch; by default all rows in order.
            redraw: whether modalities that draw anew in training do so, from PyTorch's default generator.
        """
        data = self.dataset.split(split)
        if rows is None:
            return data.batches(_EVALUATION_ROWS, self.device)
        return (data.batch(places, self.device, redraw) for places in rows)

    def default_split(self) -> str:
        """`test` if the data has it, else `valid`, else `train`."""
        return next(name for name in ("test", "valid", "train") if name in self.schema.data.splits())

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """Turn rows of cells, name -> cell, into a batch. A name that a row omits, or maps to None, is missing.

        Raises:
            UserError: a name is not a modality that the model sees, or a cell cannot be read.
        """
        names = {name for row in rows for name in row}
        if unseen := [name for name in self.modalities if name in names and name not in self.model.modalities]:
            raise UserError(f"{unseen[0]}: is not modelled, so the model cannot be given it; leave it out")
        self.model.check_names(names)
        values: dict[str, Tensor] = {}
        places: dict[str, Tensor] = {}
        for name, modality in self.model.modalities.items():
            cells = known_cells(modality, [row.get(name) for row in rows])
            place = torch.tensor([i for i, cell in enumerate(cells) if cell is not None], dtype=torch.int64)
            places[name] = place
            if not len(place):
                values[name] = torch.zeros(0, *modality.event_shape(), device=self.device)
                continue
            parsed = modality.parse_column([cells[i] for i in place])
            if parsed.faults:
                row = min(parsed.faults)
                raise UserError(f"row {int(place[row])}, {name}: {parsed.faults[row]}")
            if not parsed.present.all():  # NaN and empty mappings are missing too
                places[name] = place = place[parsed.present]
            stored = parsed.stored[parsed.present].to(self.device)
            values[name] = modality.prepare(stored, None, place.to(self.device))
        return Batch.of_present(len(rows), values, places)

    @torch.no_grad()
    def infer(self, rows: Sequence[Mapping[str, Any]], given: Collection[str] | None = None) -> Posterior:
        """Infer q(z | the part of `given` that each row has) for rows of cells: (B, D).

        Args:
            rows: B rows, name -> cell.
            given: names; by default all that a row has and that the model can infer z from.
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
        """Decode z (N, D) to p(target | z) for each target.

        Args:
            z: (N, D).
            targets: names; by default all that the model decodes.
            rows: N rows of cells, for a model that decodes given some of them, such as a CVAE.

        Raises:
            UserError: `rows` lack a modality that the model decodes given.
        """
        rows = rows if rows is not None else [{}] * len(z)
        batch = self.batch(rows)
        check_conditions(self.model, batch, self.schema.model.kind)
        return self.model.decode(z.to(self.device), batch, self.model.targets if targets is None else targets)

    def sample(
        self,
        n: int,
        given: Mapping[str, Any] | None = None,
        seed: int = 0,
        sampler: Literal["mixture"] | None = None,
        components: int = 10,
    ) -> dict[str, Tensor]:
        """Draw z n times, from the prior, from a sampler or from q(z | given), and decode every modality.

        Args:
            n: how many draws.
            given: name -> cell.
            seed: fixes the draws.
            sampler: what stands for the prior: `mixture` is a mixture of Gaussians, fitted to the z of the training
                rows the first time and kept in the run folder. By default the prior itself.
            components: the number of Gaussians of the sampler.

        Returns:
            name -> (n, *event): the point prediction of p(x | z) for each draw. A given modality keeps its value, but
            unknown entries of a given vector are predicted.

        Raises:
            UserError: a cell cannot be read; or there is a sampler, and z is inferred from something given, the model
                has no p(z), the data cannot be read, or scikit-learn is not installed.
        """
        given = dict(given or {})
        batch = self.batch([given])
        check_conditions(self.model, batch, self.schema.model.kind)
        return draw_values(self, batch, tuple(given), n, seed, sampler, components)

    def export(
        self,
        out: Path | str,
        formats: Sequence[str] = ("torch",),
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Write q(z | what is present) and the decoders as programs that run without mmtoolkit, and a manifest.

        Args:
            out: the folder to write.
            formats: of the files: `torch` for torch.export, `onnx` for ONNX.
            overwrite: whether to replace an earlier export in the folder.

        Returns:
            The manifest, as `manifest.json` in the folder has it: how cells become tensors, and what each program
            reads and returns.

        Raises:
            UserError: the folder is there already, a format is unknown, its extra is not installed, or a part of the
                model cannot be exported.
        """
        from mmtoolkit.export.exporting import export_run  # with PyTorch's own, which takes a while

        return export_run(self, Path(out), formats, overwrite)

    def pack(self, out: Path | str, overwrite: bool = False) -> dict[str, Any]:
        """Write a small folder to pass on: weights in half precision, and no checkpoint, pictures or report.

        `load` and all commands read it as they read the run folder. They write nothing to it.

        Args:
            out: the folder to write.
            overwrite: whether to replace an earlier packed run in the folder.

        Returns:
            The content of `card.yaml` in the folder: scores, the licence of a data set of the catalogue, and what half
            precision costs on the test rows, in nats.

        Raises:
            UserError: the run was never saved or is packed already, the folder is there already, a weight does not fit
                half precision, or the data cannot be read.
        """
        card: dict[str, Any] = _beside("packing").pack_run(self, Path(out), overwrite).model_dump(by_alias=True)
        return card

    def evaluate(
        self, evaluators: Sequence[Evaluator], split: str, figures: Path | None = None
    ) -> list[dict[str, Any]]:
        """Score a split with each evaluator: entries as in results.json, with notes for the user.

        Args:
            evaluators: in order.
            split: of the run's data.
            figures: a folder for the figures that evaluators draw; by default they are discarded.

        Raises:
            UserError: there is no such split, it has no rows, or an evaluator returns something that is not a result.
        """
        scored = score(self, evaluators, split)
        if figures is not None:
            scored.save_pictures(figures)
        return scored.scores


def _loaded(folder: Path, plugin_files: Sequence[str], device: str) -> TrainedRun:
    """The run of a folder: what a pickled run becomes."""
    run: TrainedRun = _beside("loading").load(folder, plugin_files, device)
    return run


def _beside(name: str) -> Any:
    """A module of this package that needs `TrainedRun` itself, so that this one imports it only when it is used."""
    return import_module(f"mmtoolkit.runs.{name}")
