"""Chooses the threads and matrix kernels of a run: by its work, as it had them before, or as you say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.processor import available_cores
from mmtoolkit.components import Network
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.runs.folder import read_record
from mmtoolkit.training.compute import Compute, Kernels, available_threads, can_compute_by, compute_for

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def check_threads(threads: int | None) -> None:
    """Raise if a number of threads is none that a process can have."""
    if threads is not None and threads < 1:
        raise UserError(f"--threads {threads}: is too few; give 1 or more, or leave it out")


def compute_of_run(
    network: Network,
    dataset: Dataset,
    batch_size: int,
    fabric: Fabric,
    threads: int | None,
    before: Compute | None,
    say: Callable[[str], None],
) -> Compute:
    """The threads and kernels with which a run trains and scores.

    Args:
        network: on the host.
        dataset: the prepared data.
        batch_size: the rows of a step.
        fabric: launched.
        threads: as in `run`.
        before: how the run computed until now, if it resumes.
        say: receives a line if a resumed run goes on in another way.
    """
    if before is not None:
        return _as_before(before, threads, say)
    # torchrun says how many processes are on this machine; without it all are.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", fabric.world_size))
    if fabric.device.type != "cpu":
        return Compute(threads or available_threads(processes), "torch")
    return compute_for(network, dataset.splits["train"], -(-batch_size // fabric.world_size), threads, processes)


def latest_compute(folder: Path) -> Compute:
    """How a run computed when it last trained, from run.json."""
    record = read_record(folder)
    latest = {**record, **record.get("resumed", [{}])[-1]}
    return Compute(latest["threads"], latest.get("kernels") or _kernels_of_0_1())


def compute_afterwards(folder: Path) -> Compute:
    """How to use a trained run: by its own kernels where they work here, and with every thread.

    What you compute with a run is often larger than its steps.
    """
    kernels = latest_compute(folder).kernels
    return Compute(available_threads(), kernels if can_compute_by(kernels) else "torch")


def _as_before(before: Compute, threads: int | None, say: Callable[[str], None]) -> Compute:
    kernels: Kernels = before.kernels if can_compute_by(before.kernels) else "torch"
    threads = threads or min(before.threads, available_cores())
    changes = []
    if threads != before.threads:
        changes.append(f"{threads} instead of {before.threads} threads")
    if kernels != before.kernels:
        changes.append("PyTorch's own matrix products instead of oneDNN's")
    if changes:
        change = " and ".join(changes)
        say(f"going on with {change}: the weights will differ in their last digits from those of an undisturbed run")
    return Compute(threads, kernels)


def _kernels_of_0_1() -> Kernels:
    """What version 0.1 took without recording it: oneDNN wherever it worked."""
    return "onednn" if can_compute_by("onednn") else "torch"
