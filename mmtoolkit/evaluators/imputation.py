"""How well hidden cells are filled in."""

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
from mmtoolkit.evaluators.neighbours import Neighbours
from mmtoolkit.evaluators.points import PointScores
from mmtoolkit.evaluators.progress import metered_batches

if TYPE_CHECKING:
    from torch.distributions import Distribution

_ROWS = 100  # at once
_PAIRS = 5000  # (draw, row) pairs decoded at once
_PROBABILITY = Field(gt=0, le=1)


class Imputation(Evaluator):
    """Hides observed cells at random, fills them in from what is left of their rows, and scores what comes back.

    Beside the model stand two baselines: the training mean or mode, and what the nearest training rows have, joined by
    that modality's mean or mode. A row always keeps something that z can be inferred from. Whole cells are hidden, of a
    vector with unknown entries all that is known.
    """

    kind: Literal["imputation"] = "imputation"

    hide: Annotated[float, _PROBABILITY] | dict[str, Annotated[float, _PROBABILITY]] = 0.2
    """The probability with which an observed cell is hidden: of every modality, or of those that are named alone."""
    rows: PositiveInt = 2000
    """How many rows of the split are used, drawn at random where it has more."""
    samples: PositiveInt | None = None
    """Draws of z a row; the posterior mean where left out."""
    neighbours: NonNegativeInt = 10
    """How many nearest training rows are joined; 0 for none, and no such baseline."""
    neighbour_rows: PositiveInt = 2000
    """Of how many training rows these are the nearest, drawn at random where there are more."""

    @field_validator("hide", mode="wrap")
    @classmethod
    def _probabilities(cls, hide: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """One line on what cannot be read, where pydantic has one for each way to read it."""
        try:
            found = read(hide)
        except ValidationError:
            found = None
        if not found:
            raise ValueError(
                f"{hide!r} is no probability (above 0, up to 1) and no mapping of modalities to such; write 0.2, or "
                "{NAME: 0.2}"
            )
        return found

    def check(self, names: Sequence[str]) -> None:
        """Whether `hide` names modalities."""
        for name in self.hide if isinstance(self.hide, Mapping) else ():
            if name not in names:
                raise ValueError(f"hide names {name!r}, which is no modality; the modalities are {', '.join(names)}")

    def check_model(self, model: Network) -> None:
        """Whether the model can fill in what `hide` names."""
        named = in_order(self.hide, tuple(model.modalities)) if isinstance(self.hide, Mapping) else ()
        faults = [
            f"evaluate, {self.kind}: hide.{name}: {fault}; remove it from hide"
            for name in named
            if (fault := _cannot(name, model))
        ]
        if faults:
            raise UserError(faults)

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result a modality and metric.

        {target, given, metric, better, value, stderr, examples, baseline, neighbours}.
        `given` is all that the model infers z or decodes from but the target; of it a row has what is neither missing
        nor hidden.
        """
        model, names, generator = run.model, tuple(run.modalities), run.generator
        faults = {name: fault for name in names if (fault := _cannot(name, model))}
        notes = [f"left out: {name}: {fault}" for name, fault in faults.items() if not isinstance(self.hide, Mapping)]
        shares = dict.fromkeys(names, self.hide) if not isinstance(self.hide, Mapping) else self.hide
        shares = {name: share for name, share in shares.items() if name not in faults}

        rows = _some(len(run.present[split]), self.rows, generator)
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
        for batch, part, wanted in zip(
            metered_batches(run, split, self.kind, parts), parts, hidden.split(len(parts[0])), strict=True
        ):
            left = batch.where(~wanted)
            q = model.infer_all(left)
            z = q.mean
            if self.samples:
                z = q.rsample(torch.randn(draws, *z.shape, generator=generator, device=run.device)).flatten(0, 1)
            by_neighbours = near.predicted(left, wanted, part if split == "train" else None) if near else {}
            for name, tally in tallies.items():
                here = wanted[:, batch.names.index(name)].nonzero().squeeze(1)
                if not len(here):
                    continue
                places = (torch.arange(draws).unsqueeze(1) * batch.size + here).flatten()
                p = model.decode(z.index_select(0, sent(places, z.device)), left.take(here), [name])[name]
                tally.update(batch, here, p, draws, by_neighbours.get(name))
        return Scores([result for tally in tallies.values() for result in tally.results()], notes=notes)


def hidden_cells(present: Tensor, shares: Mapping[str, float], model: Network, generator: torch.Generator) -> Tensor:
    """Which cells are hidden: (B, M) bool, on the host.

    Each present cell of a modality with its share as probability, unless the row lacks what the model decodes given.
    A row that would have nothing left that z can be inferred from gets hidden cells back, in random order, until it
    has.

    Args:
        present: (B, M) bool, in schema order, on the host.
        shares: name -> the probability; 0 where left out.
        model: what has to infer.
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
    """Why a model cannot fill in a modality, in words; nothing where it can."""
    if fault := undecoded([name], model):
        return fault
    if name in model.conditions:
        return f"the model decodes given {name}"
    others = torch.tensor([[other != name for other in model.modalities]])
    if not model.informed(others).any():
        return f"the model infers z from nothing but {name}"
    return ""


def _some(n: int, most: int, generator: torch.Generator) -> Tensor:
    """Up to `most` of n rows, drawn at random, in ascending order: (rows,) int64, on the host."""
    return _shuffled(n, generator)[:most].sort().values


def _shuffled(n: int, generator: torch.Generator) -> Tensor:
    """N rows in random order: (n,) int64, on the host."""
    return torch.randperm(n, generator=generator, device=generator.device).cpu()


class _Tally:
    """The scores of one modality's hidden cells, batch by batch."""

    def __init__(self, run: Run, name: str) -> None:
        model, names = run.model, tuple(run.modalities)
        read = {*model.inputs, *model.conditions}.union(*model.subsets() or ())
        self.entry = Entry(target=(name,), given=in_order(read - {name}, names))
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
        """One result a metric; one without a metric where no cell was hidden."""
        return [described(self.entry, **scores) for scores in self.scores.results()]
