"""The supervised baseline: encoders with a linear head, trained on the rows that have both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmtoolkit.base.meter import Meter
from mmtoolkit.components import ByName, Modality, Network, Run, Scores
from mmtoolkit.components.entries import Entry, EntryEvaluator, described
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.evaluators.points import PointScores

if TYPE_CHECKING:
    from torch.distributions import Distribution

_LOOKS = 20  # times that the validation rows are scored
_CHOOSING_ROWS = 2000  # of the validation split: all of a large one would cost more than training
_SCORED_ROWS = 500  # at once
_FEWEST_ROWS = 2


class Task(Entry):
    """One classifier a target; both lists of modalities in schema order."""

    target: tuple[str, ...]
    """What is classified; each has a linear head."""
    given: tuple[str, ...]
    """What it is classified from; the features of several stand side by side."""

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` also where nothing is given, or the target itself."""
        super().check(names)
        if not self.given:
            raise ValueError(f"an entry has no given; name what {self.target[0]} is classified from")
        if told := [name for name in self.target if name in self.given]:
            raise ValueError(f"an entry has {told[0]!r} as target and as given; remove it from one of them")

    def cannot(self, model: Network) -> str:
        """Which targets have no linear head; the model itself is not asked for anything."""
        with torch.random.fork_rng(devices=()):  # to build a head draws its weights
            headless = [name for name in self.target if model.modalities[name].head(1) is None]
        return f"{', '.join(headless)} has no linear head to be classified by" if headless else ""


class Classifier(EntryEvaluator[Task]):
    """Trains a classifier on the training rows that have the target and all of the given, and scores its predictions.

    It is what a model that also learns from rows lacking one of them has to beat (Wu & Goodman 2018, Figure 4): an
    encoder of the given as the model has it, newly initialised, and one linear layer to the target's likelihood, whose
    negative log-probability Adam brings down. Nothing of the trained model is used. The `valid` split chooses the step
    whose weights are kept.
    """

    kind: Literal["classifier"] = "classifier"

    entries: tuple[Task, ...]
    """What to train and score, each {target: [...], given: [...]}."""
    steps: PositiveInt = 2000
    """Steps of training, however many rows there are."""
    batch_size: PositiveInt = 100
    """Rows a step; all of them where there are fewer."""
    learning_rate: PositiveFloat = 1e-3
    """The learning rate of Adam."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A few steps, on the modalities of `mmtoolkit.testing`."""
        return (cls(entries=(Task(target=("choice",), given=("point",)),), steps=20, batch_size=8),)

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result an entry and metric: {target, given, metric, better, value, stderr, examples, baseline, rows}.

        `rows` is how many training rows have both.
        """
        tasks, notes = self.chosen([], run.model)
        results = []
        for name, given in ((name, task.given) for task in tasks for name in task.target):
            task = Task(target=(name,), given=given)
            rows = complete_rows(run, "train", task)
            classifier, note = self._trained(run, task, rows)
            notes.append(f"{task}: {note}")
            scores = PointScores(run.modalities[name], run.baselines[name])
            scored = complete_rows(run, split, task)
            if classifier is not None and len(scored):
                for batch in run.batches(split, scored.split(_SCORED_ROWS)):
                    _score(classifier, batch, scores)
            results += [described(task, **result, rows=len(rows)) for result in scores.results()]
        return Scores(results, notes=notes)

    def _trained(self, run: Run, task: Task, rows: Tensor) -> tuple[LinearClassifier | None, str]:
        """A classifier in evaluation mode, or None, and what is to be said of it."""
        if len(rows) < _FEWEST_ROWS:
            return None, f"{('no', 'one')[len(rows)]} training row has both, and a classifier needs {_FEWEST_ROWS}"
        with torch.random.fork_rng(), torch.enable_grad():
            # The same whatever else is scored: weights, order, dropout and what modalities draw anew.
            torch.manual_seed(run.generator.initial_seed())
            classifier = LinearClassifier(run.modalities, task, 2 * run.model.latent_dim).to(run.device)
            step = self._fit(classifier, run, rows)
        if step is None:
            return None, f"training on {len(rows):,} rows diverged; lower learning_rate"
        return classifier, f"trained on the {len(rows):,} rows that have both; step {step:,} of {self.steps:,} is kept"

    def _fit(self, classifier: LinearClassifier, run: Run, rows: Tensor) -> int | None:
        """Train; the step whose weights were kept, None where none of those looked at was finite."""
        split, choosing = "train", rows
        if "valid" in run.present and len(found := complete_rows(run, "valid", classifier.task)):
            split, choosing = "valid", found
        choosing = choosing[:_CHOOSING_ROWS]
        optimizer = torch.optim.Adam(classifier.parameters(), lr=self.learning_rate, fused=True)
        best, kept, kept_step = -math.inf, None, None
        every = max(1, self.steps // _LOOKS)
        run.say(f"{self.kind}: {classifier.task}: {self.steps:,} steps on {len(rows):,} training rows")
        meter = Meter(run.say, f"{self.kind}: {classifier.task}", self.steps, "steps")
        for step, batch in enumerate(run.batches("train", _order(rows, self.batch_size, self.steps), redraw=True), 1):
            classifier.train()
            optimizer.zero_grad()
            classifier.loss(batch).backward()
            optimizer.step()
            meter.advance()
            if step % every and step < self.steps:
                continue
            score = _mean_log_prob(classifier, run.batches(split, choosing.split(_SCORED_ROWS)))
            if score > best:
                best, kept_step = score, step
                kept = {name: value.clone() for name, value in classifier.state_dict().items()}
        if kept is not None:
            classifier.load_state_dict(kept)
            classifier.eval()
        return kept_step


class LinearClassifier(nn.Module):
    """The encoders of the given, and the linear head of the target that reads their features.

    Args:
        modalities: name -> modality.
        task: which of them are given, and the one that is the target.
        width: how many features each encoder gives.
    """

    def __init__(self, modalities: Mapping[str, Modality], task: Task, width: int) -> None:
        super().__init__()
        self.task = task
        self.encoders = ByName({name: modalities[name].encoder(width) for name in task.given})
        head = modalities[task.target[0]].head(width * len(task.given))
        assert head is not None, "`check_model` asked for it"
        self.head = head
        guard_normalisation(self)

    def forward(self, batch: Batch) -> Distribution:
        """p(target | given) for B rows that have all of the given: batch (B,), event that of the target."""
        features = [encoder(batch.value(name)) for name, encoder in zip(self.task.given, self.encoders, strict=True)]
        p: Distribution = self.head(torch.cat(features, dim=1))
        return p

    def loss(self, batch: Batch) -> Tensor:
        """The mean negative log-probability of the target of B rows that have everything, nats."""
        p: Distribution = self(batch)
        return -p.log_prob(batch.value(self.task.target[0])).mean()


def complete_rows(run: Run, split: str, task: Task) -> Tensor:
    """The rows of a split that have the target and all of the given: (n,) int64, ascending, on the host."""
    places = [place for place, name in enumerate(run.modalities) if name in (*task.target, *task.given)]
    return run.present[split][:, places].all(1).nonzero().squeeze(1)


def _order(rows: Tensor, size: int, steps: int) -> Iterator[Tensor]:
    """The rows of each step: every row once before any comes again, shuffled anew each time."""
    left = steps
    while left:
        parts = rows[torch.randperm(len(rows))].split(size)[:left]
        yield from parts
        left -= len(parts)


@torch.no_grad()
def _mean_log_prob(classifier: LinearClassifier, batches: Iterator[Batch]) -> float:
    """The mean log-probability of the target, nats."""
    classifier.eval()
    total, count = 0.0, 0
    for batch in batches:
        total -= float(classifier.loss(batch)) * batch.size
        count += batch.size
    return total / count


@torch.no_grad()
def _score(classifier: LinearClassifier, batch: Batch, scores: PointScores) -> None:
    rows = torch.arange(batch.size, device=batch.device)
    scores.add(classifier(batch), batch.value(classifier.task.target[0]), rows)
