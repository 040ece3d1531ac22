"""A table of steps on a GPU: their time against the floor's, their kernel launches, and whether they wait for it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bench.flat_models import new_floor
from bench.same import check_floor
from bench.work import WORKS, Work
from mmtoolkit.training.networks import build

_NAMES = ("bimodal", "missing", "faces", "text", "table32", "table128")
_PAIRS, _STEPS = 15, 20

Step = Callable[[Tensor], None]


def our_step(work: Work, device: str) -> Step:
    """A step of ours on rows that lie on the device, as the training loop takes it."""
    target = torch.device(device)
    network = build(work.model, work.dataset.modalities, seed=0).to(target)
    split = work.dataset.splits["train"].on(target)
    optimizer = torch.optim.Adam(network.parameters(), lr=work.learning_rate, fused=True)

    def step(rows: Tensor) -> None:
        loss, _ = network(split.batch(rows, target, redraw=True))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def print_table() -> None:
    """Measure each work on the GPU and print a line; where there is no GPU, say so."""
    if not torch.cuda.is_available():
        print("PyTorch finds no GPU here; nothing is measured")
        return
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print("      work  ms a step  times the floor  launches  of the floor  waits for the GPU")
    for name in _NAMES:
        work = WORKS[name](rows=1_000)
        check_floor(work, new_floor(work))
        ours, floor = our_step(work, "cuda"), new_floor(work, "cuda").step
        batches = [torch.randperm(work.rows)[: work.batch_size] for _ in range(_STEPS)]
        seconds = [(_timed(ours, batches), _timed(floor, batches)) for _ in range(_PAIRS + 1)][1:]
        ratio = statistics.median(a / b for a, b in seconds)
        milliseconds = 1000 * statistics.median(a for a, _ in seconds) / _STEPS
        launches = [_launches(step, batches[0]) for step in (ours, floor)]
        waits = _waits(ours, batches[0])
        numbers = f"{milliseconds:>9.2f}  {ratio:>15.2f}  {launches[0]:>8}  {launches[1]:>12}"
        print(f"{name:>10}  {numbers}  {waits}", flush=True)


def _timed(step: Step, batches: list[Tensor]) -> float:
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for rows in batches:
        step(rows)
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def _launches(step: Step, rows: Tensor) -> int:
    """The kernels that a step launches."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step(rows)
        torch.cuda.synchronize()
    return sum(event.count for event in profile.key_averages() if event.key.startswith("cudaLaunchKernel"))


def _waits(step: Step, rows: Tensor) -> str:
    """Whether a step synchronises with the GPU, and where."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(rows)
    except RuntimeError as error:
        return f"yes: {str(error).splitlines()[0]}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "no"
