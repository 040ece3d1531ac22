"""The contents of run.json: versions, plugins, seed, device and data that produced a run's weights."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmtoolkit.base.files import checksum
from mmtoolkit.base.processor import processor_name
from mmtoolkit.components import Watcher
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.schema.schema import Schema
from mmtoolkit.training.compute import Compute


def provenance(
    schema: Schema,
    plugins: Plugins,
    device: torch.device,
    precision: str,
    processes: int,
    compute: Compute,
    started: str,
) -> dict[str, Any]:
    """Build the content of run.json: all you need to know how these weights came about."""
    parts = [part for _, part in schema.components() if not isinstance(part, Watcher)]  # they change no weights
    used = {plugins.origins[type(part)] for part in parts if type(part) in plugins.origins}
    return {
        "versions": {
            "mmtoolkit": metadata.version("mmtoolkit"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "plugins": [
            {"name": p.name, "distribution": p.distribution, "version": p.version, "checksum": p.checksum}
            for p in sorted(used, key=lambda plugin: plugin.name)
        ],
        "command": shlex.join(sys.argv),
        "seed": schema.train.seed,
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "precision": precision,
        "processes": processes,
        "threads": compute.threads,
        "kernels": compute.kernels,
        "git": _git_revision(),
        "data": _checksums(schema.data.files()),
        "times": {"started": started, "finished": None},
    }


_MOST_FILES = 100
_MOST_BYTES = 100_000_000


def _checksums(files: Sequence[Path]) -> dict[str, str]:
    """Compute the SHA-256 of each file, or one SHA-256 over names, sizes and times if a folder has over a hundred.

    For a file above 100 MB, take only its size and time of change, because every start computes this.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        by_folder.setdefault(path.parent, []).append(path)
    checksums = {}
    for folder, paths in by_folder.items():
        if len(paths) <= _MOST_FILES:
            for path in paths:
                large = (stat := path.stat()).st_size > _MOST_BYTES
                checksums[str(path)] = f"{stat.st_size} bytes, {stat.st_mtime_ns} ns" if large else checksum(path)
            continue
        stats = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sorted(paths)]
        digest = hashlib.sha256(json.dumps(stats).encode()).hexdigest()
        checksums[f"{folder}/: names, sizes and times of {len(paths):,} files"] = digest
    return checksums


def _git_revision() -> str | None:
    """The Git revision of the working folder, with `+` if it has changes; None outside a repository."""
    try:
        revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")
