"""Runs a schema in three phases, prepare, train and finish, for `mmt run`, `mmt study` and Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_with_class
from mmtoolkit.components import RunEnd
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.components.watcher import BasicListener
from mmtoolkit.runs.computing import check_threads
from mmtoolkit.runs.finish import finish_run
from mmtoolkit.runs.prepare import check_folder, prepare_run
from mmtoolkit.runs.train import train_run
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import Schema
from mmtoolkit.training.compute import applied, current_compute
from mmtoolkit.training.devices import new_fabric, note_on_precision


def run(
    schema: Schema,
    out: Path | str | None = None,
    *,
    plugins: Plugins | None = None,
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32-true",
    threads: int | None = None,
    watcher: BasicListener | None = None,
    say: Callable[[str], None] = lambda line: None,
    figures: bool = True,
) -> TrainedRun:
    """Train a schema's model, score it, draw its pictures and write its report, all into a run folder.

    If a run stops, in any phase, call this again with `resume` to continue it.

    Args:
        schema: from `read_schema`.
        out: the run folder; runs/NAME by default.
        plugins: the plugins that read the schema.
        resume: continue the run in the folder, or start one if there is none.
        device: as in `new_fabric`.
        devices: as in `new_fabric`.
        precision: as in `new_fabric`.
        threads: the number of threads of each process. By default a resumed run takes as many as before, and a new one
            what `compute_for` chooses for its networks. PyTorch's own settings are as before when this returns.
        watcher: hears what happens in the run, as the watchers of the schema do: a `Listener`, or an object with its
            methods begin, look and epoch.
        say: receives everything else that the user should know, line by line.
        figures: whether to draw the run's pictures; evaluators draw theirs in any case.

    Raises:
        UserError: the folder holds a run, the data has faults, or training diverged.
        KeyboardInterrupt: you pressed Ctrl-C; the checkpoint is written.
    """
    folder = Path(out) if out is not None else Path("runs") / schema.name
    resumes = check_folder(folder, resume)
    check_threads(threads)
    with applied(current_compute()):  # puts back what Fabric sets in several processes
        fabric = new_fabric(device, devices, precision)
        if not fabric.is_global_zero:
            watcher, say = None, _silent
        if note := note_on_precision(fabric.device, precision):
            say(note)
        plugins = plugins if plugins is not None else load_plugins()
        prepared = prepare_run(schema, folder, plugins, fabric, precision, resumes, watcher, say, threads)
        try:
            with applied(prepared.compute):
                trained = finish_run(prepared, train_run(prepared), figures)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            prepared.trainer.listener.end(RunEnd(fault=_fault(error), interrupted=stopped))
            raise
        if trained.main_process:
            prepared.trainer.listener.end(RunEnd(results=trained.results))
        return trained


def _fault(error: BaseException) -> str:
    """Why a run did not finish."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) if isinstance(error, UserError) else error_with_class(error)


def _silent(line: str) -> None:
    """Prints nothing: `say` of all processes but the main one."""


execute = run
"""The name of `run` in 0.1."""
