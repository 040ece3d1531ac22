"""Scores as a table of targets and givens: what tells of what, beside a baseline that is told nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_Z = 1.96
_FULL = 2.0  # the factor over its baseline, or under, at which a score has the full colour


@dataclass(frozen=True)
class Place:
    """The score of a target from a given.

    Attributes:
        result: as results.json holds it.
        relative: the value over its baseline; None where that is 0.
        heat: 1 where twice as good as the baseline or better, -1 where half as good or worse, 0 where it does not
            differ by more than 1.96 standard errors or does not say whether high or low is better.
        itself: whether the target is among the given.
    """

    result: Mapping[str, Any]
    relative: float | None
    heat: float
    itself: bool


@dataclass(frozen=True)
class Matrix:
    """The scores of an evaluator that have a baseline.

    Attributes:
        columns: what is given, names in schema order; None for all modalities but the target.
        rows: target, metric, and its place in each column, None where there is no score.
    """

    columns: tuple[tuple[str, ...] | None, ...]
    rows: tuple[tuple[str, str, tuple[Place | None, ...]], ...]


def matrix(results: Iterable[Mapping[str, Any]], modalities: Sequence[str]) -> Matrix | None:
    """The first score with a baseline of each single target, by what is given; None where no target has two.

    Args:
        results: of an evaluator, as results.json holds them.
        modalities: in schema order.
    """
    scores: dict[str, dict[tuple[str, ...] | None, Place]] = {}
    metrics: dict[str, str] = {}
    for target, given, result in _compared(results, modalities):
        if metrics.setdefault(target, result["metric"]) == result["metric"]:
            column = None if len(given) > 1 and given == all_but(target, modalities) else given
            scores.setdefault(target, {})[column] = place_of(result)
    columns = sorted(
        {column for places in scores.values() for column in places},
        key=lambda column: (
            (2, 0, ()) if column is None else (len(column) > 1, len(column), [*map(list(modalities).index, column)])
        ),
    )
    if all(len(places) < 2 for places in scores.values()):
        return None
    rows = tuple(
        (target, metrics[target], tuple(scores[target].get(column) for column in columns))
        for target in modalities
        if target in scores
    )
    return Matrix(tuple(columns), rows)


def all_but(target: str, modalities: Sequence[str]) -> tuple[str, ...]:
    """The other modalities."""
    return tuple(name for name in modalities if name != target)


def from_others(scores: Iterable[Mapping[str, Any]], modalities: Sequence[str]) -> dict[str, Place]:
    """Each modality's first score with a baseline that is given all the others; none where there is no such score."""
    found: dict[str, Place] = {}
    for score in scores:
        for target, given, result in _compared(score["results"], modalities):
            if given == all_but(target, modalities):
                found.setdefault(target, place_of(result))
    return found


def _compared(
    results: Iterable[Mapping[str, Any]], modalities: Sequence[str]
) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, Any]]]:
    """Target, given and result of each score of a single target that has a baseline."""
    for result in results:
        target, given = result["target"], tuple(result["given"])
        said = all(result.get(key) is not None for key in ("metric", "value", "baseline"))
        if said and len(target) == 1 and {*target, *given} <= set(modalities):
            yield target[0], given, result


def place_of(result: Mapping[str, Any]) -> Place:
    """A score that has a value and a baseline, beside that."""
    value, baseline, error = result["value"], result["baseline"], result.get("stderr")
    relative = value / baseline if baseline else None
    heat, direction = 0.0, result.get("better")
    if error is not None and direction is not None and abs(value - baseline) > _Z * error:
        better = (value < baseline) == (direction == "low")
        # A value of 0, and one of another sign, is beyond any factor.
        size = abs(math.log(relative, _FULL)) if relative is not None and relative > 0 else 1.0
        heat = min(size, 1.0) * (1 if better else -1)
    return Place(result, relative, heat, bool(set(result["target"]) & set(result["given"])))
