"""Arranges scores in a table, targets by givens, and compares each score with its baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_Z = 1.96
_FULL = 2.0  # a score has its full colour if it is this many times its baseline, or this fraction of it


@dataclass(frozen=True)
class Place:
    """The score of a target given some modalities.

    Attributes:
        result: the entry in results.json.
        relative: the value divided by its baseline; None if the baseline is 0.
        heat: from 1 (at least twice as good as the baseline) to -1 (at most half as good); 0 if the two differ by no
            more than 1.96 standard errors, or if the score does not state which direction is better.
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
        columns: the given modalities, names in schema order; None for all modalities but the target.
        rows: target, metric, and the score in each column, None if there is none.
    """

    columns: tuple[tuple[str, ...] | None, ...]
    rows: tuple[tuple[str, str, tuple[Place | None, ...]], ...]


def matrix(results: Iterable[Mapping[str, Any]], modalities: Sequence[str]) -> Matrix | None:
    """Arrange the first score with a baseline of each target by what is given; None if no target has two scores.

    Args:
        results: the entries of an evaluator in results.json.
        modalities: names in schema order.
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
    """All modalities except the target."""
    return tuple(name for name in modalities if name != target)


def from_others(scores: Iterable[Mapping[str, Any]], modalities: Sequence[str]) -> dict[str, Place]:
    """Each modality's first score with a baseline given all others. Modalities without such a score are left out."""
    places: dict[str, Place] = {}
    for score in scores:
        for target, given, result in _compared(score["results"], modalities):
            if given == all_but(target, modalities):
                places.setdefault(target, place_of(result))
    return places


def _compared(
    results: Iterable[Mapping[str, Any]], modalities: Sequence[str]
) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, Any]]]:
    """Target, given and result of each score of a single target that has a baseline."""
    for result in results:
        target, given = result["target"], tuple(result["given"])
        complete = all(result.get(key) is not None for key in ("metric", "value", "baseline"))
        if complete and len(target) == 1 and {*target, *given} <= set(modalities):
            yield target[0], given, result


def place_of(result: Mapping[str, Any]) -> Place:
    """Compare a score's value with its baseline; it must have both."""
    value, baseline, error = result["value"], result["baseline"], result.get("stderr")
    relative = value / baseline if baseline else None
    heat, direction = 0.0, result.get("better")
    if error is not None and direction is not None and abs(value - baseline) > _Z * error:
        better = (value < baseline) == (direction == "low")
        # If the value is 0 or differs in sign, no factor relates it to the baseline: take the full colour.
        size = abs(math.log(relative, _FULL)) if relative is not None and relative > 0 else 1.0
        heat = min(size, 1.0) * (1 if better else -1)
    return Place(result, relative, heat, bool(set(result["target"]) & set(result["given"])))
