"""The supervised baseline: encoders with a linear head, trained on rows that have both given and target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmtoolkit.base.meter import Meter
from mmtoolkit.components import ByName, Modality, Network, Run, Scores
from mmtoolkit.components.entries import Entry, EntryEvaluator, described, in_order
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.evaluators.complete import complete_rows, steps_of_rows
from mmtoolkit.evaluators.points import PointScores

if TYPE_CHECKING:
    from torch.distributions import Distribution

_LOOKS = 20  # times that training stops to score the validation rows
_CHOOSING_ROWS = 2000  # of the validation split; a large one would cost more than training
_SCORED_ROWS = 500  # in one batch
_FEWEST_ROWS = 2


class Task(Entry):
    """The modalities to classify, with one classifier for each, and the modalities to classify them from."""

    target: tuple[str, ...]
    """The modalities to classify; each has a linear head."""
    given: tuple[str, ...]
    """The modalities to classify from; their features are concatenated."""

    @property
    def names(self) -> tuple[str, ...]:
        """The targets and the given."""
        return (*self.target, *self.given)

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` also if nothing is given, or if a target is given."""
        super().check(names)
        if not self.given:
            raise ValueError(f"an entry has no given; name modalities to classify {self.target[0]} from")
        if both := [name for name in self.target if name in self.given]:
            raise ValueError(f"an entry has {both[0]!r} as target and as given; remove it from one of them")

    def cannot(self, model: Network) -> str:
        """The fault if a target has no linear head; nothing depends on the model itself."""
        return headless({name: model.modalities[name] for name in self.target if name in model.modalities})


def headless(modalities: Mapping[str, Modality]) -> str:
    """A sentence on the modalities that have no linear head; empty if all have one."""
    with torch.random.fork_rng(devices=()):  # a new head draws its weights
        names = [name for name, modality in modalities.items() if modality.head(1) is None]
    return f"{', '.join(names)} has no linear head, which a classifier needs" if names else ""


class Classifier(EntryEvaluator[Task]):
    """Trains a classifier on training rows that have the target and all of the given, and scores its predictions.

    It is a baseline for models that also learn from incomplete rows (Wu & Goodman 2018, Figure 4). It has a new
    encoder of the same kind as the model's for each of the given, and one linear layer to the target's likelihood. Adam
    minimises the negative log-probability. The classifier uses nothing of the trained model, so modalities may be named
    that are not modelled. It keeps the weights of the step with the best score on the `valid` split.
    """

    kind: Literal["classifier"] = "classifier"

    entries: tuple[Task, ...]
    """The classifiers to train and score, each {target: [...], given: [...]}."""
    steps: PositiveInt = 2000
    """Steps of training, for any number of rows."""
    batch_size: PositiveInt = 100
    """Rows a step, or all if there are fewer."""
    learning_rate: PositiveFloat = 1e-3
    """The learning rate of Adam."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A few steps, on the modalities of `mmtoolkit.testing`."""
        return (cls(entries=(Task(target=("choice",), given=("point",)),), steps=20, batch_size=8),)

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each entry and metric.

        {target, given, metric, better, value, stderr, examples, baseline, rows}. `rows` is the number of training rows
        that have both given and target.
        """
        tasks, notes = self.chosen([], run.model)
        results = []
        for name, given in ((name, task.given) for task in tasks for name in task.target):
            task = Task(target=(name,), given=in_order(given, tuple(run.modalities)))
            if fault := headless({name: run.modalities[name]}):  # the model knows no modality that it does not see
                notes.append(f"left out: {task}: {fault}")
                continue
            rows = complete_rows(run, "train", task.names)
            classifier, note = self._train(run, task, rows)
            notes.append(f"{task}: {note}")
            scores = PointScores(run.modalities[name], run.baselines[name])
            test_rows = complete_rows(run, split, task.names)
            if classifier is not None and len(test_rows):
                for batch in run.batches(split, test_rows.split(_SCORED_ROWS)):
                    _score(classifier, batch, scores)
            results += [described(task, **result, rows=len(rows)) for result in scores.results()]
        return Scores(results, notes=notes)

    def _train(self, run: Run, task: Task, rows: Tensor) -> tuple[LinearClassifier | None, str]:
        """A classifier in evaluation mode, or None, and a note about it."""
        if len(rows) < _FEWEST_ROWS:
            return None, f"{('no', 'one')[len(rows)]} training row has both, and a classifier needs {_FEWEST_ROWS}"
        with torch.random.fork_rng(), torch.enable_grad():
            # Weights, order, dropout and modalities' draws do not depend on the other entries.
            torch.manual_seed(run.generator.initial_seed())
            classifier = LinearClassifier(run.modalities, task, 2 * run.model.expert_dim).to(run.device)
            step = self._fit(classifier, run, rows)
        if step is None:
            return None, f"training on {len(rows):,} rows diverged; lower learning_rate"
        return classifier, f"trained on the {len(rows):,} rows that have both; best step: {step:,} of {self.steps:,}"

    def _fit(self, classifier: LinearClassifier, run: Run, rows: Tensor) -> int | None:
        """Train, and load the weights of the best step. Returns that step; None if no score was finite."""
        split, choosing = "train", rows
        if "valid" in run.present and len(valid_rows := complete_rows(run, "valid", classifier.task.names)):
            split, choosing = "valid", valid_rows
        choosing = choosing[:_CHOOSING_ROWS]
        optimizer = torch.optim.Adam(classifier.parameters(), lr=self.learning_rate, fused=True)
        best_score, best_weights, best_step = -math.inf, None, None
        every = max(1, self.steps // _LOOKS)
        run.say(f"{self.kind}: {classifier.task}: {self.steps:,} steps on {len(rows):,} training rows")
        meter = Meter(run.say, f"{self.kind}: {classifier.task}", self.steps, "steps")
        order = steps_of_rows(rows, self.batch_size, self.steps)
        for step, batch in enumerate(run.batches("train", order, redraw=True), 1):
            classifier.train()
            optimizer.zero_grad()
            classifier.loss(batch).backward()
            optimizer.step()
            meter.advance()
            if step % every and step < self.steps:
                continue
            score = _mean_log_prob(classifier, run.batches(split, choosing.split(_SCORED_ROWS)))
            if score > best_score:
                best_score, best_step = score, step
                best_weights = {name: value.clone() for name, value in classifier.state_dict().items()}
        if best_weights is not None:
            classifier.load_state_dict(best_weights)
            classifier.eval()
        return best_step


class LinearClassifier(nn.Module):
    """Encoders of the given, and a linear head of the target on their features.

    Args:
        modalities: name -> modality.
        task: the given and the one target.
        width: the number of features of each encoder.
    """

    def __init__(self, modalities: Mapping[str, Modality], task: Task, width: int) -> None:
        super().__init__()
        self.task = task
        self.encoders = ByName({name: modalities[name].encoder(width) for name in task.given})
        head = modalities[task.target[0]].head(width * len(task.given))
        assert head is not None, "`check_model` checks it"
        self.head = head
        guard_normalisation(self)

    def forward(self, batch: Batch) -> Distribution:
        """p(target | given) for B rows that have all of the given: batch (B,), the target's event."""
        features = [encoder(batch.value(name)) for name, encoder in zip(self.task.given, self.encoders, strict=True)]
        p: Distribution = self.head(torch.cat(features, dim=1))
        return p

    def loss(self, batch: Batch) -> Tensor:
        """The mean negative log-probability of the target over B complete rows, in nats."""
        p: Distribution = self(batch)
        return -p.log_prob(batch.value(self.task.target[0])).mean()


@torch.no_grad()
def _mean_log_prob(classifier: LinearClassifier, batches: Iterator[Batch]) -> float:
    """The mean log-probability of the target, in nats."""
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
