"""Run a study: train its grid of runs in one folder, then write one table and one figure."""

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
from mmtoolkit.runs.folder import holds_run, read_history, read_record, read_results
from mmtoolkit.study.figure import study_figure
from mmtoolkit.study.file import Study
from mmtoolkit.study.grid import Cell
from mmtoolkit.study.jobs import run_cells
from mmtoolkit.study.process import Outcome
from mmtoolkit.study.table import Number, csv_text, markdown_text, means, numbers_of_run


class StudyWatcher(Protocol):
    """Receives the progress of a study."""

    def begin(self, runs: int, done: int) -> None:
        """Receives the number of runs, and how many of them were finished before."""

    def share(self, cell: Cell, share: float) -> None:
        """Receives the progress of a run, from 0 to 1, if there is one process at a time."""

    def ended(self, cell: Cell, outcome: Outcome, numbers: Sequence[Number]) -> None:
        """Receives the scores of a run that has ended; they have no value if the run failed."""


@dataclass(frozen=True)
class StudyResults:
    """The results of a study.

    Attributes:
        folder: of the study.
        numbers: the scores of each run.
        means: of the scores, over seeds.
        notes: a line for each missing score, with the reason.
        failed: the faults of runs that failed, one or more lines each.
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
    threads: int | None = None,
) -> StudyResults:
    """Run all unfinished runs of a study, and write study.yaml, table.csv, table.md and figure.png.

    Each run has a folder in runs/, named after its settings. `mmt run --resume` trains it, in a process of its own. An
    interrupted run resumes from its checkpoint. A finished run loses its checkpoint. A run that fails does not stop
    the others.

    Args:
        study: from `read_study`.
        cells: the runs, from `read_study`.
        folder: of this study; it may be empty or missing.
        watcher: receives the progress.
        jobs: number of processes at once; they share the threads of this process.
        plugin_files: files of plugins that the study uses.
        device: as for `new_fabric`.
        threads: the threads of each run; by default each chooses, within its share.

    Raises:
        UserError: the folder holds another study, or another process is writing there; a process was killed.
        KeyboardInterrupt: the user pressed Ctrl-C; active runs have written their checkpoints.
    """
    if holds_run(folder):
        raise UserError(f"{folder}: holds a run; write the study elsewhere with --out FOLDER")
    fault = f"{folder}: another `mmt study` is writing there"
    with locked(folder / ".lock", f"{fault}; wait until it ends, or write elsewhere with --out FOLDER"):
        sweep(folder)
        _check_same(study, folder)
        write_text(folder / "study.yaml", study.to_yaml())
        return _run(study, cells, folder, watcher, jobs, plugin_files, device, threads)


def _run(
    study: Study,
    cells: Sequence[Cell],
    folder: Path,
    watcher: StudyWatcher,
    jobs: int,
    plugin_files: Sequence[Path],
    device: str,
    threads: int | None,
) -> StudyResults:
    published = shipped.published(study.reference.published) if study.reference else {}
    by_cell: dict[str, list[Number]] = {}
    absent: dict[tuple[str, str], list[str]] = {}  # (score, reason) -> titles of runs
    failed: list[str] = []

    def end(cell: Cell, outcome: Outcome) -> Outcome:
        """Collect the scores or the faults of a run that has ended; remove the checkpoint of a finished run."""
        run, results, history = folder / "runs" / cell.folder, None, []
        if not outcome.faults:
            try:
                results = read_results(run)
                history = read_history(run, results["training"]["epochs"])
            except UserError as error:
                results = None
                outcome = replace(outcome, faults=tuple(error.faults))
            else:
                shutil.rmtree(run / "checkpoint", ignore_errors=True)
                reason = results["training"]["reason"]  # it differs for almost every run, and the results have it
                outcome = replace(outcome, notes=tuple(note for note in outcome.notes if note != reason))
        failed.extend(f"{cell.title}: {fault}" for fault in outcome.faults)
        by_cell[cell.folder], reasons = numbers_of_run(study, cell, results, history, published)
        for score_and_reason in reasons.items():
            absent.setdefault(score_and_reason, []).append(cell.title)
        return outcome

    finished = [cell for cell in cells if _is_finished(folder / "runs" / cell.folder)]
    for cell in finished:
        end(cell, Outcome(0.0))
    watcher.begin(len(cells), len(finished))
    unfinished = [cell for cell in cells if cell.folder not in by_cell]
    with closing(run_cells(unfinished, folder, watcher.share, jobs, plugin_files, device, threads)) as outcomes:
        for cell, outcome in outcomes:
            watcher.ended(cell, end(cell, outcome), by_cell[cell.folder])
    numbers = [number for cell in cells for number in by_cell[cell.folder]]
    averaged = means(numbers)
    write_text(folder / "table.csv", csv_text(study, numbers))
    write_text(folder / "table.md", markdown_text(study, averaged))
    save_figure(study_figure(study, averaged), folder / "figure.png")
    return StudyResults(folder, numbers, averaged, _notes(absent, len(cells)), failed)


def _notes(absent: Mapping[tuple[str, str], Sequence[str]], runs: int) -> list[str]:
    """A line for each set of runs that lack the same scores for the same reason."""
    together: dict[tuple[str, Sequence[str]], list[str]] = {}
    for (score, why), titles in absent.items():
        together.setdefault((why, tuple(titles)), []).append(score)
    return [
        f"{'; '.join(scores)}: in {len(titles)} of {runs} runs, such as {titles[0]}, {why}"
        for (why, titles), scores in together.items()
    ]


def _check_same(study: Study, folder: Path) -> None:
    """Check that a folder holds no study with another name, base or set.

    Raises:
        UserError: it does.
    """
    path = folder / "study.yaml"
    if not path.exists():
        return
    before, now = shipped.read_document(path).data, study.model_dump(mode="json")
    if not isinstance(before, dict):
        raise UserError(f"{path}: is damaged: it is not a mapping; remove it, or write elsewhere with --out FOLDER")
    changed = [key for key in ("name", "base") if before.get(key) != now[key]]
    was = before.get("set") or {}
    settings = [key for key in {**was, **now["set"]} if was.get(key, ...) != now["set"].get(key, ...)]
    changed += [f"set.{key}" for key in settings]
    if changed:
        raise UserError(
            f"{folder}: holds another study ({', '.join(changed)} differ); only axes, seeds and scores may change; "
            "undo the change, or write elsewhere with --out FOLDER"
        )


def _is_finished(run: Path) -> bool:
    """Whether a run is trained and scored."""
    try:
        return holds_run(run) and read_record(run)["times"]["finished"] is not None
    except UserError:  # `mmt run --resume` will report it
        return False
