"""Runs side by side: every score of each, which is best, and whether the others differ from it significantly."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mmtoolkit.base.better import Better
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import listing
from mmtoolkit.runs.folder import read_declared, read_evaluation, read_finished_record, read_results

# Options that say which scores there are, or how much is done at once, but not how a score comes about.
_ASIDE = {"entries", "unsupported", "details", "memory"}
_Z = 1.96
_MOST_KEYS = 4

Standing = Literal["alone", "best", "level", "worse", "untested", "unranked"]


@dataclass(frozen=True)
class Compared:
    """A run, or an evaluation of one: what the files hold."""

    path: Path
    name: str
    scores: list[dict[str, Any]]
    results: dict[str, Any]
    record: dict[str, Any]
    declared: dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One run's score.

    Attributes:
        value: the score.
        stderr: its standard error, where it has one.
        better: whether high or low is better, where the run says it.
        standing: `alone` where no other run has this score; `best`; not significantly different from the best, `level`;
            significantly different from it, `worse`; `untested` where one of the two has no standard error; `unranked`
            where it is unknown whether high or low is better.
    """

    value: float
    stderr: float | None
    better: Better | None = None
    standing: Standing = "alone"


@dataclass(frozen=True)
class Row:
    """One score of each run that has it: of the same evaluator, options, split, entry and number of examples."""

    kind: str
    split: str
    options: Mapping[str, Any]
    entry: Mapping[str, Any]
    """target, given, and where the evaluator has them proposal and metric."""
    examples: int | None
    cells: tuple[Cell | None, ...]

    @property
    def better(self) -> Better | None:
        """Whether high or low is better; None where no run says it, or one contradicts another."""
        stated = list(self.stated)
        return stated[0] if len(stated) == 1 else None

    @property
    def stated(self) -> frozenset[Better]:
        """What the runs say is better; those that 0.1.0 wrote say nothing."""
        return frozenset(cell.better for cell in self.cells if cell is not None and cell.better is not None)


@dataclass(frozen=True)
class Comparison:
    """Runs, what differs in their schemas, and their scores.

    Attributes:
        runs: as they were named.
        differences: key of the schema -> its value in each run, or nothing where a run does not have it.
        rows: rows of one evaluator, split and options stand together.
        notes: what the user should know, a line each.
    """

    runs: tuple[Compared, ...]
    differences: Mapping[str, tuple[Any, ...]]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def compare(paths: Sequence[Path | str]) -> Comparison:
    """Compare finished runs.

    Args:
        paths: run folders, or evaluations of runs, `RUN/evaluations/N.json`.

    Raises:
        UserError: one is neither, is named twice, or is unfinished, damaged or of another version.
    """
    found = [Path(path) for path in paths]
    resolved = [path.resolve() for path in found]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise UserError(f"{found[place]}: is named twice; name each run once")
    runs = tuple(_read(path, name) for path, name in zip(found, short_names(resolved), strict=True))
    declared = [_declared(run) for run in runs]
    differences = {
        key: tuple(values.get(key) for values in declared)
        for key in dict.fromkeys(key for values in declared for key in values)
        if any(values.get(key) != declared[0].get(key) for values in declared)
    }
    rows = tuple(_rows(runs))
    return Comparison(runs, differences, rows, tuple(_notes(runs, list(differences), rows)))


def _read(path: Path, name: str) -> Compared:
    evaluation = path.suffix == ".json" and path.parent.name == "evaluations"
    folder = path.parent.parent if evaluation else path
    record, results = read_finished_record(folder), read_results(folder)
    scores = read_evaluation(path) if evaluation else results["scores"]
    return Compared(path, name, scores, results, record, read_declared(folder))


def short_names(paths: Sequence[Path]) -> list[str]:
    """What tells paths apart: their parts without those that all have in common at the front and at the end."""
    parts = [list(path.parts) for path in paths]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({names[end] for names in parts}) == 1:
            for names in parts:
                del names[end]
    return ["/".join(names).removesuffix(".json") for names in parts]


def _declared(run: Compared) -> dict[str, Any]:
    """Key path -> value of what a run was trained on and how, but for where on its machine the data lay."""
    found = dict(_leaves({key: run.declared[key] for key in ("data", "modalities", "model", "train")}))
    files = tuple(run.record["data"])
    places = {
        key
        for key, value in found.items()
        if key.startswith("data.") and isinstance(value, str) and any(file.startswith(value) for file in files)
    }
    return {key: value for key, value in found.items() if key not in places}


def _leaves(data: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _rows(runs: Sequence[Compared]) -> Iterator[Row]:
    """The scores in the order in which the runs have them."""
    groups: dict[str, dict[str, Row]] = {}
    for place, run in enumerate(runs):
        for score in run.scores:
            options = {key: value for key, value in score["options"].items() if key not in _ASIDE}
            group = groups.setdefault(_key(score["kind"], score["split"], options), {})
            for result in score["results"]:
                if (value := result.get("value")) is None:
                    continue
                entry = {key: result[key] for key in ("target", "given", "proposal", "metric") if key in result}
                examples = result.get("examples")
                key, none = _key(entry, examples), (None,) * len(runs)
                row = group.get(key) or Row(score["kind"], score["split"], options, entry, examples, none)
                cell = Cell(value, result.get("stderr"), result.get("better"))
                group[key] = replace(row, cells=(*row.cells[:place], cell, *row.cells[place + 1 :]))
    for group in groups.values():
        order = list(dict.fromkeys(_key(row.entry) for row in group.values()))
        for row in sorted(group.values(), key=lambda row: order.index(_key(row.entry))):
            yield replace(row, cells=judged(row.cells, row.better))


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True)


def judged(cells: Sequence[Cell | None], better: Better | None) -> tuple[Cell | None, ...]:
    """The scores of one row with their standing, where two or more runs have it; none is best where nobody says how.

    The difference of two means over rows is taken as significant where it exceeds 1.96 times the root of the sum of
    their squared standard errors: two-sided, at 5 %, as if their rows were independent.
    """
    there = [cell for cell in cells if cell is not None]
    if len(there) < 2:
        return tuple(cells)
    if better is None:
        return tuple(cell and replace(cell, standing="unranked") for cell in cells)
    best = (min if better == "low" else max)(there, key=lambda cell: cell.value)

    def standing(cell: Cell) -> Standing:
        if cell.value == best.value:
            return "best"
        if cell.stderr is None or best.stderr is None:
            return "untested"
        return "worse" if abs(cell.value - best.value) > _Z * math.hypot(cell.stderr, best.stderr) else "level"

    return tuple(None if cell is None else replace(cell, standing=standing(cell)) for cell in cells)


def _notes(runs: Sequence[Compared], differences: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    data = [key for key in differences if key.startswith("data.")]
    if len({tuple(sorted(run.record["data"].values())) for run in runs}) > 1:
        data.append("the checksums of its files")
    if data:
        yield f"the runs have other data ({listing(data, _MOST_KEYS)}); their scores are compared all the same"
    declared = [key for key in differences if key.startswith("modalities.") and not key.endswith(".weight")]
    if declared:
        yield (
            f"modalities are declared otherwise ({listing(declared, _MOST_KEYS)}); where that changes their values or "
            "their likelihood, scores of them do not compare"
        )
    if len({_key(row.kind, row.split, row.entry) for row in rows}) < len(rows):
        yield "scores by other options, or over another number of rows, stand in rows of their own"
    unranked = [row for row in rows if any(cell and cell.standing == "unranked" for cell in row.cells)]
    if silent := _metrics(row for row in unranked if not row.stated):
        yield (
            f"no run says whether high or low is better ({listing(silent, _MOST_KEYS)}), so none is marked as the "
            "best; score the runs again with `mmt evaluate` and compare the evaluations, or let the plugin's `better` "
            "say it"
        )
    if contradicted := _metrics(row for row in unranked if row.stated):
        yield (
            f"one run says that high is better, another low ({listing(contradicted, _MOST_KEYS)}), so none is marked "
            "as the best; score the runs again with one version of the plugin"
        )


def _metrics(rows: Iterable[Row]) -> list[str]:
    """The metrics of the rows, or the evaluators of those without."""
    return list(dict.fromkeys(row.entry.get("metric") or row.kind for row in rows))
