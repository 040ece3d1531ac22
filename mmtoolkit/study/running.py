"""Running a study: its grid of runs in one folder, in several processes, to one table and one figure."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import locked, sweep, write_text
from mmtoolkit.catalogue import shipped
from mmtoolkit.figures.files import save_figure
from mmtoolkit.runs.folder import holds_run, read_record, read_results
from mmtoolkit.study.figure import study_figure
from mmtoolkit.study.file import Study
from mmtoolkit.study.grid import Cell
from mmtoolkit.study.jobs import run_cells
from mmtoolkit.study.process import Outcome
from mmtoolkit.study.table import Number, csv_text, kept_numbers, markdown_text, means


class StudyWatcher(Protocol):
    """Is told how a study goes."""

    def begin(self, runs: int, done: int) -> None:
        """Runs in all, and how many of them were finished before."""

    def share(self, cell: Cell, share: float) -> None:
        """How far a run has come, from 0 to 1; not told where there are several processes."""

    def ended(self, cell: Cell, outcome: Outcome, numbers: Sequence[Number]) -> None:
        """A run has ended: its scores, without a value where it failed."""


@dataclass(frozen=True)
class StudyResults:
    """What a study found.

    Attributes:
        folder: where it is kept.
        numbers: a score of a run each.
        means: over seeds.
        notes: scores that are missing, and why.
        failed: runs that could not be finished, a line or more each.
    """

    folder: Path
    numbers: list[Number]
    means: list[Number]
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def run_study(
    study: Study,
    cells: Sequence[Cell],
    folder: Path,
    watcher: StudyWatcher,
    jobs: int = 1,
    plugin_files: Sequence[Path] = (),
    device: str = "auto",
) -> StudyResults:
    """Run all that is not done of a study, and write study.yaml, table.csv, table.md and figure.png.

    A run stands in runs/ under a name that follows from its schema; `mmt run --resume` makes it, in a process of its
    own. One that was interrupted goes on from its checkpoint, one that is finished loses its checkpoint, and one that
    fails does not stop the others.

    Args:
        study: as `read_study` gives it.
        cells: its runs.
        folder: holds this study, or nothing yet.
        watcher: is told how it goes.
        jobs: processes at once; the threads of this one are shared out among them.
        plugin_files: those the study was read with.
        device: as `new_fabric` takes it.

    Raises:
        UserError: the folder holds another study, or another process is writing it; a process was killed.
        KeyboardInterrupt: Ctrl-C, after runs under way wrote their checkpoints.
    """
    if holds_run(folder):
        raise UserError(f"{folder}: holds a run; write the study elsewhere with --out FOLDER")
    fault = f"{folder}: another `mmt study` is writing there"
    with locked(folder / ".lock", f"{fault}; wait until it ends, or write elsewhere with --out FOLDER"):
        sweep(folder)
        _check_same(study, folder)
        write_text(folder / "study.yaml", study.to_yaml())
        return _run(study, cells, folder, watcher, jobs, plugin_files, device)


def _run(
    study: Study,
    cells: Sequence[Cell],
    folder: Path,
    watcher: StudyWatcher,
    jobs: int,
    plugin_files: Sequence[Path],
    device: str,
) -> StudyResults:
    published = shipped.published(study.reference.results) if study.reference else {}
    by_cell: dict[str, list[Number]] = {}
    absent: dict[tuple[str, str], list[str]] = {}  # score, why -> the runs
    failed: list[str] = []

    def end(cell: Cell, outcome: Outcome) -> Outcome:
        """Keep a run's scores or its faults; a run that is done loses its checkpoint."""
        run, results = folder / "runs" / cell.folder, None
        if not outcome.faults:
            try:
                results = read_results(run)
            except UserError as error:
                outcome = replace(outcome, faults=tuple(error.faults))
            else:
                shutil.rmtree(run / "checkpoint", ignore_errors=True)
                reason = results["training"]["reason"]  # another for almost every run, and in its results
                outcome = replace(outcome, notes=tuple(note for note in outcome.notes if note != reason))
        failed.extend(f"{cell.title}: {fault}" for fault in outcome.faults)
        by_cell[cell.folder], reasons = kept_numbers(study, cell, results, published)
        for score_and_why in reasons.items():
            absent.setdefault(score_and_why, []).append(cell.title)
        return outcome

    finished = [cell for cell in cells if _is_finished(folder / "runs" / cell.folder)]
    for cell in finished:
        end(cell, Outcome(0.0))
    watcher.begin(len(cells), len(finished))
    left = [cell for cell in cells if cell.folder not in by_cell]
    with closing(run_cells(left, folder, watcher.share, jobs, plugin_files, device)) as outcomes:
        for cell, outcome in outcomes:
            watcher.ended(cell, end(cell, outcome), by_cell[cell.folder])
    numbers = [number for cell in cells for number in by_cell[cell.folder]]
    averaged = means(numbers)
    write_text(folder / "table.csv", csv_text(study, numbers))
    write_text(folder / "table.md", markdown_text(study, averaged))
    save_figure(study_figure(study, averaged), folder / "figure.png")
    return StudyResults(folder, numbers, averaged, _notes(absent, len(cells)), failed)


def _notes(absent: Mapping[tuple[str, str], Sequence[str]], runs: int) -> list[str]:
    """A line for each set of runs that lack the same scores for one reason."""
    together: dict[tuple[str, Sequence[str]], list[str]] = {}
    for (score, why), titles in absent.items():
        together.setdefault((why, tuple(titles)), []).append(score)
    return [
        f"{'; '.join(scores)}: {why} in {len(titles)} of {runs} runs, such as {titles[0]}"
        for (why, titles), scores in together.items()
    ]


def _check_same(study: Study, folder: Path) -> None:
    """Raise where a folder holds a study of another name, base or set."""
    path = folder / "study.yaml"
    if not path.exists():
        return
    before, now = shipped.read_document(path).data, study.model_dump(mode="json")
    if not isinstance(before, dict):
        raise UserError(f"{path}: is damaged: it is no mapping; remove it, or write elsewhere with --out FOLDER")
    changed = [key for key in ("name", "base") if before.get(key) != now[key]]
    was = before.get("set") or {}
    settings = [key for key in {**was, **now["set"]} if was.get(key, ...) != now["set"].get(key, ...)]
    changed += [f"set.{key}" for key in settings]
    if changed:
        raise UserError(
            f"{folder}: holds another study ({', '.join(changed)} differ); axes, seeds and scores may change, "
            "the rest not: undo the change, or write elsewhere with --out FOLDER"
        )


def _is_finished(run: Path) -> bool:
    """Whether a run was trained and scored."""
    try:
        return holds_run(run) and read_record(run)["times"]["finished"] is not None
    except UserError:  # told when it is run again
        return False
