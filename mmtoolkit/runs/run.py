"""Runs a schema in three phases, prepare, train and finish, for `mmt run`, `mmt study` and Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.runs.finish import finish_run
from mmtoolkit.runs.prepare import check_folder, prepare_run
from mmtoolkit.runs.train import train_run
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import Schema
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.kernels import chosen_kernels
from mmtoolkit.training.watcher import Watcher


def run(
    schema: Schema,
    out: Path | str | None = None,
    *,
    plugins: Plugins | None = None,
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32-true",
    watcher: Watcher | None = None,
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
        watcher: receives progress of training.
        say: receives everything else that the user should know, line by line.
        figures: whether to draw the run's pictures; evaluators draw theirs in any case.

    Raises:
        UserError: the folder holds a run, the data has faults, or training diverged.
        KeyboardInterrupt: you pressed Ctrl-C; the checkpoint is written.
    """
    folder = Path(out) if out is not None else Path("runs") / schema.name
    resumes = check_folder(folder, resume)
    with chosen_kernels():
        fabric = new_fabric(device, devices, precision)
        if not fabric.is_global_zero:
            watcher, say = None, _silent
        plugins = plugins if plugins is not None else load_plugins()
        prepared = prepare_run(schema, folder, plugins, fabric, precision, resumes, watcher, say)
        outcome = train_run(prepared)
        return finish_run(prepared, outcome, figures)


def _silent(line: str) -> None:
    """Prints nothing: `say` of all processes but the main one."""


execute = run
"""The name of `run` in 0.1."""
