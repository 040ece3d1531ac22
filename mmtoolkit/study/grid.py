"""Read a study: its grid of runs, and the schema of each run."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.catalogue import shipped
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.schema.faults import Origins, fault_lines, key_path
from mmtoolkit.schema.overrides import parse_override
from mmtoolkit.schema.schema import Schema, read_schema
from mmtoolkit.study.file import COLUMNS, Score, Study, axis_text, offers

_LONGEST_FOLDER = 80


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        labels: axis -> value, or label.
        seed: of the run.
        title: values, labels and seed, which differ from those of every other cell.
        folder: name of the run's folder; runs with different settings have different folders.
        base: path of the schema, or its name in the catalogue.
        overrides: changes of the schema, `key.path=value` each.
        schema: the base with its overrides.
    """

    labels: Mapping[str, Any]
    seed: int
    title: str
    folder: str
    base: str
    overrides: tuple[str, ...]
    schema: Schema


@dataclass(frozen=True)
class _Change:
    """A key of the schema that a study sets: its place in the study's file, the key, the value."""

    place: str
    key: str
    value: Any

    @property
    def text(self) -> str:
        return f"{self.key}={json.dumps(self.value, ensure_ascii=False)}"

    def explains(self, fault: str) -> bool:
        """Whether a fault of the changed schema is at this key, below it, or at a mapping around it."""
        place = re.split(r": |=", fault.removeprefix("--set "), maxsplit=1)[0]
        return f"{place}.".startswith(f"{self.key}.") or f"{self.key}.".startswith(f"{place}.")


@dataclass(frozen=True)
class _Level:
    """One value or label of an axis, its text, and its changes of the schema."""

    label: Any
    text: str
    changes: tuple[_Change, ...]


def study_path(name: str | Path) -> Path:
    """The file of a study, from its path or its name in the catalogue.

    Raises:
        UserError: neither exists.
    """
    return shipped.find_document(name, "study", "studies", shipped.studies())


def read_study(
    name: str | Path,
    overrides: Sequence[str] = (),
    plugins: Plugins | None = None,
    base: str | Path | None = None,
) -> tuple[Study, list[Cell]]:
    """Read and check a study and the schemas of all its runs.

    Args:
        name: a path, or a name in the catalogue.
        overrides: `key.path=value` each, with keys of the schema; they replace entries of the study's `set`.
        plugins: the components to build the schemas from; by default the installed ones.
        base: a schema in place of the study's `base`, a path or a name in the catalogue.

    Returns:
        The study, with its scores one by one and no words for modalities, and its runs in the order of axes, then
        seeds.

    Raises:
        UserError: every fault at once, one line each: `FILE:LINE: key.path: fault; remedy`.
    """
    plugins = plugins if plugins is not None else load_plugins()
    path = study_path(name)
    document = shipped.read_document(path)
    origins = Origins(str(path), document.lines)
    if not isinstance(document.data, dict):
        raise UserError(f"{path}: is not a mapping; a study has the keys {', '.join(Study.model_fields)}")
    try:
        study = Study.model_validate(document.data)
    except ValidationError as error:
        raise UserError(fault_lines(error, document.data, origins, plugins, Study)) from error
    beside = path.parent / study.base if base is None else Path(base)
    study = study.model_copy(update={"base": str(beside.resolve() if beside.is_file() else base or study.base)})
    return _Reader(study, origins, plugins, origins.at(("base",)) if base is None else "--base").read(overrides)


class _Reader:
    """Builds the grid of a study, and collects all faults instead of stopping at the first."""

    def __init__(self, study: Study, origins: Origins, plugins: Plugins, base_place: str) -> None:
        self.study, self.origins, self.plugins, self.base_place = study, origins, plugins, base_place
        self.faults: list[str] = []

    def fault(self, path: KeyPath, text: str) -> None:
        self.faults.append(f"{self.origins.at(path)}: {text}")

    def raise_faults(self) -> None:
        """Raise a UserError if there are faults."""
        if self.faults:
            raise UserError(list(dict.fromkeys(self.faults)))

    def read(self, overrides: Sequence[str]) -> tuple[Study, list[Cell]]:
        shared = {change.key: change for change in self.changes(("set",), self.study.set)}
        for text in overrides:
            path, value = parse_override(text)
            shared.pop(key_path(path), None)  # of two values for one key the later one counts
            shared[key_path(path)] = _Change("--set ", key_path(path), value)
        levels = {axis: self.levels(axis, written) for axis, written in self.study.axes.items()}
        seeds = {seed: self.seed(seed) for seed in self.study.seeds.values}
        varied = {change.key for axis in levels.values() for change in self.shared_changes(axis)}
        varied |= {change.key for seeding in seeds.values() for change in seeding}
        for change in shared.values():
            if change.key in varied:
                self.faults.append(
                    f"{change.place}{change.key}: every run overrides this value; change or remove its axis"
                )
        self.check_without(levels)
        self.check_figure(levels)
        self.raise_faults()
        cells = list(self.cells(list(shared.values()), levels, seeds))
        self.raise_faults()
        scores = self.scores([cell.schema for cell in cells])
        self.check_reference()
        self.raise_faults()
        settings = {change.key: change.value for change in shared.values()}
        return self.study.model_copy(update={"scores": scores, **({"set": settings} if settings else {})}), cells

    # What varies.

    def changes(self, path: KeyPath, settings: Mapping[str, Any]) -> Iterator[_Change]:
        """The keys of the schema that a mapping in the study's file sets."""
        for written, value in settings.items():
            if change := self.change((*path, written), path, written, value):
                yield change

    def change(self, path: KeyPath, within: KeyPath, written: str, value: Any) -> _Change | None:
        try:
            key = key_path(parse_override(f"{written}=")[0])
        except UserError:
            self.fault(path, "is not a key of a schema; write one as after --set, such as train.epochs")
            return None
        place = f"{self.origins.at(path).removesuffix(key_path(path))}{key_path(within)}."
        return _Change(place, key, value)

    def levels(self, axis: str, written: Any) -> list[_Level]:
        path: KeyPath = ("axes", axis)
        if axis in COLUMNS:
            self.fault(path, "is a column of the study's table; call the axis something else")
        if isinstance(written, list) and written:
            labels = [axis_text(value) for value in written]
            for place, label in enumerate(labels):
                if label in labels[:place]:
                    self.fault((*path, place), f"{label} occurs twice; remove one")
            short = axis.rsplit(".", 1)[-1]
            changes = [(value, self.change((*path, n), ("axes",), axis, value)) for n, value in enumerate(written)]
            return [_Level(value, f"{short}={axis_text(value)}", (change,)) for value, change in changes if change]
        if isinstance(written, dict) and written:
            levels = []
            for label, settings in written.items():
                if not isinstance(settings, dict):
                    self.fault((*path, label), "must be a mapping {key: value, ...} of keys of the schema; give one")
                    continue
                levels.append(_Level(label, label, tuple(self.changes((*path, label), settings))))
            return levels
        self.fault(path, "must be a list of values, or a mapping label -> {key: value, ...}; give one of them")
        return []

    def seed(self, seed: int) -> list[_Change]:
        path: KeyPath = ("seeds", "keys")
        changes = [self.change((*path, n), ("seeds",), k, seed) for n, k in enumerate(self.study.seeds.keys)]
        return [change for change in changes if change]

    def shared_changes(self, levels: Sequence[_Level]) -> list[_Change]:
        """The changes of the first level, of keys that every level changes."""
        keys = [{change.key for change in level.changes} for level in levels]
        return [c for level in levels[:1] for c in level.changes if all(c.key in of_level for of_level in keys)]

    def check_without(self, levels: Mapping[str, list[_Level]]) -> None:
        for place, combination in enumerate(self.study.without):
            for axis, label in combination.items():
                path: KeyPath = ("without", place, axis)
                if axis not in levels:
                    hint = did_you_mean(axis, list(levels))
                    self.fault(path, f"there is no such axis{hint}; the axes are {', '.join(levels)}")
                elif label not in (labels := [level.label for level in levels[axis]]):
                    self.fault(
                        path, f"{axis_text(label)} is not on this axis; it has {', '.join(map(axis_text, labels))}"
                    )

    def cells(
        self, shared: list[_Change], levels: Mapping[str, list[_Level]], seeds: Mapping[int, list[_Change]]
    ) -> Iterator[Cell]:
        empty = True
        for combination in itertools.product(*levels.values()):
            labels = {axis: level.label for axis, level in zip(levels, combination, strict=True)}
            if any(all(labels[axis] == label for axis, label in entry.items()) for entry in self.study.without):
                continue
            empty = False
            for seed, seeding in seeds.items():
                changes = [*shared, *(change for level in combination for change in level.changes), *seeding]
                overrides = tuple(change.text for change in changes)
                try:
                    schema = read_schema(self.study.base, overrides, self.plugins)
                except UserError as error:
                    self.faults += [self.explained(fault, changes) for fault in error.faults]
                    continue
                words = [*(level.text for level in combination), f"seed {seed}"]
                yield Cell(labels, seed, "  ".join(words), _folder(words, schema), self.study.base, overrides, schema)
        if empty:
            self.fault(("without",), "leaves no run; remove an entry")

    def explained(self, fault: str, changes: Sequence[_Change]) -> str:
        """A fault of a run's schema, with the place in the study that causes it."""
        causes = [change for change in changes if change.explains(fault)]
        if not causes:
            return f"{self.base_place}: {fault}"
        return max(causes, key=lambda change: len(change.key)).place + fault.removeprefix("--set ")

    # Scores, figure and reference.

    def scores(self, schemas: Sequence[Schema]) -> tuple[Score, ...]:
        """The scores, checked, one by one and without words for modalities."""
        names = list(dict.fromkeys(name for schema in schemas for name in schema.modalities))
        learned = [name for name in names if any(_learns(schema, name) for schema in schemas)]
        evaluators = [evaluator for schema in schemas for evaluator in schema.evaluate]
        kinds = list(dict.fromkeys(evaluator.kind for evaluator in evaluators))
        scores: list[Score] = []
        for place, score in enumerate(self.study.scores):
            path: KeyPath = ("scores", place)
            for key in ("target", "each", "given", "proposal"):
                for name in () if isinstance(entry := getattr(score, key), str) else entry or ():
                    if name not in names:
                        hint = did_you_mean(name, names)
                        text = f"there is no modality {name!r}{hint}; the modalities are {', '.join(names)}"
                        self.fault((*path, key), text)
            if score.kind is not None and score.kind not in kinds:
                hint = did_you_mean(score.kind, kinds)
                known = f"the evaluators are {', '.join(kinds) or 'none'}"
                self.fault((*path, "kind"), f"no run has an evaluator {score.kind!r}{hint}; {known}; set evaluate")
            elif score.refined and not any(
                e.kind == score.kind and e.model_dump(mode="json").get("refine") for e in evaluators
            ):
                fault = f"no {score.kind} of any run refines its proposals; give it refine: STEPS, or remove this key"
                self.fault((*path, "refined"), fault)
            elif score.kind is not None and not any(
                offers(e.kind, e.model_dump(mode="json"), score) for e in evaluators
            ):
                self.fault(
                    (*path, "options"), f"no {score.kind} of any run has these options; change them, or evaluate"
                )
            for one in score.expanded(learned):
                if one.name in {earlier.name for earlier in scores}:
                    self.fault((*path, "name"), f"{one.name!r} occurs twice; give each score its own name")
                scores.append(one)
        return tuple(scores)

    def check_figure(self, levels: Mapping[str, Any]) -> None:
        if self.study.figure.x is not None and self.study.figure.x not in levels:
            hint = did_you_mean(self.study.figure.x, list(levels))
            self.fault(("figure", "x"), f"there is no such axis{hint}; the axes are {', '.join(levels) or 'none'}")

    def check_reference(self) -> None:
        reference = self.study.reference
        named = [(place, score.reference) for place, score in enumerate(self.study.scores) if score.reference]
        if reference is None:
            for place, _ in named:
                self.fault(("scores", place, "reference"), "the study names no published results; add reference")
            return
        if reference.by not in self.study.axes:
            hint = did_you_mean(reference.by, list(self.study.axes))
            self.fault(("reference", "by"), f"there is no such axis{hint}; the axes are {', '.join(self.study.axes)}")
        try:
            tables = shipped.published(reference.published)
        except UserError as error:
            self.fault(("reference", "published"), str(error))
            return
        for place, (table, row) in named:
            rows = tables.get(table)
            path: KeyPath = ("scores", place, "reference")
            if not isinstance(rows, dict) or not isinstance(rows.get(row), dict):
                self.fault(
                    path, f"{reference.published} has no row {row!r} in a table {table!r}; name a row that it has"
                )
            elif reference.column not in rows["columns"]:
                columns = ", ".join(rows["columns"])
                self.fault(("reference", "column"), f"{table} has no column {reference.column!r}; it has {columns}")


def _learns(schema: Schema, name: str) -> bool:
    """Whether a run's model learns a modality."""
    return name in schema.modalities and schema.modalities[name].modelled


def _folder(words: Sequence[str], schema: Schema) -> str:
    """A readable name with a digest of all settings, so that a run never takes the results of another for its own."""
    declared = [list(words), schema.model_dump(mode="json", exclude_unset=True)]
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:10]
    plain = re.sub(r"[^0-9A-Za-z=.+_-]", "-", "_".join(words))
    return f"{plain[:_LONGEST_FOLDER].lstrip('.')}_{digest}"
