"""A trained run: to infer, decode, sample and score with, from its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.components import Evaluator, Modality, Network, Source
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.data.dataset import Dataset, Presence, Split, prepare
from mmtoolkit.runs.folder import (
    read_history,
    read_results,
)
from mmtoolkit.runs.scoring import score
from mmtoolkit.schema.schema import Schema
from mmtoolkit.using.table_split import IN_MEMORY, split_in_memory, split_of_file
from mmtoolkit.using.user_table import UserFile, UserFrame

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
    say: Callable[[str], None] = lambda line: None
    main_process: bool = True
    """False in all but one process of a run on several devices."""
    prepared: Dataset | None = None
    """The data, where it is at hand already."""

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The modalities in schema order."""
        return self.schema.modalities

    @property
    def source(self) -> Source:
        """Where the data of the schema comes from."""
        return self.schema.data

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
        return Presence(self.dataset)

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

    def impute(
        self,
        data: Any,
        samples: int = 0,
        seed: int = 0,
        on_bad_cell: Literal["error", "missing"] | None = None,
        images: Path | str | None = None,
        **reading: Any,
    ) -> Any:
        """A table like `data` with its missing cells filled; those that are there stay as they are.

        Each is filled with the point prediction of the mean of q(z | what the row has). A column that the run knows and
        the table has not is added and filled in every row. What could not be filled, and why, is told by `say`.

        Args:
            data: a pandas or polars frame, an Arrow table, or a dictionary of columns. Paths in it are relative to the
                current folder.
            samples: draws of z a row, which are joined to one prediction; columns of their spread are added. 0 for the
                mean.
            seed: fixes the draws.
            on_bad_cell: what a cell is that cannot be read, `error`, or `missing`: it then stays as it is. As the run's
                source has it where left out.
            images: a folder for the pictures that are made, whose paths then stand in the cells; they are PIL images
                where left out.
            reading: other options of reading, `missing` and `absent_files`. As the run's source has them where left
                out.

        Raises:
            UserError: none of the run's columns is there, a cell cannot be read, or there is no such option.
        """
        from mmtoolkit.using.frames import impute_frame

        return impute_frame(self, UserFrame.for_run(self, reading, on_bad_cell, data=data), samples, seed, images)

    def embed(
        self,
        data: Any,
        keep: Sequence[str] = (),
        on_bad_cell: Literal["error", "missing"] | None = None,
        **reading: Any,
    ) -> Any:
        """A table of mean_0 … and logvar_0 …: mean and log of the variance of q(z | what a row has), a row a row.

        Args:
            data: as `impute` takes it; what comes back is of the same kind.
            keep: columns that are copied, before the others.
            on_bad_cell: as `impute` takes it.
            reading: as `impute` takes it.

        Raises:
            UserError: none of the columns that z is inferred from is there, or a cell cannot be read.
        """
        from mmtoolkit.using.frames import embed_frame

        return embed_frame(self, UserFrame.for_run(self, reading, on_bad_cell, data=data), keep)

    def evaluate_on(
        self,
        data: Any,
        evaluators: Sequence[Evaluator] | None = None,
        on_bad_cell: Literal["error", "missing"] | None = None,
        **reading: Any,
    ) -> list[dict[str, Any]]:
        """The scores of each evaluator on another table, as `evaluate` gives them; nothing is learned from it.

        Args:
            data: the path of a table, or a table in memory as `impute` takes it.
            evaluators: in order; those of the run's schema where left out.
            on_bad_cell: as `impute` takes it.
            reading: as `impute` takes it; of a file also `format`, `delimiter`, `encoding` and `files_outside`.

        Raises:
            UserError: the table cannot be read, there is no such option, or an evaluator needs the run's own data and
                that is not there.
        """
        return evaluate_on(self, data, evaluators, on_bad_cell, reading)

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
        scored = score(self, evaluators, split)
        if figures is not None:
            scored.save_pictures(figures)
        return scored.scores


def _with_split(run: TrainedRun, name: str, split: Split) -> TrainedRun:
    """The same run with one more split of its data."""
    if not len(split):
        raise UserError(f"{name}: has no rows to score; give it rows")
    return dataclasses.replace(run, prepared=Dataset(run.schema.data, run.modalities, _Splits(run, name, split)))


class _Splits(Mapping[str, Split]):
    """The split of a table, and those of the run's own data, which is read where one of them is asked for."""

    def __init__(self, run: TrainedRun, name: str, split: Split) -> None:
        self.run, self.name, self.split = run, name, split

    def _own(self) -> Mapping[str, Split]:
        try:
            return self.run.dataset.splits
        except UserError as error:
            raise UserError(
                [*error.faults, f"{self.name}: what is scored on it needs the run's own data, which cannot be read"]
            ) from error

    def __getitem__(self, name: str) -> Split:
        return self.split if name == self.name else self._own()[name]

    def __contains__(self, name: object) -> bool:
        return name == self.name or name in self._own()

    def __iter__(self) -> Iterator[str]:
        return iter([self.name, *self._own()])

    def __len__(self) -> int:
        return 1 + len(self._own())


def evaluate_on(
    run: TrainedRun,
    data: Any,
    evaluators: Sequence[Evaluator] | None,
    on_bad_cell: Literal["error", "missing"] | None,
    reading: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The scores on a table in a file or in memory; see `TrainedRun.evaluate_on`."""
    chosen = run.schema.evaluate if evaluators is None else evaluators
    if isinstance(data, (str, Path)):
        return evaluate_table(run, UserFile.for_run(run, reading, on_bad_cell, path=data), chosen)
    split, notes = split_in_memory(run, UserFrame.for_run(run, reading, on_bad_cell, data=data))
    for note in notes:
        run.say(note)
    return _with_split(run, IN_MEMORY, split).evaluate(chosen, IN_MEMORY)


def evaluate_table(
    run: TrainedRun, table: UserFile, evaluators: Sequence[Evaluator], figures: Path | None = None
) -> list[dict[str, Any]]:
    """The scores of each evaluator on a table in a file, which is read through the cache of prepared columns.

    Args:
        run: that is scored.
        table: the file.
        evaluators: in order.
        figures: the folder for the figures that evaluators draw.

    Raises:
        UserError: the table or a cell of it cannot be read, or an evaluator needs the run's own data and that is not
            there.
    """
    split, notes = split_of_file(run, table)
    for note in notes:
        run.say(note)
    name = str(table.path)
    return _with_split(run, name, split).evaluate(evaluators, name, figures)
