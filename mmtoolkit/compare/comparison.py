"""Compare runs: the scores of each, the best, and whether the others differ from it significantly."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mmtoolkit.base.better import Better
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import listing
from mmtoolkit.catalogue.models import find_run, models
from mmtoolkit.runs.folder import read_declared, read_evaluation, read_finished_record, read_results
from mmtoolkit.tables.reading import unless_usual

# Options that only choose which scores to compute, or what stands beside them, or limit memory.
_IGNORED = {"entries", "unsupported", "details", "memory", "refine", "baselines", "forest_rows"}
_ENTRY = ("target", "given", "proposal", "refine", "metric")
_Z = 1.96
_MOST_KEYS = 4

Standing = Literal["alone", "best", "level", "worse", "untested", "unranked"]


@dataclass(frozen=True)
class ComparedRun:
    """The files of a run, or of an evaluation of a run."""

    path: Path
    name: str
    scores: list[dict[str, Any]]
    results: dict[str, Any]
    record: dict[str, Any]
    declared: dict[str, Any]

    @property
    def version(self) -> str:
        """The series of the version that made it, such as 0.2: within one, schemas have the same keys."""
        return ".".join(self.record["versions"]["mmtoolkit"].split(".")[:2])


@dataclass(frozen=True)
class Cell:
    """One run's score.

    Attributes:
        value: the score.
        stderr: its standard error, if known.
        better: whether high or low is better, if the run states it.
        standing: `alone` if no other run has this score; `best`; `level` if not significantly different from the best;
            `worse` if significantly different; `untested` if one of the two has no standard error; `unranked` if no
            run states whether high or low is better, or two runs contradict each other.
    """

    value: float
    stderr: float | None
    better: Better | None = None
    standing: Standing = "alone"
    nominal: float | None = None
    """The value that it should be near, such as the probability of an interval, if neither high nor low is better."""


@dataclass(frozen=True)
class Row:
    """One score in all runs: the same evaluator, options, split, entry and number of examples."""

    kind: str
    split: str
    options: Mapping[str, Any]
    entry: Mapping[str, Any]
    """target and given; proposal, refine and metric, if the evaluator has them."""
    examples: int | None
    cells: tuple[Cell | None, ...]
    """For each run its score, or None."""

    @property
    def better(self) -> Better | None:
        """Whether high or low is better; None if no run states it, or two runs contradict each other."""
        stated = list(self.stated)
        return stated[0] if len(stated) == 1 else None

    @property
    def stated(self) -> frozenset[Better]:
        """Every direction that a run states. Runs of 0.1.0 state none."""
        return frozenset(cell.better for cell in self.cells if cell is not None and cell.better is not None)


@dataclass(frozen=True)
class Comparison:
    """Several runs: the keys in which their schemas differ, and their scores.

    Attributes:
        runs: in the order of their paths.
        differences: key of the schema -> its value in each run, None if the run has no such key.
        rows: the scores; rows of the same evaluator, split and options follow each other.
        notes: warnings for the user, one line each.
    """

    runs: tuple[ComparedRun, ...]
    differences: Mapping[str, tuple[Any, ...]]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def compare(paths: Sequence[Path | str]) -> Comparison:
    """Compare finished runs.

    Args:
        paths: run folders, names of models of the catalogue, or evaluations of runs, `RUN/evaluations/N.json`.

    Raises:
        UserError: a path is neither, or occurs twice; a run is unfinished, damaged or of another version.
    """
    places = [find_run(path) for path in paths]
    resolved = [place.resolve() for place in places]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise UserError(f"{paths[place]}: is named twice; name each run once")
    runs = tuple(_read(place, name) for place, name in zip(places, _names(places), strict=True))
    differences = _differences(runs)
    rows = tuple(_rows(runs))
    return Comparison(runs, differences, rows, tuple(_notes(runs, list(differences), rows)))


def _read(path: Path, name: str) -> ComparedRun:
    evaluation = read_evaluation(path) if path.suffix == ".json" and path.parent.name == "evaluations" else None
    folder = path if evaluation is None else find_run(evaluation.get("run") or path.parent.parent)
    record, results = read_finished_record(folder), read_results(folder)
    scores = (results if evaluation is None else evaluation)["scores"]
    return ComparedRun(path, name, scores, results, record, read_declared(folder))


def _names(places: Sequence[Path]) -> list[str]:
    """A name for each run: that of the catalogue, or the parts in which its path differs from the others'."""
    shipped = models()
    names = {place: f"{place.name} (catalogue)" for place in places if shipped.get(place.name) == place}
    folders = [place for place in places if place not in names]
    if folders:
        names |= zip(folders, short_names([folder.resolve() for folder in folders]), strict=True)
    return [names[place] for place in places]


def short_names(paths: Sequence[Path]) -> list[str]:
    """The parts in which paths differ: each without the first and last parts that all share."""
    parts = [list(path.parts) for path in paths]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({names[end] for names in parts}) == 1:
            for names in parts:
                del names[end]
    return ["/".join(names).removesuffix(".json") for names in parts]


def _differences(runs: Sequence[ComparedRun]) -> dict[str, tuple[Any, ...]]:
    """Key of the schema -> its value in each run, where these differ.

    Versions have keys of their own: a key that all runs of a version lack is no difference between versions.
    """
    declared = _declared(runs)
    words = {key for values in declared for key in values}  # 0.1 named a network by a word, not by its kind
    declared = [{_without_kind(key, words): value for key, value in values.items()} for values in declared]

    def differ(key: str) -> bool:
        present = [(run.version, values[key]) for run, values in zip(runs, declared, strict=True) if key in values]
        lacking = {run.version for run, values in zip(runs, declared, strict=True) if key not in values}
        return any(value != present[0][1] or version in lacking for version, value in present)

    keys = dict.fromkeys(key for values in declared for key in values)
    return {key: tuple(values.get(key) for values in declared) for key in keys if differ(key)}


def _without_kind(key: str, words: Collection[str]) -> str:
    part = key.removesuffix(".kind")
    return part if part in words else key


def _declared(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """For each run key path -> value of data, modalities, model and training, without the places of data files."""
    parts = ("data", "modalities", "model", "train")
    declared = [dict(_leaves({key: run.declared[key] for key in parts})) for run in runs]
    for values in declared:
        if "data.missing" in values:
            values["data.missing"] = unless_usual(values["data.missing"])
    places = {
        key
        for run, values in zip(runs, declared, strict=True)
        for key, value in values.items()
        if key.startswith("data.")
        and isinstance(value, str)
        and any(file.startswith(value) for file in run.record["data"])
    }
    return [{key: value for key, value in values.items() if key not in places} for values in declared]


def _leaves(data: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _rows(runs: Sequence[ComparedRun]) -> Iterator[Row]:
    """The rows, in the order of the scores in the runs."""
    groups: dict[str, dict[str, Row]] = {}
    for place, run in enumerate(runs):
        for score in run.scores:
            options = {key: value for key, value in score["options"].items() if key not in _IGNORED}
            group = groups.setdefault(_key(score["kind"], score["split"], options), {})
            for result in score["results"]:
                if (value := result.get("value")) is None:
                    continue
                entry = {key: result[key] for key in _ENTRY if key in result}
                examples = result.get("examples")
                key, none = _key(entry, examples), (None,) * len(runs)
                row = group.get(key) or Row(score["kind"], score["split"], options, entry, examples, none)
                cell = Cell(value, result.get("stderr"), result.get("better"), nominal=result.get("nominal"))
                group[key] = replace(row, cells=(*row.cells[:place], cell, *row.cells[place + 1 :]))
    for group in groups.values():
        order = list(dict.fromkeys(_key(row.entry) for row in group.values()))
        for row in sorted(group.values(), key=lambda row: order.index(_key(row.entry))):
            yield replace(row, cells=judged(row.cells, row.better))


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True)


def judged(cells: Sequence[Cell | None], better: Better | None) -> tuple[Cell | None, ...]:
    """The scores of one row with their standing; unchanged if fewer than two runs have the score.

    Two means over rows differ significantly if their difference exceeds 1.96 times the root of the sum of their
    squared standard errors. This is a two-sided test at 5 % that takes the rows as independent.
    """
    scores = [cell for cell in cells if cell is not None]
    if len(scores) < 2:
        return tuple(cells)
    if better is None:
        return tuple(cell and replace(cell, standing="unranked") for cell in cells)
    best = (min if better == "low" else max)(scores, key=lambda cell: cell.value)

    def standing(cell: Cell) -> Standing:
        if cell.value == best.value:
            return "best"
        if cell.stderr is None or best.stderr is None:
            return "untested"
        return "worse" if abs(cell.value - best.value) > _Z * math.hypot(cell.stderr, best.stderr) else "level"

    return tuple(None if cell is None else replace(cell, standing=standing(cell)) for cell in cells)


def _notes(runs: Sequence[ComparedRun], differences: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    if len(versions := sorted({run.version for run in runs})) > 1:
        yield (
            f"the runs are of {' and '.join(versions)}, whose schemas have different keys; only keys that both have "
            "are compared"
        )
    data = [key for key in differences if key.startswith("data.")]
    if len({tuple(sorted(run.record["data"].values())) for run in runs}) > 1:
        data.append("the checksums of its files")
    if data:
        yield f"the data of the runs differ ({listing(data, _MOST_KEYS)}); compare their scores with care"
    declared = [key for key in differences if key.startswith("modalities.") and not key.endswith(".weight")]
    if declared:
        yield (
            f"the modalities of the runs differ ({listing(declared, _MOST_KEYS)}); do not compare scores of a modality "
            "whose values or likelihood differ"
        )
    if len({_key(row.kind, row.split, row.entry) for row in rows}) < len(rows):
        yield "scores with different options or numbers of rows have separate rows; do not compare them with each other"
    unranked = [
        row for row in rows if any(cell and cell.standing == "unranked" and cell.nominal is None for cell in row.cells)
    ]
    if unstated := _metrics(row for row in unranked if not row.stated):
        yield (
            f"no run states whether high or low is better ({listing(unstated, _MOST_KEYS)}), so none is marked as the "
            "best; score the runs again with `mmt evaluate` and compare the evaluations, or state it in the plugin's "
            "`better`"
        )
    if contradicted := _metrics(row for row in unranked if row.stated):
        yield (
            f"one run states that high is better, another low ({listing(contradicted, _MOST_KEYS)}), so none is marked "
            "as the best; score the runs again with one version of the plugin"
        )


def _metrics(rows: Iterable[Row]) -> list[str]:
    """The metric of each row, or its evaluator if it has no metric."""
    return list(dict.fromkeys(row.entry.get("metric") or row.kind for row in rows))
