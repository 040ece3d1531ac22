"""A plugin file for `mmt run`: the watcher `stamp` writes when each epoch ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from mmtoolkit import Component, Listener, Watcher, hookimpl


class Stamp(Watcher):
    """Writes a line for each epoch."""

    kind: Literal["stamp"] = "stamp"
    path: Path
    """The file."""

    def build(self) -> Listener:
        """The listener."""
        return _Stamps(self.path)


class _Stamps(Listener):
    def __init__(self, path: Path) -> None:
        self.path = path

    def epoch(self, line: dict[str, Any]) -> None:
        now = time.time()
        with self.path.open("a") as file:
            file.write(json.dumps({"now": now, "overhead": line["overhead_seconds"]}) + "\n")


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The watcher."""
    return [Stamp]
