"""What `mmt run` does, and `mmt study` for each of its runs: prepare, train, finish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmtoolkit.catalogue.plugins import Plugins, load_plugins
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
    """Train a schema's model, score it, draw its pictures and write its report: a run folder.

    A run that was stopped, in whatever phase, goes on from there with `resume`.

    Args:
        schema: as `read_schema` gives it.
        out: the run folder; runs/NAME where left out.
        plugins: those the schema was read with.
        resume: go on with the run that the folder holds; where none stands, one is started.
        device: as `new_fabric` takes it.
        devices: as `new_fabric` takes it.
        precision: as `new_fabric` takes it.
        watcher: is told how training goes.
        say: is told what else the user should know, a line each.
        figures: whether the run's pictures are drawn; those of evaluators are in any case.

    Raises:
        UserError: the folder holds a run, the data has faults, training diverged.
        KeyboardInterrupt: Ctrl-C; the checkpoint was written.
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
    """What all processes but the main one say."""


execute = run
"""The name of `run` in 0.1."""
