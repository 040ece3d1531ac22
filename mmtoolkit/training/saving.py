"""When a run writes its checkpoint, and the files that it writes while it trains."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import save
from torch import Tensor

from mmtoolkit.base.files import append_text, make_folder, replacing, write_text
from mmtoolkit.training.weights import KEPT, WEIGHTS


class Pace:
    """Says when the next checkpoint is due, by the clock: so rarely that it takes a small share of the time."""

    least_seconds: ClassVar[float] = 10.0
    """No checkpoint is due sooner after the last."""
    most_seconds: ClassVar[float] = 300.0
    """A checkpoint is always due after this time."""
    ratio: ClassVar[float] = 20.0
    """The time between two checkpoints is at least this many times what the last one took."""

    def __init__(self) -> None:
        self._last, self._cost = time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether enough time has passed since the last checkpoint, or since the start."""
        wait = min(max(self._cost * self.ratio, self.least_seconds), self.most_seconds)
        return time.monotonic() - self._last >= wait

    def restart(self, cost: float = 0.0) -> None:
        """Count from now: training begins, or a checkpoint was written, which took `cost` seconds."""
        self._last, self._cost = time.monotonic(), cost


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the weights that training keeps so far."""
    with replacing(folder / WEIGHTS) as new:
        new.write_bytes(save(dict(weights)))
    (folder / KEPT).unlink(missing_ok=True)  # those of an earlier end


def kept_weights(folder: Path) -> Path:
    """The file of the weights that training keeps."""
    return folder / (KEPT if (folder / KEPT).exists() else WEIGHTS)


def write_end(folder: Path, before: bytes, after: bytes) -> None:
    """Write what the network's own end made of the weights that training keeps, and those too if they differ."""
    if before != after or (folder / KEPT).exists():
        for name, content in ((KEPT, before), (WEIGHTS, after)):  # in this order: a kill between loses nothing
            with replacing(folder / name) as new:
                new.write_bytes(content)


def write_history(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write history.jsonl anew; make the folder if there is none."""
    write_text(make_folder(folder) / "history.jsonl", "".join(map(_json_line, lines)))


def append_history(folder: Path, line: Mapping[str, Any]) -> None:
    """Append a line to history.jsonl.

    This does not wait for the disk: a resumed run cuts the file to its checkpoint.
    """
    append_text(folder / "history.jsonl", _json_line(line))


def _json_line(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
