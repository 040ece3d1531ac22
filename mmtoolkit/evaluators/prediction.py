"""Scores how well a model predicts modalities from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import PositiveInt

from mmtoolkit.components import Run, Scores
from mmtoolkit.components.entries import Entry, EntryEvaluator, described, scored_rows
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import point_of
from mmtoolkit.evaluators.points import PointScores
from mmtoolkit.evaluators.progress import metered_batches

if TYPE_CHECKING:
    from torch.distributions import Distribution


_PAIRS = 5000  # (draw, row) pairs decoded at once


class Prediction(EntryEvaluator[Entry]):
    """Predicts a target from the given and scores it, with the training mean or mode as a baseline.

    The default entries are each modality from each single other, from all others, and from itself. z is the posterior
    mean, or where the mean is no likely value, as in a mixture, the posterior's point; with `samples: n`, a score is
    the mean over the predictions of n draws. A row counts if it has the target and any of the given; `incomplete`
    counts rows that lack some of the given.
    """

    kind: Literal["prediction"] = "prediction"

    samples: PositiveInt | None = None
    """Draws of z a row; by default the posterior mean."""
    predict: Literal["point", "sample"] = "point"
    """Whether to score the likelihood's point (its mean or mode), or a sample."""
    details: bool = False
    """Whether to score parts of values too: each of several columns, each position of a text."""

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each entry and metric.

        {target, given, metric, better, value, stderr, examples, baseline, incomplete}.
        """
        entries, notes = self.chosen(_default_entries(tuple(run.model.modalities)), run.model)
        notes = self.unmodelled_notes(run) + notes
        entries = [Entry(target=(name,), given=entry.given) for entry in entries for name in entry.target]
        tallies = [_Tally(run, entry, self.details) for entry in entries]
        by_given: dict[tuple[str, ...], list[_Tally]] = {}
        for tally in tallies:
            by_given.setdefault(tally.entry.given, []).append(tally)
        draws, generator = self.samples or 1, run.generator
        with torch.random.fork_rng():
            # Distributions sample from the default generator.
            torch.manual_seed(generator.initial_seed())
            for batch in metered_batches(run, split, self.kind):
                for rows in batch.split(max(1, _PAIRS // draws)):
                    for given, group in by_given.items():
                        q = run.model.infer(rows, given)
                        z = point_of(q)
                        if self.samples:
                            noise = torch.randn(draws, *z.shape, generator=generator, device=run.device)
                            z = q.rsample(noise).flatten(0, 1)
                        decoded = run.model.decode(z, rows, [tally.name for tally in group])
                        for tally in group:
                            tally.update(rows, decoded[tally.name], draws, self.predict)
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

    def __init__(self, run: Run, entry: Entry, details: bool) -> None:
        self.run, self.entry, self.name = run, entry, entry.target[0]
        self.scores = PointScores(run.modalities[self.name], run.baselines[self.name], details)
        self.incomplete = 0

    def update(self, batch: Batch, p: Distribution, draws: int, predict: Literal["point", "sample"]) -> None:
        """Add the rows of a batch; p is over draws * B rows, draw-major."""
        scored, partial = scored_rows(batch, self.entry, self.run.model.conditions)
        self.incomplete += int(partial.sum())
        if not scored.any():
            return
        present = batch.rows(self.name)
        rows = present[scored[present]].to(self.run.device)  # in the batch
        x = batch.value(self.name).index_select(0, scored[present].nonzero().squeeze(1).to(self.run.device))
        self.scores.add(p, x, rows, draws, predict)

    def results(self) -> list[dict[str, Any]]:
        """One result for each metric; one without a metric if no row could be scored."""
        return [described(self.entry, **scores, incomplete=self.incomplete) for scores in self.scores.results()]
