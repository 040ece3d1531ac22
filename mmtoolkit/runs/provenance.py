"""What made a run's weights: the contents of run.json."""

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
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.schema.schema import Schema


def provenance(
    schema: Schema, plugins: Plugins, device: torch.device, precision: str, processes: int, started: str
) -> dict[str, Any]:
    """What run.json holds: enough to know what made these weights."""
    components = [schema.data, schema.model, *schema.modalities.values(), *schema.evaluate]
    used = {plugins.origins[type(c)] for c in components if type(c) in plugins.origins}
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
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "precision": precision,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "git": _git_revision(),
        "data": _checksums(schema.data.files()),
        "times": {"started": started, "finished": None},
    }


_MOST_FILES = 100
_MOST_BYTES = 100_000_000


def _checksums(files: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file. Of more than a hundred in one folder, one over their names, sizes and times.

    Of a file above 100 MB its size and time of change alone: this is done at every start.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        by_folder.setdefault(path.parent, []).append(path)
    found = {}
    for folder, paths in by_folder.items():
        if len(paths) <= _MOST_FILES:
            for path in paths:
                large = (stat := path.stat()).st_size > _MOST_BYTES
                found[str(path)] = f"{stat.st_size} bytes, {stat.st_mtime_ns} ns" if large else checksum(path)
            continue
        stats = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sorted(paths)]
        digest = hashlib.sha256(json.dumps(stats).encode()).hexdigest()
        found[f"{folder}/: names, sizes and times of {len(paths):,} files"] = digest
    return found


def _git_revision() -> str | None:
    """The revision of the working folder, `+` where it has changes; None outside a repository."""
    try:
        revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")
