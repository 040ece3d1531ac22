"""Generates the tables of the catalogue's results: the paper's tables beside ours, and the comparison of models."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmtoolkit.base.words import decimals
from mmtoolkit.catalogue import shipped
from mmtoolkit.catalogue.results import Difference, Mean, Result, RowByRow, Score, results, row_by_row
from mmtoolkit.study.file import axis_text
from mmtoolkit.study.grid import read_study

_BAR = re.compile(r"(?<!\\)\|")
_MOST_ERRORS = 2
"""A difference of fewer standard errors decides nothing."""


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; a bar in a cell, as in log p(x | y), stays a bar."""
    lines = [head, ["---"] * len(head), *([_BAR.sub(r"\|", cell) for cell in cells] for cells in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def reproduction() -> str:
    """A section for each study of Tables 2 to 5 that has results: its runs, its scores, and the order of its models."""
    ran = {name: _runs_of(name) for name in shipped.studies() if name.startswith("tables-")}
    parts = [part for name, runs in ran.items() if runs for part in _study(name, runs)]
    return "\n\n".join(parts) or "No run of these studies is in the catalogue yet."


def _study(name: str, ran: Sequence[Result]) -> Iterator[str]:
    yield f"## {name}"
    yield f"`{ran[0].command}`"
    yield _runs(ran)
    yield "The scores, in nats, ± the standard error over test rows:"
    yield table(
        ["score", "model", "here", "paper", "difference"],
        ([name, result.title, *_cells(score)] for name, result, score in _by_score(ran)),
    )
    compared = row_by_row(name)
    if orders := list(_orders(ran, compared)):
        yield "The order of models where the paper and we have both:"
        yield table(["score", "models", "difference in the paper", "difference here", "the paper's order"], orders)
    if compared:
        yield (
            f"The models on the same {compared.rows:,} test rows, K = {compared.samples:,}: by the proposal as it is, "
            f"and by one that {compared.steps} steps refined for each row, which is tighter:"
        )
        yield table(["score", "model or models", "as it is", "refined"], _refined(compared))


def _runs(ran: Sequence[Result]) -> str:
    head = ["run", "seed", "epochs", "kept", "rows", "training", "on", "mmtoolkit"]
    return table(
        head,
        (
            (
                result.title,
                f"{result.seed}",
                f"{result.epochs.trained} of {result.epochs.planned}",
                f"{result.epochs.kept}",
                f"{result.rows['train']:,}",
                _time(result.seconds),
                f"{result.machine.device}, {result.machine.threads} thread{'s' * (result.machine.threads != 1)}",
                f"{result.versions['mmtoolkit']}, {result.versions['commit'][:10]}",
            )
            for result in ran
        ),
    )


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _by_score(ran: Sequence[Result]) -> Iterator[tuple[str, Result, Score]]:
    names = dict.fromkeys(score.name for result in ran for score in result.scores)
    for name in names:
        for result in ran:
            for score in result.scores:
                if score.name == name:
                    yield name, result, score


def _cells(score: Score) -> tuple[str, str, str]:
    if score.published is None or score.difference is None:
        return _with_error(score), "", ""
    like = score.published
    return _with_error(score), decimals(like, like), f"{score.difference:+.2f}"


def _with_error(score: Score) -> str:
    if score.value is None:
        return "not finite"
    error = "" if score.stderr is None else f" ± {decimals(score.stderr, score.value)}"
    return decimals(score.value, score.value) + error


def _refined(compared: RowByRow) -> Iterator[list[str]]:
    """For each score that was refined: each model's mean and each difference, by both proposals."""
    means = {(mean.score, mean.model, mean.steps): mean for mean in compared.means}
    differences = {(of.score, " − ".join(of.models), of.steps): of for of in compared.differences}
    both: dict[tuple[str, str, int], Mean | Difference] = {**means, **differences}
    for score in dict.fromkeys(score for score, _, steps in both if steps):
        for name in dict.fromkeys(name for of, name, _ in both if of == score):
            yield [score, name, *(_two_decimals(both[score, name, steps]) for steps in (0, compared.steps))]


def _two_decimals(mean: Mean | Difference) -> str:
    sign = "+" if isinstance(mean, Difference) else ""
    return f"{mean.value:{sign}.2f} ± {mean.stderr:.2f}"


def _orders(ran: Sequence[Result], compared: RowByRow | None) -> Iterator[list[str]]:
    """For each score and two models: what the paper says of their order, and what we find."""
    scores: dict[str, dict[str, Score]] = {}
    for name, result, score in _by_score(ran):
        scores.setdefault(name, {})[result.title] = score
    by_row = {(of.score, of.models): of for of in compared.differences if not of.steps} if compared else {}
    for name, of in scores.items():
        models = list(of)
        for place, first in enumerate(models):
            for second in models[place + 1 :]:
                if line := _order(of[first], of[second], by_row.get((name, (first, second)))):
                    yield [name, f"{first} − {second}", *line]


def _order(first: Score, second: Score, by_row: Difference | None) -> tuple[str, str, str] | None:
    """The paper's difference, ours, and the verdict: by the difference row by row, if the two were compared so."""
    values = first.value, second.value, first.published, second.published
    if None in values:
        return None
    here, paper = values[0] - values[1], values[2] - values[3]  # type: ignore[operator]
    if first.stderr is None or second.stderr is None:
        return f"{paper:+.2f}", f"{here:+.2f}", "the same" if here * paper > 0 else "the other way"
    error = math.hypot(first.stderr, second.stderr)
    if by_row:
        here, error = by_row.value, by_row.stderr
    verdict = "confirmed" if here * paper > 0 else "refuted"
    if abs(here) <= _MOST_ERRORS * error:
        verdict = "not decided"
    return f"{paper:+.2f}", f"{here:+.2f} ± {error:.2f}", verdict


_ZOO = "zoo-polymnist-small"
_SPEED = "zoo-speed"
_PUBLISHED = "hwang_2021"
_PUBLISHED_HEAD = "## Published numbers\n\nHwang et al. 2021, five views, latent size 512, 300 epochs of 60,000 rows:"


def zoo() -> str:
    """The models of the zoo: what they scored, how fast they train, and published numbers of other settings."""
    ran = _runs_of(_ZOO)
    speeds = {tuple(result.run.values()): result for result in _runs_of(_SPEED)}
    names = list(dict.fromkeys(score.name for result in ran for score in result.scores))
    axes = list(ran[0].run)
    rows = []
    for result in ran:
        of = {score.name: score for score in result.scores}
        values = [_short(of[name]) if name in of else "" for name in names]
        rows.append([*result.run.values(), *values, _step(speeds.get(tuple(result.run.values())))])
    published = shipped.published(_PUBLISHED)
    parts = [table([*axes, *names, "ms a step"], rows), _PUBLISHED_HEAD]
    for numbers in published.values():
        if isinstance(numbers, dict) and "columns" in numbers:
            parts += [numbers["about"], table(["model", *numbers["columns"]], _published(numbers["models"]))]
    return "\n\n".join([*parts, "## The runs", _runs(ran)])


def settings(study: str) -> str:
    """The settings that a study compares: a line with the scores of each, and its runs."""
    ran = _runs_of(study)
    names = list(dict.fromkeys(score.name for result in ran for score in result.scores))
    rows = ([*result.run.values(), *(_short(score) for score in result.scores)] for result in ran)
    return "\n\n".join([table([*ran[0].run, *names], rows), _runs(ran)])


def _runs_of(name: str) -> list[Result]:
    """The results of a study, in the order of its runs."""
    _, cells = read_study(name)
    order = {tuple(map(axis_text, cell.labels.values())): place for place, cell in enumerate(cells)}
    ran = [result for result in results().values() if result.study == name]
    return sorted(ran, key=lambda result: order[tuple(result.run.values())])


def _short(score: Score) -> str:
    """A score and its standard error, with three decimals if it is a share, and two or none in nats."""
    if score.value is None or score.stderr is None:
        return _with_error(score)
    form = ".3f" if 0 <= score.value <= 1 else ".2f" if score.stderr < 1 else ",.0f"
    return f"{score.value:{form}} ± {score.stderr:{form}}"


def _step(result: Result | None) -> str:
    """The time of a step, from the rows a second."""
    if result is None:
        return ""
    (score,) = result.scores
    return "" if score.value is None else f"{1000 * result.resolved['train']['batch_size'] / score.value:.1f}"


def _published(models: Mapping[str, Sequence[float | None]]) -> Iterator[list[str]]:
    for model, values in models.items():
        yield [model, *("" if value is None else f"{value:g}" for value in values)]
