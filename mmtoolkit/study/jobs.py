"""Run several runs of a study at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.study.grid import Cell
from mmtoolkit.study.process import Outcome, RunProcess, run_arguments
from mmtoolkit.training.compute import available_threads

_LOOK_SECONDS = 0.5


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    share: Callable[[Cell, float], None],
    jobs: int,
    plugin_files: Sequence[Path],
    device: str,
    threads: int | None = None,
) -> Generator[tuple[Cell, Outcome], None, None]:
    """Train and score the run of each cell in FOLDER/runs, and yield each as it ends.

    If you stop early, close the generator: active runs then write their checkpoints and end.

    Args:
        cells: of the runs.
        folder: of the study.
        share: receives the progress of a run, from 0 to 1, if `jobs` is 1.
        jobs: number of processes at once.
        plugin_files: files of plugins that the study uses.
        device: as for `new_fabric`.
        threads: of each run. By default each chooses, within its share of this process's.

    Raises:
        UserError: a process was killed.
        KeyboardInterrupt: Ctrl-C, here or in a run.
    """
    most_threads = threads or max(1, available_threads() // jobs)
    broken = load_plugins(plugin_files).broken
    waiting = iter(cells)
    runs: dict[str, RunProcess] = {}  # active runs, by the folder of their cell
    ends: dict[Future[Outcome], Cell] = {}
    with ThreadPoolExecutor(jobs) as readers:
        try:
            while True:
                for cell in itertools.islice(waiting, jobs - len(runs)):
                    arguments = run_arguments(cell, folder / "runs" / cell.folder, plugin_files, device, threads)
                    run = runs[cell.folder] = RunProcess(arguments, most_threads, {*cell.schema.notes, *broken})
                    ends[readers.submit(run.wait)] = cell
                if not ends:
                    return
                if jobs == 1:
                    for cell in ends.values():
                        share(cell, runs[cell.folder].output.share)
                for end in wait(ends, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
                    cell = ends.pop(end)
                    run = runs.pop(cell.folder)
                    if run.interrupted:
                        raise KeyboardInterrupt
                    if run.killed:
                        raise UserError(
                            f"{folder}: a process of the study was killed, perhaps because memory ran out; finished "
                            "runs are kept; give the same command again, with a smaller --jobs"
                        )
                    yield cell, end.result()
        finally:
            _stop(list(runs.values()), list(ends))


def _stop(runs: Sequence[RunProcess], ends: Sequence[Future[Outcome]]) -> None:
    """End active runs. Each writes its checkpoint first, unless the user presses Ctrl-C again."""
    try:
        for run in runs:
            run.interrupt()
        wait(ends)
    except KeyboardInterrupt:
        for run in runs:
            run.kill()
