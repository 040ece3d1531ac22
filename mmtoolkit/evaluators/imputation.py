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
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Evaluator, Network, Run, Scores
from mmtoolkit.components.entries import Entry, described, in_order, undecoded, unseen
from mmtoolkit.components.evaluator import seen_by_model, unmodelled_notes
from mmtoolkit.core.batch import sent
from mmtoolkit.core.posterior import Posterior, point_of
from mmtoolkit.evaluators.classes import has_classes
from mmtoolkit.evaluators.forest import Forests, import_forests
from mmtoolkit.evaluators.hiding import Hiding, count_parts
from mmtoolkit.evaluators.intervals import FINE, IntervalScores
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

    Where a value has several parts, such as the columns of a vector, it hides these one by one. There are two
    baselines: the training mean or mode, and the mean or mode of the nearest training rows; on request also a random
    forest of the other columns. A row always keeps something to infer z from.
    """

    kind: Literal["imputation"] = "imputation"

    hide: Annotated[float, _PROBABILITY] | dict[str, Annotated[float, _PROBABILITY]] = 0.2
    """The probability that an observed cell, or a known part of it, is hidden: for every modality, or by name; then
    the others stay."""
    whole: bool = False
    """Whether to hide whole cells also where a value has several parts, such as the columns of a vector."""
    rows: PositiveInt = 2000
    """The number of rows to use; drawn at random if the split has more."""
    samples: PositiveInt | None = None
    """Draws of z a row; by default the posterior mean. With two or more, quantities are also drawn themselves, one for
    each z, and scored by the coverage of the central 50 % and 90 % intervals, for which 19 are enough, and the CRPS."""
    neighbours: NonNegativeInt = 10
    """The number of nearest training rows; 0 for no such baseline."""
    neighbour_rows: PositiveInt = 2000
    """The number of training rows to search; drawn at random if there are more."""
    baselines: tuple[Literal["forest"], ...] = ()
    """Further baselines, which take longer: `forest`, a random forest of the other columns for each column of numbers
    or classes (Breiman 2001). It needs scikit-learn, `pip install 'mmtoolkit[sklearn]'`."""
    forest_rows: PositiveInt = 2000
    """The number of training rows that a forest learns from; drawn at random if there are more."""
    details: bool = False
    """Whether to score parts by name too, such as each column of a vector."""

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
        """Raise a `UserError` if `hide` names a modality that the model cannot fill in, or scikit-learn is missing."""
        named = tuple(self.hide) if isinstance(self.hide, Mapping) else ()
        faults = [
            f"evaluate, {self.kind}: hide.{name}: {fault}; remove it from hide"
            for name in named
            if (fault := self._cannot(name, model))
        ]
        if faults:
            raise UserError(faults)
        if "forest" in self.baselines:
            import_forests()

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each modality and metric.

        {target, given, metric, better, value, stderr, examples, baseline, neighbours, forest}. Coverage also
        has `nominal`, the value of a distribution that is right.
        `given` lists all modalities that the model infers z from or is conditioned on, except the target; if there is
        no other, the target, of which a part is known. A row uses what is neither missing nor hidden, which may be
        a part of the target itself.
        """
        model, names, generator = run.model, tuple(run.model.modalities), run.generator
        faults = {name: fault for name in names if (fault := self._cannot(name, model))}
        notes = [f"left out: {name}: {fault}" for name, fault in faults.items() if not isinstance(self.hide, Mapping)]
        notes += unmodelled_notes(run) if not isinstance(self.hide, Mapping) else []
        shares = dict.fromkeys(names, self.hide) if not isinstance(self.hide, Mapping) else self.hide
        shares = {name: share for name, share in shares.items() if name not in faults}

        present = seen_by_model(run, split)
        rows = _draw_rows(len(present), self.rows, generator)
        hiding = Hiding(model, shares, rows, present[rows], generator, self.whole)
        near = None
        if self.neighbours:
            among = _shuffled(len(run.present["train"]), generator)[: self.neighbour_rows]
            near = Neighbours(run, among, self.neighbours)
        forests = None
        if "forest" in self.baselines:
            forests = Forests(run, shares.keys(), self.forest_rows)
            notes += forests.notes
        tallies = {name: _Tally(run, name, self.details, self.samples or 0) for name in names if name in shares}
        parts = rows.split(max(1, min(_ROWS, _PAIRS // max(self._draws(model, unit) for unit in model.units))))
        for place, (batch, part) in enumerate(zip(metered_batches(run, split, self.kind, parts), parts, strict=True)):
            hidden = hiding.of(batch, place * len(parts[0]))
            observed, targets = hidden.observed(batch, run.modalities), hidden.targets(batch)
            q = model.infer_all(observed)
            z = self._latents(model, q, generator)
            decoded: dict[str, Mapping[str, Distribution]] = {}
            itself = part if split == "train" else None
            by_neighbours = near.predict(observed, targets, itself) if near else {}
            truths = {}
            for name, tally in tallies.items():
                places = targets[:, batch.names.index(name)].nonzero().squeeze(1)
                if not len(places):
                    continue
                (unit,) = model.touched([name])
                if unit not in decoded:
                    decoded[unit] = model.decode(z[unit], observed, [unit])
                x = truths[name] = hidden.truth(batch, name, run.modalities[name])
                tally.update(decoded[unit][name], x, places, len(z[unit]) // batch.size, by_neighbours.get(name))
            if forests is not None:
                forests.add(observed, targets, truths, itself)
        for name, point, x in forests.predictions() if forests is not None else ():
            tallies[name].scores.compare("forest", point, x)
        notes.append(hiding.note())
        if self.samples and self.samples < FINE and any(tally.intervals for tally in tallies.values()):
            notes.append(f"coverage_90 tells little with fewer than {FINE} draws; raise samples")
        return Scores([result for tally in tallies.values() for result in tally.results()], notes=notes)

    def _draws(self, model: Network, unit: str) -> int:
        return self.samples or model.pooled_draws(unit)

    def _latents(self, model: Network, q: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
        """What each unit is decoded from: z (K B, D), draw-major, K draws for each row, or the point of q."""
        point = point_of(q)
        drawn: dict[int, Tensor] = {}
        z = {}
        for unit in model.units:
            draws = self._draws(model, unit)
            if not self.samples and draws == 1:
                z[unit] = point
                continue
            if draws not in drawn:
                noise = torch.randn(draws, *point.shape, generator=generator, device=point.device)
                drawn[draws] = q.rsample(noise).flatten(0, 1)
            z[unit] = drawn[draws]
        return z

    def _cannot(self, name: str, model: Network) -> str:
        """Why a model cannot fill in a modality, in words; empty if it can."""
        if fault := unseen([name], model) or undecoded([name], model):
            return fault
        if name in model.conditions:
            return f"the model decodes given {name}"
        others = torch.tensor([[other != name for other in model.modalities]])
        if not model.informed(others).any() and (self.whole or count_parts(model.modalities[name]) == 1):
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

    def __init__(self, run: Run, name: str, details: bool, samples: int) -> None:
        model, names = run.model, tuple(run.model.modalities)
        given = {*model.inputs, *model.conditions, *model.flat([u for of in model.subsets() or () for u in of])}
        self.entry = Entry(target=(name,), given=in_order(given - {name} or given, names))
        self.scores = PointScores(run.modalities[name], run.baselines[name], details)
        self.samples, self.modality = samples, run.modalities[name]
        self.baseline = run.baselines[name]
        self.intervals = IntervalScores() if samples > 1 and not has_classes(run, name) else None
        self._seed = seed_for("hidden values", name, run.generator.initial_seed())
        self._batches = 0

    def update(self, p: Distribution, x: Tensor, places: Tensor, draws: int, by_neighbours: Tensor | None) -> None:
        """Add predictions of x (n, *event), in which only what was hidden is known.

        Args:
            p: over draws * B rows, draw-major.
            x: the values of n of the B rows.
            places: of these rows (n,).
            draws: their number.
            by_neighbours: what the nearest rows predict (n, *event).
        """
        predict: Literal["point", "pooled"] = "point" if self.samples or draws == 1 else "pooled"
        self.scores.add(p, x, sent(places, x.device), draws, predict)
        if by_neighbours is not None:
            self.scores.compare("neighbours", by_neighbours.to(x.device), x)
        if self.intervals is not None and (numbers := self.modality.part_numbers(x)) is not None:
            with torch.random.fork_rng():
                # Distributions sample from the default generator; what they draw depends on no other modality.
                torch.manual_seed(seed_for(self._seed, self._batches))
                drawn = p.sample().unflatten(0, (draws, -1))[:, sent(places, x.device)]
            of_draws = self.modality.part_numbers(drawn.flatten(0, 1))
            baseline = self.modality.part_numbers(self.baseline.to(x.device)[None])
            assert of_draws is not None, "its values have numbers"
            assert baseline is not None, "its values have numbers"
            known = self.modality.known_parts(x)
            self.intervals.add(of_draws.unflatten(0, (draws, -1)), numbers, known, baseline[0])
        self._batches += 1

    def results(self) -> Iterable[dict[str, Any]]:
        """One result for each metric; one without a metric if no cell was hidden."""
        intervals = self.intervals.results() if self.intervals is not None else []
        return [described(self.entry, **scores) for scores in [*self.scores.results(), *intervals]]
