"""The results of a machine, in a file of the repository that holds the latest of each line."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.reading import Measured
from mmtoolkit.base.processor import available_cores, processor_name

FOLDER = Path(__file__).parents[1] / "results"
_ROOT = Path(__file__).parents[2]


def machine() -> dict[str, Any]:
    """What the numbers depend on besides versions."""
    return {"processor": processor_name(), "cores": available_cores(), "system": platform.system()}


def file_name(machine: Mapping[str, Any]) -> str:
    """The name of the file of a machine."""
    name = f"{machine['processor']} {machine['cores']} cores".lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', name).strip('-')}.json"


def versions() -> dict[str, str]:
    """The versions that the numbers depend on, with the commit; `+` after it if files have changed since."""
    commit = _git("rev-parse", "--short=10", "HEAD") or "unknown"
    changed = _git("status", "--porcelain", "--", "mmtoolkit", "plugins", "benchmarks/bench", "benchmarks/filling")
    return {
        "mmtoolkit": version("mmtoolkit"),
        "commit": commit + ("+" if changed else ""),
        "torch": version("torch"),
        "python": platform.python_version(),
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


class Results:
    """The results of this machine.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.machine, self.versions = machine(), versions()
        self.path = folder / file_name(self.machine)
        self.content = read(self.path) if self.path.exists() else {"machine": self.machine, "lines": {}, "left": {}}

    def left(self) -> list[str]:
        """The lines that an interrupted bench of this commit did not reach."""
        left: Mapping[str, Any] = self.content["left"]
        names: list[str] = left["lines"] if left and left["commit"] == self.versions["commit"] else []
        return names

    def begin(self, names: Sequence[str]) -> None:
        """Note the lines of a bench that begins."""
        self.content["left"] = {"commit": self.versions["commit"], "lines": list(names)}
        self._write()

    def add(self, name: str, about: str, measured: Measured, seconds: float) -> dict[str, Any]:
        """Keep the result of a line, and return it."""
        line = {
            "about": about,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "versions": self.versions,
            "seconds": round(seconds),
            "readings": [reading.as_json() for reading in measured.readings],
            "facts": {
                key: round(value, 4) if isinstance(value, float) else value for key, value in measured.facts.items()
            },
        }
        self.content["lines"][name] = line
        if self.content["left"]:
            self.content["left"]["lines"] = [other for other in self.content["left"]["lines"] if other != name]
            if not self.content["left"]["lines"]:
                self.content["left"] = {}
        self._write()
        return line

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        new.replace(self.path)


def read(path: Path) -> dict[str, Any]:
    """The results in a file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
