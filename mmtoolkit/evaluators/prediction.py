"""How well modalities are predicted from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from mmtoolkit.batch import Batch
from mmtoolkit.components import Evaluator, Run, Scores
from mmtoolkit.evaluators.entries import Entry, described, scored_rows, supported

if TYPE_CHECKING:
    from mmtoolkit.evaluators.means import MeanWithError


class Prediction(Evaluator):
    """Predicts a target from the given and scores it, beside the training mean or mode as a baseline.

    By default each modality from each single other, from all others, and from itself. z is the posterior mean; with
    `samples: n` it is drawn n times and what is scored is each draw's prediction, averaged over draws. A row counts if
    it has the target and any of the given; rows that lack some of the given are counted as `incomplete`.
    """

    kind: Literal["prediction"] = "prediction"

    samples: PositiveInt | None = None
    """Draws of z a row; the posterior mean where left out."""
    predict: Literal["point", "sample"] = "point"
    """Score the likelihood's point prediction (its mean or mode), or a sample of it."""
    entries: tuple[Entry, ...] | None = None
    """What to score, each {target: [one], given: [...]}."""

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result an entry and metric: {target, given, metric, value, stderr, examples, baseline, incomplete}."""
        names = tuple(run.modalities)
        if self.entries is None:
            entries, notes = supported(_default_entries(names), run.model)
        else:
            entries = [
                Entry(target=(name,), given=entry.given)
                for entry in (entry.ordered(names, self.kind) for entry in self.entries)
                for name in entry.target
            ]
            notes = []
        tallies = [_Tally(run, entry) for entry in entries]
        generator = run.generator
        with torch.random.fork_rng():
            # Distributions sample from the default generator.
            torch.manual_seed(generator.initial_seed())
            for batch in run.batches(split):
                for tally in tallies:
                    tally.update(batch, lambda shape: torch.randn(shape, generator=generator, device=run.device), self)
        return Scores([result for tally in tallies for result in tally.results()], notes=notes)


def _default_entries(names: tuple[str, ...]) -> list[Entry]:
    entries = []
    for target in names:
        others = tuple(name for name in names if name != target)
        givens = [(other,) for other in others] + ([others] if len(others) > 1 else []) + [(target,)]
        entries += [Entry(target=(target,), given=given) for given in givens]
    return entries


class _Tally:
    """The scores of one entry, batch by batch."""

    def __init__(self, run: Run, entry: Entry) -> None:
        self.run, self.entry, self.name = run, entry, entry.target[0]
        self.modality = run.modalities[self.name]
        self.means: dict[str, MeanWithError] = {}
        self.baselines: dict[str, MeanWithError] = {}
        self.metrics = self.modality.metrics()
        self.incomplete = 0

    def update(self, batch: Batch, noise: Callable[[tuple[int, ...]], Tensor], options: Prediction) -> None:
        scored, partial = scored_rows(batch, self.entry)
        self.incomplete += int(partial.sum())
        if not scored.any():
            return
        draws = options.samples or 1
        q = self.run.model.infer(batch, self.entry.given)
        z = q.mean
        if options.samples:
            z = q.rsample(noise((draws, *z.shape))).flatten(0, 1)
        p = self.run.model.decode(z, batch, [self.name])[self.name]
        point = self.modality.point(p) if options.predict == "point" else p.sample()
        present = batch.rows(self.name)
        rows = present[scored[present]].to(z.device)  # in the batch
        x = batch.value(self.name).index_select(0, scored[present].nonzero().squeeze(1).to(z.device))
        by_draw = [self.modality.scores(draw.index_select(0, rows), x) for draw in point.unflatten(0, (draws, -1))]
        _add(self.means, {name: torch.stack([s[name] for s in by_draw]).mean(0) for name in by_draw[0]})
        baseline = self.run.baselines[self.name].to(x.device)
        _add(self.baselines, self.modality.scores(baseline.expand(len(x), *baseline.shape), x))
        if self.metrics:
            average = self.modality.average(p, draws)
            chosen = _rows_of(average, rows)
            for metric in self.metrics.values():
                metric.to(x.device).update(chosen, x)

    def results(self) -> list[dict[str, Any]]:
        found = []
        for metric, mean in self.means.items():
            scores = mean.compute()
            baseline = self.baselines[metric].compute()["value"]
            found.append(described(self.entry, metric=metric, **scores, baseline=baseline, incomplete=self.incomplete))
        for metric, value in self.metrics.items():
            if self.means:
                examples = found[0]["examples"]
                found.append(
                    described(
                        self.entry,
                        metric=metric,
                        value=float(value.compute()),
                        stderr=None,
                        examples=examples,
                        baseline=None,
                        incomplete=self.incomplete,
                    )
                )
        return found


def _add(means: dict[str, MeanWithError], scores: dict[str, Tensor]) -> None:
    from mmtoolkit.evaluators.means import MeanWithError  # torchmetrics takes seconds to import

    for metric, values in scores.items():
        means.setdefault(metric, MeanWithError()).update(values)


def _rows_of(average: Any, rows: Tensor) -> Any:
    if isinstance(average, tuple):
        return tuple(part.index_select(0, rows) for part in average)
    return average.index_select(0, rows)
