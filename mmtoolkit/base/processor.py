"""What the processor of this machine is, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CGROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """How many processors this process may use: those it may run on, within the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(_CGROUPS)
    return cores if quota is None else max(1, min(cores, round(quota)))


def _quota(folder: Path) -> float | None:
    """The number of processors whose time a container may use; None where there is no such limit.

    Args:
        folder: where the system shows the container's limits, as version 2 or version 1 of Linux's control groups.
    """
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((folder / "cpu" / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None  # version 1 writes -1 for none
    except ValueError:
        return None  # version 2 writes max


@cache
def processor_name() -> str:
    """The name of the processor, such as `AMD EPYC 9B45`; where the system has none, its sort, such as `x86_64`."""
    try:
        with _CPUINFO.open() as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@cache
def processor_facts() -> frozenset[str]:
    """The words that Linux has for the processor: its vendor, such as AuthenticAMD, and flags, such as avx512f."""
    try:
        with _CPUINFO.open() as lines:
            first = [next(line for line in lines if line.startswith(key)) for key in ("vendor_id", "flags")]
    except (OSError, StopIteration):
        return frozenset()  # another system, or another processor than an x86
    return frozenset(word for line in first for word in line.partition(":")[2].split())
