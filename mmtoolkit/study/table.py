"""Collect the scores of a study's runs, average them over seeds, and write them as tables."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmtoolkit.base.words import decimals, did_you_mean, one_line
from mmtoolkit.study.file import COLUMNS, Reference, Score, Study, axis_text, offers
from mmtoolkit.study.grid import Cell

# Up to so many scores are columns; more are rows.
_MOST_BESIDE = 6


@dataclass(frozen=True)
class Number:
    """A score of one run, or its mean over seeds.

    Attributes:
        labels: axis -> value or label.
        seeds: of the runs that gave a value.
        score: name of the score.
        value: None if no run gave a value.
        stderr: standard error over rows for one run; over seeds for a mean over two seeds or more.
        examples: number of rows; None for a mean over seeds.
        reference: the published number, if there is one.
    """

    labels: Mapping[str, Any]
    seeds: tuple[int, ...]
    score: str
    value: float | None
    stderr: float | None
    examples: int | None
    reference: float | None

    def as_data(self) -> dict[str, Any]:
        """The number as plain data, the axes first."""
        rest = {"score": self.score, "value": self.value, "stderr": self.stderr, "reference": self.reference}
        return {**self.labels, "seeds": list(self.seeds), **rest}


def numbers_of_run(
    study: Study,
    cell: Cell,
    results: Mapping[str, Any] | None,
    history: Sequence[Mapping[str, Any]],
    published: Mapping[str, Any],
) -> tuple[list[Number], dict[str, str]]:
    """The scores of one run, and the missing scores: name -> reason.

    A score is missing if the run has its evaluator, but not exactly one result matches.

    Args:
        study: the study.
        cell: the run.
        results: the content of results.json; None if the run failed, so that its scores have no value.
        history: the content of history.jsonl.
        published: the tables of published results.
    """
    numbers: list[Number] = []
    absent: dict[str, str] = {}
    declared = [(evaluator.kind, evaluator.model_dump(mode="json")) for evaluator in cell.schema.evaluate]
    for score in study.expanded_scores:
        reference = _published(study.reference, score, cell, published)
        if score.history is not None:
            reported = [line.get(score.history) for line in history]
            values = [float(value) for value in reported if isinstance(value, (int, float))]
            if history and not values:
                absent[score.name] = "no epoch reports such a number"
                continue
            value = statistics.median(values) if values else None
            numbers.append(Number(cell.labels, (cell.seed,), score.name, value, None, None, reference))
            continue
        if not any(offers(kind, options, score) for kind, options in declared):
            continue
        matches: list[Mapping[str, Any]] = [{}] if results is None else list(_matching(results["scores"], score))
        if score.field == "skill":
            matches = [match for match in matches if not match or match.get("baseline") is not None][:1]
        if len(matches) != 1:
            several = "several results match; name the metric, the proposal or options"
            absent[score.name] = several if matches else _why_none((results or {}).get("scores", ()), score)
            continue
        (result,) = matches
        value, stderr = _skill(result) if score.field == "skill" else _number(result, score.field)
        numbers.append(Number(cell.labels, (cell.seed,), score.name, value, stderr, result.get("examples"), reference))
    return numbers, absent


def _why_none(scores: Iterable[Mapping[str, Any]], score: Score) -> str:
    """Why no result matches, in words: where only the metric is at fault, it names those that there are."""
    others = _matching(scores, score.model_copy(update={"metric": None}))
    metrics = list(dict.fromkeys(str(result["metric"]) for result in others if result.get("metric") is not None))
    if score.metric is None or not metrics:
        return "no result matches"
    return f"there is no metric {score.metric!r}{did_you_mean(score.metric, metrics)}; there are {', '.join(metrics)}"


def _number(result: Mapping[str, Any], field: str) -> tuple[float | None, float | None]:
    """A number of a result, and its standard error if it is the value."""
    value = result.get(field)
    stderr = result.get("stderr") if field == "value" else None
    return float(value) if isinstance(value, (int, float)) else None, stderr


def _skill(result: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """1 less the error relative to the baseline's, and its standard error; None where the baseline has no error."""
    if not result or result["value"] is None:
        return None, None
    high = result["better"] == "high"
    error, base = (1 - result[key] if high else result[key] for key in ("value", "baseline"))
    if base <= 0:
        return None, None
    return 1 - error / base, None if result["stderr"] is None else result["stderr"] / base


def _matching(scores: Iterable[Mapping[str, Any]], score: Score) -> Iterator[Mapping[str, Any]]:
    for evaluated in scores:
        if offers(evaluated["kind"], evaluated["options"], score):
            for result in evaluated["results"]:
                if (
                    set(result["target"]) == set(score.target)
                    and set(result["given"]) == set(score.given)
                    and (score.proposal is None or set(result.get("proposal") or ()) == set(score.proposal))
                    and bool(result.get("refine")) == score.refined
                    and (score.metric is None or result.get("metric") == score.metric)
                ):
                    yield result


def _published(reference: Reference | None, score: Score, cell: Cell, tables: Mapping[str, Any]) -> float | None:
    if reference is None or score.reference is None:
        return None
    table, row = score.reference
    line: list[float | None] | None = tables[table][row].get(axis_text(cell.labels[reference.by]))
    return line[tables[table]["columns"].index(reference.column)] if line else None


def means(numbers: Sequence[Number]) -> list[Number]:
    """The mean over seeds of each score at each combination, with its standard error over seeds.

    With one seed, it is the value of that run with its standard error over rows.
    """
    groups: dict[tuple[Any, ...], list[Number]] = {}
    for number in numbers:
        groups.setdefault((*map(axis_text, number.labels.values()), number.score), []).append(number)
    averages = []
    for group in groups.values():
        first, valued = group[0], [number for number in group if number.value is not None]
        values = [number.value for number in valued if number.value is not None]
        stderr = valued[0].stderr if len(valued) == 1 else None
        if len(values) > 1:
            stderr = statistics.stdev(values) / math.sqrt(len(values))
        mean = statistics.fmean(values) if values else None
        seeds = tuple(number.seeds[0] for number in valued)
        averages.append(Number(first.labels, seeds, first.score, mean, stderr, None, first.reference))
    return averages


def csv_text(study: Study, numbers: Sequence[Number]) -> str:
    """The text of table.csv: a line for each run and score."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*study.axes, *COLUMNS])
    for n in numbers:
        labels = [axis_text(n.labels[axis]) for axis in study.axes]
        writer.writerow([*labels, n.seeds[0], n.score, n.value, n.stderr, n.examples, n.reference])
    return out.getvalue()


def table_of(study: Study, averaged: Sequence[Number]) -> tuple[list[str], list[list[str]]]:
    """The means as the head and the lines of a table.

    A line is a combination of the axes, with a column for each score. With many scores, or with published numbers,
    each score at a combination has a line of its own.
    """
    axes, scores = list(study.axes), {n.score for n in averaged}
    names = [score.name for score in study.expanded_scores if score.name in scores]
    combinations = list(dict.fromkeys(tuple(axis_text(n.labels[axis]) for axis in axes) for n in averaged))
    at = {(tuple(axis_text(n.labels[axis]) for axis in axes), n.score): n for n in averaged}
    if study.reference is None and len(names) <= _MOST_BESIDE:
        lines = [[*c, *(_with_error(at[c, s]) if (c, s) in at else "" for s in names)] for c in combinations]
        return [*axes, *names], lines
    entries = [(s, c, at[c, s]) for s in names for c in combinations if (c, s) in at]
    if study.reference is None:
        return ["score", *axes, "value"], [[s, *c, _with_error(n)] for s, c, n in entries]
    head = ["score", *axes, "here", "published", "difference"]
    return head, [[s, *c, _with_error(n), _reference(n), _difference(n)] for s, c, n in entries]


def _reference(score: Number) -> str:
    return "" if score.reference is None else decimals(score.reference, score.reference)


def _difference(score: Number) -> str:
    if score.value is None or score.reference is None:
        return ""
    return decimals(score.value - score.reference, score.reference)


def _with_error(score: Number) -> str:
    if score.value is None:
        return ""
    error = "" if score.stderr is None else f" ± {decimals(score.stderr, score.value)}"
    return decimals(score.value, score.value) + error


def markdown_text(study: Study, averaged: Sequence[Number]) -> str:
    """The text of table.md: means over seeds."""
    head, lines = table_of(study, averaged)
    n = len(study.seeds.values)
    error = f"mean over {n} seeds ± standard error over seeds" if n > 1 else "± standard error over rows"
    words = 1 + (len(study.axes) if head[0] == "score" else len(study.axes) - 1)
    marks = ["---" if place < words else "---:" for place in range(len(head))]
    rows = [head, marks, *lines]
    return f"{study.name}: {error}.\n\n" + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")
