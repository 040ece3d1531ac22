"""Cross coherence: whether a target that is generated from given modalities is of the row's class."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from mmtoolkit.base.words import listing
from mmtoolkit.components import Network, Picture, Run
from mmtoolkit.components.entries import in_order
from mmtoolkit.components.means import MeanWithError
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators.given_sets import Names, sets_of_size, sizes_up_to
from mmtoolkit.evaluators.judges import Judge, Skill
from mmtoolkit.evaluators.progress import metered_batches

_PAIRS = 5000  # (draw, row) pairs decoded at once
_ROWS_AT_ONCE = 500
_NAMED = 6  # sets in a note
_LOOKED_AT = 200  # sets of one size, to name those that are left out


@dataclass(frozen=True)
class Task:
    """One score: a target, and how many units are given."""

    target: str
    size: int


@dataclass(eq=False)
class Plan:
    """What to score.

    Attributes:
        given: the modalities that may be given, in schema order.
        targets: those to judge, in schema order.
        tasks: the sets of units to give, and which tasks each is part of.
        others: the modalities in the sets of each task.
        notes: what is left out, and which sets are drawn.
    """

    given: Names
    targets: Names
    tasks: dict[Names, list[Task]] = field(default_factory=dict)
    others: dict[Task, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, units: Names, task: Task, names: Names) -> None:
        """Add a set of units, which are these modalities, to a task."""
        self.tasks.setdefault(units, []).append(task)
        self.others.setdefault(task, set()).update(names)

    @property
    def sizes(self) -> list[int]:
        """The numbers of given units that have a score, ascending."""
        return sorted({task.size for task in self.others})


def plan_cross(model: Network, targets: Sequence[str], given: Collection[str] | None, most: int, seed: int) -> Plan:
    """Choose the sets of given units for each target.

    Args:
        model: the networks.
        targets: modalities that it decodes.
        given: the modalities that may be given; None for all.
        most: the number of sets of each size for a target.
        seed: fixes which are drawn, where there are more.
    """
    names = tuple(model.modalities)
    plan = Plan(in_order(names if given is None else given, names), in_order(targets, names))
    units = [unit for unit in model.units if set(model.members[unit]) & set(plan.given)]
    needed = model.touched(model.conditions)
    subsets = model.subsets()
    allowed = None if subsets is None else [of - needed for of in subsets if needed <= of]
    drawn: dict[int, int] = {}
    lacking: dict[int, dict[str, None]] = {}  # dictionaries keep the order of their keys
    for target in plan.targets:
        others = [unit for unit in units if target not in model.members[unit]]
        free = [unit for unit in others if unit not in needed]
        if not needed <= set(others):
            plan.notes.append(f"left out: {target}: the model decodes given {', '.join(model.conditions)} only")
            continue
        for size in (size for size in sizes_up_to(len(others)) if size >= len(needed)):
            chosen, count = sets_of_size(free, size - len(needed), most, allowed, seed)
            if count > len(chosen):
                drawn[size] = count
            if allowed is not None and math.comb(len(free), size - len(needed)) <= _LOOKED_AT:
                every = map(frozenset, combinations(free, size - len(needed)))
                missing = (model.flat(of | needed) for of in every if of not in allowed)
                lacking.setdefault(size, {}).update(dict.fromkeys(map(" + ".join, missing)))
            for free_units in chosen:
                whole = in_order((*needed, *free_units), tuple(model.units))
                plan.add(whole, Task(target, size), model.flat(whole))
    for size, sets in lacking.items():
        if sets:
            plan.notes.append(f"left out, {size} given: the model does not infer z from {listing([*sets], _NAMED)}")
    for size, count in drawn.items():
        plan.notes.append(f"{size} given: {most} of {count:,} sets are drawn for each target")
    if not plan.others:
        plan.notes.append("left out: cross coherence: the model generates no target from others that may be given")
    return plan


def score_cross(
    run: Run, split: str, rows: Tensor, plan: Plan, judges: Mapping[str, Judge], label: str, samples: int
) -> dict[Task | int, MeanWithError]:
    """The coherence of each task, and of each number of given over all targets.

    A row counts for a set if it has all of it, and with the mean over its sets and draws.

    Args:
        run: has the model and the data.
        split: its name.
        rows: (n,) int64, rows that have the label.
        plan: what to score.
        judges: target -> judge.
        label: the modality that holds the class of a row.
        samples: draws of z a row and set.
    """
    keys: list[Task | int] = [*plan.others, *plan.sizes]
    means = {key: MeanWithError() for key in keys}
    generator = run.generator
    for batch in metered_batches(run, split, "coherence", list(rows.split(_ROWS_AT_ONCE))):
        noise = torch.randn(samples, batch.size, run.model.latent_dim, generator=generator, device=run.device)
        hits = {task: torch.zeros(2, batch.size, dtype=torch.float64) for task in plan.others}
        for units, tasks in plan.tasks.items():
            names = in_order(run.model.flat(units), plan.given)
            for places in _complete(run.model, batch, names, units).split(max(1, _PAIRS // samples)):
                part = batch.take(places)
                at = places.to(run.device)
                z = run.model.infer(part, names).rsample(noise.index_select(1, at)).flatten(0, 1)
                decoded = run.model.decode(z, part, {task.target for task in tasks})
                for task in tasks:
                    judge = judges[task.target]
                    judged = judge.classify(run.modalities[task.target].point(decoded[task.target]))
                    right = judged.unflatten(0, (samples, -1)) == judge.places(part.value(label))
                    hits[task][:, places] += torch.stack([right.double().mean(0).cpu(), torch.ones(len(places))])
        for size in plan.sizes:
            by_target = torch.stack([_add(means[task], *sums) for task, sums in hits.items() if task.size == size])
            _add(means[size], by_target.nan_to_num().sum(0), (~by_target.isnan()).sum(0))
    return means


def _complete(model: Network, batch: Batch, names: Names, units: Names) -> Tensor:
    """The rows of a batch that have something of all units among the names, and all conditions: (n,), on the host."""
    columns = {name: m for m, name in enumerate(model.modalities)}
    asked = torch.tensor([name in names for name in columns])
    there = model.there(batch.present & asked)[:, [place for place, unit in enumerate(model.units) if unit in units]]
    conditions = batch.present[:, [columns[name] for name in model.conditions]]
    return (there.all(1) & conditions.all(1)).nonzero().squeeze(1)


def _add(mean: MeanWithError, sums: Tensor, counts: Tensor) -> Tensor:
    """Add the mean of each row (B,) that has a count; return it, NaN in the other rows."""
    each = sums / counts
    mean.update(each[counts > 0])
    return each


def cross_results(
    plan: Plan, means: Mapping[Task | int, MeanWithError], known: Mapping[str, Skill]
) -> list[dict[str, Any]]:
    """The results: first over all targets by the number of given, then of each target."""

    def result(targets: Sequence[str], size: int, mean: MeanWithError) -> dict[str, Any]:
        tasks = [Task(target, size) for target in targets]
        return {
            "target": list(targets),
            "given": list(in_order({name for task in tasks for name in plan.others[task]}, plan.given)),
            "metric": metric_of(size),
            "better": "high",
            **mean.compute(),
            "judge": _mean([known[name].accuracy for name in targets]),
            "chance": _mean([known[name].chance for name in targets]),
        }

    results = []
    for size in plan.sizes:
        targets = in_order([task.target for task in plan.others if task.size == size], plan.targets)
        if len(targets) > 1:
            results.append(result(targets, size, means[size]))
    return results + [result([task.target], task.size, means[task]) for task in plan.others]


def metric_of(size: int) -> str:
    """The name of the coherence with so many units given."""
    return f"coherence_{size}_given"


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def coherence_picture(results: Sequence[Mapping[str, Any]], plan: Plan, known: Mapping[str, Skill]) -> Picture:
    """Coherence by the number of given, a line for each target and, if there are several, one for their mean."""
    from mmtoolkit.figures.by_number import by_number  # Matplotlib takes a second to import

    lines: dict[str, list[tuple[int, float, float]]] = {}
    for size in plan.sizes:
        for result in results:
            if result["metric"] == metric_of(size) and result["value"] is not None:
                name = result["target"][0] if len(result["target"]) == 1 else "all"
                lines.setdefault(name, []).append((size, result["value"], result["stderr"] or 0.0))
    levels = {
        "judges": _mean([skill.accuracy for skill in known.values()]),
        "chance": _mean([skill.chance for skill in known.values()]),
    }
    figure = by_number(lines, levels, "modalities given", "coherence")
    text = (
        "The share of generated values of the right class, by how many other modalities are given. The dashed line is "
        "the judges' accuracy on real values, the dotted line the share of the most frequent class."
    )
    return Picture("coherence", "Coherence by the number of given", text, figure)
