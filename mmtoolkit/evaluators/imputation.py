"""Scores how well a model fills in hidden cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Evaluator, Network, Run, Scores
from mmtoolkit.components.entries import Entry, described, in_order, undecoded
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import point_of
from mmtoolkit.evaluators.neighbours import Neighbours
from mmtoolkit.evaluators.points import PointScores
from mmtoolkit.evaluators.progress import metered_batches

if TYPE_CHECKING:
    from torch.distributions import Distribution

_ROWS = 100  # in one batch
_PAIRS = 5000  # (draw, row) pairs decoded at once
_PROBABILITY = Field(gt=0, le=1)


class Imputation(Evaluator):
    """Hides observed cells at random, fills them in from the rest of their rows, and scores the result.

    There are two baselines: the training mean or mode, and the mean or mode of the nearest training rows. A row always
    keeps something to infer z from. Whole cells are hidden: for a vector with unknown entries, all its known entries.
    """

    kind: Literal["imputation"] = "imputation"

    hide: Annotated[float, _PROBABILITY] | dict[str, Annotated[float, _PROBABILITY]] = 0.2
    """The probability that an observed cell is hidden: for every modality, or by name; then the others stay."""
    rows: PositiveInt = 2000
    """The number of rows to use; drawn at random if the split has more."""
    samples: PositiveInt | None = None
    """Draws of z a row; by default the posterior mean."""
    neighbours: NonNegativeInt = 10
    """The number of nearest training rows; 0 for no such baseline."""
    neighbour_rows: PositiveInt = 2000
    """The number of training rows to search; drawn at random if there are more."""

    @field_validator("hide", mode="wrap")
    @classmethod
    def _probabilities(cls, hide: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """One line for a wrong value; pydantic would write one for each type."""
        try:
            shares = read(hide)
        except ValidationError:
            shares = None
        if not shares:
            raise ValueError(
                f"{hide!r} is no probability (above 0, up to 1) and no mapping from modalities to such; write 0.2, or "
                "{NAME: 0.2}"
            )
        return shares

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` if `hide` names something that is not a modality."""
        for name in self.hide if isinstance(self.hide, Mapping) else ():
            if name not in names:
                raise ValueError(f"hide names {name!r}, which is no modality; the modalities are {', '.join(names)}")

    def check_model(self, model: Network) -> None:
        """Raise a `UserError` if `hide` names a modality that the model cannot fill in."""
        named = in_order(self.hide, tuple(model.modalities)) if isinstance(self.hide, Mapping) else ()
        faults = [
            f"evaluate, {self.kind}: hide.{name}: {fault}; remove it from hide"
            for name in named
            if (fault := _cannot(name, model))
        ]
        if faults:
            raise UserError(faults)

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each modality and metric.

        {target, given, metric, better, value, stderr, examples, baseline, neighbours}.
        `given` lists all modalities that the model infers z from or is conditioned on, except the target. A row uses
        those that are neither missing nor hidden.
        """
        model, names, generator = run.model, tuple(run.modalities), run.generator
        faults = {name: fault for name in names if (fault := _cannot(name, model))}
        notes = [f"left out: {name}: {fault}" for name, fault in faults.items() if not isinstance(self.hide, Mapping)]
        shares = dict.fromkeys(names, self.hide) if not isinstance(self.hide, Mapping) else self.hide
        shares = {name: share for name, share in shares.items() if name not in faults}

        rows = _draw_rows(len(run.present[split]), self.rows, generator)
        hidden = hidden_cells(run.present[split][rows], shares, model, generator)
        notes.append(
            f"{int(hidden.sum()):,} of {int(run.present[split][rows].sum()):,} observed cells of {len(rows):,} rows "
            "were hidden"
        )
        near = None
        if self.neighbours:
            among = _shuffled(len(run.present["train"]), generator)[: self.neighbour_rows]
            near = Neighbours(run, among, self.neighbours)
        tallies = {name: _Tally(run, name) for name in names if name in shares}
        draws = self.samples or 1
        parts = rows.split(max(1, min(_ROWS, _PAIRS // draws)))
        for batch, part, targets in zip(
            metered_batches(run, split, self.kind, parts), parts, hidden.split(len(parts[0])), strict=True
        ):
            observed = batch.where(~targets)
            q = model.infer_all(observed)
            z = point_of(q)
            if self.samples:
                z = q.rsample(torch.randn(draws, *z.shape, generator=generator, device=run.device)).flatten(0, 1)
            by_neighbours = near.predict(observed, targets, part if split == "train" else None) if near else {}
            for name, tally in tallies.items():
                places = targets[:, batch.names.index(name)].nonzero().squeeze(1)
                if not len(places):
                    continue
                z_rows = (torch.arange(draws).unsqueeze(1) * batch.size + places).flatten()
                p = model.decode(z.index_select(0, sent(z_rows, z.device)), observed.take(places), [name])[name]
                tally.update(batch, places, p, draws, by_neighbours.get(name))
        return Scores([result for tally in tallies.values() for result in tally.results()], notes=notes)


def hidden_cells(present: Tensor, shares: Mapping[str, float], model: Network, generator: torch.Generator) -> Tensor:
    """Draw the cells to hide: (B, M) bool, on the host.

    A present cell is hidden with its modality's probability, unless the row lacks one of the model's conditions. If z
    could not be inferred from the rest of a row, hidden cells return in random order until it can.

    Args:
        present: (B, M) bool, in schema order, on the host.
        shares: name -> the probability; 0 by default.
        model: infers z.
        generator: for the draws.
    """
    names = tuple(model.modalities)
    draw, order = torch.rand(2, *present.shape, generator=generator, device=generator.device).cpu()
    hidden: Tensor = present & (draw < torch.tensor([shares.get(name, 0.0) for name in names]))
    hidden &= present[:, [names.index(name) for name in model.conditions]].all(1, keepdim=True)

    def blind() -> Tensor:
        return hidden.any(1) & ~model.informed(present & ~hidden)

    while len(rows := blind().nonzero().squeeze(1)):
        hidden[rows, torch.where(hidden, order, -1.0)[rows].argmax(1)] = False
    return hidden


def _cannot(name: str, model: Network) -> str:
    """Why a model cannot fill in a modality, in words; empty if it can."""
    if fault := undecoded([name], model):
        return fault
    if name in model.conditions:
        return f"the model decodes given {name}"
    others = torch.tensor([[other != name for other in model.modalities]])
    if not model.informed(others).any():
        return f"the model infers z only from {name}"
    return ""


def _draw_rows(n: int, most: int, generator: torch.Generator) -> Tensor:
    """Draw up to `most` of n rows, in ascending order: (rows,) int64, on the host."""
    return _shuffled(n, generator)[:most].sort().values


def _shuffled(n: int, generator: torch.Generator) -> Tensor:
    """The numbers of n rows in random order: (n,) int64, on the host."""
    return torch.randperm(n, generator=generator, device=generator.device).cpu()


class _Tally:
    """The scores of one modality's hidden cells, batch by batch."""

    def __init__(self, run: Run, name: str) -> None:
        model, names = run.model, tuple(run.modalities)
        given = {*model.inputs, *model.conditions}.union(*model.subsets() or ())
        self.entry = Entry(target=(name,), given=in_order(given - {name}, names))
        self.scores = PointScores(run.modalities[name], run.baselines[name])

    def update(self, batch: Batch, rows: Tensor, p: Distribution, draws: int, by_neighbours: Tensor | None) -> None:
        """Add rows (n,) of a batch; p is over draws * n rows, draw-major."""
        (name,) = self.entry.target
        truth = batch.value(name)
        x = truth.index_select(0, sent(torch.searchsorted(batch.rows(name), rows), truth.device))
        self.scores.add(p, x, torch.arange(len(rows), device=x.device), draws)
        if by_neighbours is not None:
            self.scores.compare("neighbours", by_neighbours.to(x.device), x)

    def results(self) -> Iterable[dict[str, Any]]:
        """One result for each metric; one without a metric if no cell was hidden."""
        return [described(self.entry, **scores) for scores in self.scores.results()]
