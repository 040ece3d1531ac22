"""Judges: classifiers that tell the class of a value of any modality, which scores of generated values ask."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmtoolkit.architectures import Conv
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import safe_name
from mmtoolkit.base.meter import Meter
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Parted, Run
from mmtoolkit.components.fitted import keep_fitted, read_fitted
from mmtoolkit.components.means import MeanWithError
from mmtoolkit.components.parted import FormEncoder
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.evaluators.complete import complete_rows, steps_of_rows

FOLDER = "judges"
"""The folder of a run folder that has the judges' weights."""

_VERSION = 1  # of the way that judges are trained: raise it when that changes, and old files are trained again
_FEATURES = 128
_CHANNELS = 16  # of the first convolution
_EPOCHS, _FEWEST_STEPS, _MOST_STEPS = 4, 200, 1500
_LOOKS = 10  # times that training stops to compute the loss on rows that it does not learn from
_BATCH_ROWS = 100
_LEARNING_RATE = 3e-3  # the highest, of a cycle that starts and ends near zero (Smith & Topin 2017)
_WEIGHT_DECAY = 1e-2
_CHOOSING_ROWS = 2000
_ROWS_AT_ONCE = 500
_LABEL_ROWS = 20_000  # from which the classes are learned
_MOST_CLASSES = 1000
_FEWEST_ROWS = 20
_LEAST_SKILL = 0.1  # a judge that is right in fewer of the rows that chance gets wrong is as good as none


class Judge(nn.Module):
    """A classifier of the values of one modality: its branch, or convolutions where these fit, and a linear layer.

    Args:
        modality: whose values it reads.
        classes: (C,), the values of the label, ascending.
    """

    classes: Tensor

    def __init__(self, modality: Modality, classes: Tensor) -> None:
        super().__init__()
        self.register_buffer("classes", classes)
        self.branch = _branch(modality)
        self.linear = nn.Linear(_FEATURES, len(classes))
        guard_normalisation(self)

    def features(self, x: Tensor) -> Tensor:
        """What the linear layer reads of values x (N, *event): (N, F) float32."""
        features: Tensor = self.branch(x)
        return features.float()

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the classes of x (N, *event): (N, C)."""
        logits: Tensor = self.linear(self.features(x))
        return logits

    def classify(self, x: Tensor) -> Tensor:
        """The place of the most probable class of each of x (N, *event), for any N: (N,) int64."""
        parts = [self(part).argmax(1) for part in x.split(_ROWS_AT_ONCE)]
        return torch.cat([torch.zeros(0, dtype=torch.int64, device=x.device), *parts])

    def places(self, label: Tensor) -> Tensor:
        """The place among the classes of values of the label (N,): (N,) int64; -1 for one that is none of them."""
        place = torch.searchsorted(self.classes, label.to(self.classes)).clamp(max=len(self.classes) - 1)
        return torch.where(self.classes[place] == label, place, -1)


@dataclass(frozen=True)
class Skill:
    """How well a judge tells the classes of a split's own values.

    Attributes:
        accuracy: the share of rows that it judges right; None without rows.
        stderr: its standard error; None with fewer than two rows.
        examples: the number of rows that have the label and the modality.
        chance: the share of the most frequent class among them; None without rows.
    """

    accuracy: float | None
    stderr: float | None
    examples: int
    chance: float | None

    @property
    def worthless(self) -> bool:
        """Whether it is hardly better than the most frequent class, so that what it says of other values is noise."""
        if self.accuracy is None or self.chance is None:
            return True
        gain = self.accuracy - self.chance
        return gain < _LEAST_SKILL * (1 - self.chance) or gain <= 2 * (self.stderr or 0.0)


def check_label(kind: str, modalities: Mapping[str, Modality], label: str) -> None:
    """Raise if a modality has no classes to judge by.

    Args:
        kind: the evaluator's, for the message.
        modalities: all of the schema, with what they learned from the training cells.
        label: the name of one.

    Raises:
        UserError: its values are not classes; the message has the remedy.
    """
    modality = modalities[label]
    if modality.event_shape() != () or not modality.fixed_cells():
        raise UserError(
            f"evaluate, {kind}: label: {label} is of kind {modality.kind}, whose values are no classes of a fixed "
            "list; name a modality that has some, such as one of kind label or binary"
        )


def trained_judges(run: Run, label: str, names: Sequence[str]) -> tuple[dict[str, Judge], list[str]]:
    """A judge for each modality, trained on the training rows that have it and the label, and notes.

    They are kept in the folder `judges` of the run folder, if it holds a run, and read from there as long as the data's
    presence and means, the modalities' options and the run's seed stay the same. The `valid` split chooses the step;
    without one, a tenth of the rows. The trained model takes no part.

    Args:
        run: has the data.
        label: a modality whose values are classes.
        names: the modalities to judge, without the label.

    Returns:
        name -> judge in evaluation mode on the run's device, without those that have too few rows, which notes name.

    Raises:
        UserError: the training rows have fewer than two classes of the label.
    """
    judges: dict[str, Judge] = {}
    notes: list[str] = []
    classes: Tensor | None = None
    for name in names:
        path = run.folder / FOLDER / _file(run, label, name)
        mark = _fingerprint(run, label, name)
        if (tensors := read_fitted(path, mark)) is not None:
            judge = _loaded(run, name, tensors)
        else:
            rows = complete_rows(run, "train", (label, name))
            if len(rows) < _FEWEST_ROWS:
                notes.append(
                    f"left out: {name}: {len(rows):,} training rows have it and {label}, and a judge needs "
                    f"{_FEWEST_ROWS}"
                )
                continue
            classes = _classes(run, label) if classes is None else classes
            judge = _train(run, label, name, rows, classes)
            notes += keep_fitted(run.folder, path, judge.state_dict(), mark)
        judges[name] = judge
    return judges, notes


def skills(
    run: Run, split: str, label: str, judges: Mapping[str, Judge], rows: Tensor | None = None
) -> dict[str, Skill]:
    """How well each judge tells the classes of the split's own values: name -> skill.

    Args:
        run: has the data.
        split: its name.
        label: the modality that holds the truth.
        judges: name -> judge.
        rows: (n,) int64, the rows to judge; by default all.
    """
    hits = {name: MeanWithError() for name in judges}
    counts = {name: torch.zeros(len(judge.classes) + 1, dtype=torch.float64) for name, judge in judges.items()}
    with torch.no_grad():
        for batch in run.batches(split, None if rows is None else rows.split(_ROWS_AT_ONCE)):
            labelled = batch.rows(label)
            for name, judge in judges.items():
                both = torch.isin(labelled, batch.rows(name))
                truth = judge.places(_at(batch.value(label), both))
                judged = judge.classify(_at(batch.value(name), torch.isin(batch.rows(name), labelled)))
                hits[name].update((judged == truth).double())
                counts[name] += torch.bincount(truth.cpu() + 1, minlength=len(judge.classes) + 1)
    answer = {}
    for name, mean in hits.items():
        scores = mean.compute()
        chance = float(counts[name][1:].max() / counts[name].sum()) if mean.rows else None
        answer[name] = Skill(scores["value"], scores["stderr"], scores["examples"], chance)
    return answer


def _at(values: Tensor, chosen: Tensor) -> Tensor:
    return values.index_select(0, chosen.nonzero().squeeze(1).to(values.device))


def _branch(modality: Modality) -> nn.Module:
    """Convolutions for a form that these read, whatever network the model has; else the modality's own branch."""
    if isinstance(modality, Parted):
        form, conv = modality.form(), Conv(channels=_CHANNELS)
        if isinstance(form, conv.reads) and conv.misfit(form) is None:
            return FormEncoder(modality.reader(), conv.branch(form, _FEATURES))
    return modality.branch(_FEATURES)


def _classes(run: Run, label: str) -> Tensor:
    """The values of the label in the training rows: (C,), ascending."""
    rows = complete_rows(run, "train", (label,))
    rows = rows[:: math.ceil(len(rows) / _LABEL_ROWS) or 1]
    seen = torch.zeros(0)
    for batch in run.batches("train", rows.split(_ROWS_AT_ONCE)):
        seen = torch.cat([seen.to(batch.value(label)), batch.value(label)]).unique()
    if not 2 <= len(seen) <= _MOST_CLASSES:
        raise UserError(
            f"label: the training rows have {len(seen):,} classes of {label}, and judges need 2 to {_MOST_CLASSES:,}; "
            "name another modality"
        )
    return seen


def _seed(run: Run, label: str, name: str) -> int:
    return seed_for("judge", label, name, run.generator.initial_seed())


def _train(run: Run, label: str, name: str, rows: Tensor, classes: Tensor) -> Judge:
    """Train a judge, and take the weights of the step with the least loss on rows that it does not learn from."""
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(_seed(run, label, name))  # it depends on nothing that else was trained or drawn
        split, choosing = "valid", torch.zeros(0, dtype=torch.int64)
        if "valid" in run.present:
            choosing = complete_rows(run, "valid", (label, name))
        if not len(choosing):
            split, shuffled = "train", rows[torch.randperm(len(rows))]
            rows, choosing = shuffled[len(rows) // 10 :], shuffled[: len(rows) // 10]
        choosing = choosing[torch.randperm(len(choosing))[:_CHOOSING_ROWS]]
        judge = Judge(run.modalities[name], classes).to(run.device)
        steps = min(max(_EPOCHS * len(rows) // _BATCH_ROWS, _FEWEST_STEPS), _MOST_STEPS)
        optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=_WEIGHT_DECAY, fused=True)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, steps)
        run.say(f"judge of {name} by {label}: {steps:,} steps on {len(rows):,} training rows")
        meter = Meter(run.say, f"judge of {name} by {label}", steps, "steps")
        least, best = math.inf, judge.state_dict()  # the start stands where no loss is finite
        order = steps_of_rows(rows, _BATCH_ROWS, steps)
        for step, batch in enumerate(run.batches("train", order, redraw=True), 1):
            judge.train()
            optimizer.zero_grad()
            _loss(judge, batch, label, name).div(batch.size).backward()
            optimizer.step()
            cycle.step()
            meter.advance()
            if step % max(1, steps // _LOOKS) and step < steps:
                continue
            judge.eval()
            with torch.no_grad():
                batches = run.batches(split, choosing.split(_ROWS_AT_ONCE))
                loss = sum(float(_loss(judge, batch, label, name)) for batch in batches)
            if loss < least:
                least, best = loss, {key: value.clone() for key, value in judge.state_dict().items()}
    judge.load_state_dict(best)
    return judge.eval().requires_grad_(False)


def _loss(judge: Judge, batch: Batch, label: str, name: str) -> Tensor:
    """The sum over B complete rows of the negative log-probability of the class, in nats; 0 for a class it lacks."""
    truth = judge.places(batch.value(label))
    return functional.cross_entropy(judge(batch.value(name)), truth, ignore_index=-1, reduction="sum")


def _loaded(run: Run, name: str, tensors: Mapping[str, Tensor]) -> Judge:
    """The judge with these weights."""
    with torch.random.fork_rng(devices=()):  # a new judge draws its weights
        judge = Judge(run.modalities[name], tensors["classes"])
    judge.load_state_dict(tensors)
    return judge.to(run.device).eval().requires_grad_(False)


def _file(run: Run, label: str, name: str) -> str:
    """A file name for the judge of a modality by a label, whatever their names hold."""
    places = {of: place for place, of in enumerate(run.modalities)}
    return f"{safe_name(name, places[name])}_by_{safe_name(label, places[label])}.safetensors"


def _fingerprint(run: Run, label: str, name: str) -> str:
    """What a judge depends on, as text of a fixed length: options, seed, and presence and means of the data."""
    both = (label, name)
    options = [_VERSION, *both, *(run.modalities[of].model_dump(mode="json") for of in both), _seed(run, label, name)]
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for of in both:
        digest.update(run.baselines[of].double().cpu().numpy().tobytes())
    for split in ("train", "valid"):
        if split in run.present:
            digest.update(complete_rows(run, split, both).numpy().tobytes())
    return digest.hexdigest()
