"""Running a study: its grid of runs in one folder, in several processes, to one table and one figure."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import locked, sweep, write_text
from mmtoolkit.catalogue import shipped
from mmtoolkit.catalogue.plugins import load_plugins
from mmtoolkit.figures.files import save_figure
from mmtoolkit.runs.folder import holds_run, read_record, read_results
from mmtoolkit.runs.run import run as run_schema
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.study.figure import study_figure
from mmtoolkit.study.file import Study
from mmtoolkit.study.grid import Cell
from mmtoolkit.study.table import Number, csv_text, kept_numbers, markdown_text, means
from mmtoolkit.training.watcher import TrainingStart


@dataclass(frozen=True)
class Outcome:
    """How a run ended: how long it took, what the user should know, and why it failed, if it did."""

    seconds: float
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


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

    A run stands in runs/ under a name that follows from its schema. One that was interrupted goes on from its
    checkpoint, one that is finished loses its checkpoint, and one that fails does not stop the others.

    Args:
        study: as `read_study` gives it.
        cells: its runs.
        folder: holds this study, or nothing yet.
        watcher: is told how it goes.
        jobs: processes; the threads of this one are shared out among them.
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
    found: dict[str, list[Number]] = {}
    absent: dict[tuple[str, str], list[str]] = {}  # score, why -> the runs
    failed: list[str] = []

    def end(cell: Cell, outcome: Outcome) -> list[Number]:
        results, faults = None, list(outcome.faults)
        if not faults:
            try:
                results = read_results(folder / "runs" / cell.folder)
            except UserError as error:
                faults = error.faults
        failed.extend(f"{cell.title}: {fault}" for fault in faults)
        found[cell.folder], reasons = kept_numbers(study, cell, results, published)
        for reason in reasons.items():
            absent.setdefault(reason, []).append(cell.title)
        return found[cell.folder]

    finished = [cell for cell in cells if _is_finished(folder / "runs" / cell.folder)]
    for cell in finished:
        end(cell, Outcome(0.0))
    watcher.begin(len(cells), len(finished))
    left = [cell for cell in cells if cell.folder not in found]
    for cell, outcome in _outcomes(left, folder, watcher, jobs, plugin_files, device):
        watcher.ended(cell, outcome, end(cell, outcome))
    numbers = [number for cell in cells for number in found[cell.folder]]
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
    """Whether a run was trained and scored; then its checkpoint goes."""
    try:
        finished = holds_run(run) and read_record(run)["times"]["finished"] is not None
    except UserError:  # told when it is run again
        return False
    if finished:
        shutil.rmtree(run / "checkpoint", ignore_errors=True)
    return finished


# One run.


class _Share:
    """Tells how far training has come, as a share of its steps."""

    def __init__(self, cell: Cell, watcher: StudyWatcher) -> None:
        self.cell, self.watcher = cell, watcher

    def begin(self, start: TrainingStart) -> None:
        self.epochs, self.steps = start.epochs, start.steps
        self.watcher.share(self.cell, start.done / start.epochs)

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        self.watcher.share(self.cell, ((epoch - 1) * self.steps + step) / (self.epochs * self.steps))

    def epoch(self, line: dict[str, Any]) -> None:
        self.watcher.share(self.cell, line["epoch"] / self.epochs)


def _run_cell(
    base: str,
    overrides: Sequence[str],
    run: Path,
    plugin_files: Sequence[Path],
    device: str,
    watcher: _Share | None = None,
) -> Outcome:
    """Train and score one run, or go on with it."""
    begun = time.monotonic()
    notes: list[str] = []
    try:
        plugins = load_plugins(plugin_files)
        schema = read_schema(base, overrides, plugins)
        done = run_schema(
            schema, run, plugins=plugins, resume=True, device=device, watcher=watcher, say=notes.append, figures=False
        )
    except UserError as error:
        return Outcome(time.monotonic() - begun, tuple(notes), tuple(error.faults))
    shutil.rmtree(run / "checkpoint", ignore_errors=True)
    ended = done.results["training"]["reason"]  # another for almost every run, and in its results
    return Outcome(time.monotonic() - begun, tuple(note for note in notes if note != ended))


def _outcomes(
    cells: Sequence[Cell],
    folder: Path,
    watcher: StudyWatcher,
    jobs: int,
    plugin_files: Sequence[Path],
    device: str,
) -> Iterator[tuple[Cell, Outcome]]:
    """Each run as it ends."""
    if jobs == 1:
        for cell in cells:
            run = folder / "runs" / cell.folder
            yield cell, _run_cell(cell.base, cell.overrides, run, plugin_files, device, _Share(cell, watcher))
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(jobs, max(len(cells), 1)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(max(1, torch.get_num_threads() // jobs),),
    )
    waiting = iter(cells)
    under_way: dict[Future[Outcome], Cell] = {}
    try:
        while True:
            # No more than can run at once, so that an interruption leaves none that would begin after it.
            for cell in itertools.islice(waiting, jobs - len(under_way)):
                run = folder / "runs" / cell.folder
                with _holding_back_ctrl_c():
                    future = pool.submit(_run_in_worker, cell.base, cell.overrides, run, plugin_files, device)
                under_way[future] = cell
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(future), future.result()
    except BrokenProcessPool:
        raise UserError(
            f"{folder}: a process of the study was killed, perhaps for want of memory; what is done is kept: give the "
            "same command again, with a smaller --jobs"
        ) from None
    except KeyboardInterrupt:
        workers = set(multiprocessing.active_children()) - others
        _signal(workers, signal.SIGINT)
        try:
            wait(under_way)  # until they have written their checkpoints
        except KeyboardInterrupt:
            _signal(workers, signal.SIGKILL)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _holding_back_ctrl_c() -> Iterator[None]:
    """Ctrl-C waits until the block ends; for a process that is begun inside, until it lets it through itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(threads: int) -> None:
    """A process of the pool: it stops when the main process says so, and ends when that has ended."""
    os.setpgrp()  # Ctrl-C in a terminal reaches the main process alone, which passes it on once
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # one that came while this process began ends it here, silently
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _run_in_worker(*arguments: Any) -> Outcome:
    """`_run_cell`, which Ctrl-C interrupts; between runs there is nothing to interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _run_cell(*arguments)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _signal(processes: set[Any], number: int) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, number)
