"""What watches training: it hears of its start and of each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmtoolkit.schema.schema import Schema


@dataclass(frozen=True, kw_only=True)
class TrainingStart:
    """What a watcher learns when training starts. Later versions may add fields.

    Attributes:
        folder: the run folder.
        schema: resolved; None where a `Trainer` was made without one.
        epochs: how many there are in all.
        done: how many of them are complete already, in a run that is resumed.
        steps: how many an epoch has.
        rows: how many training rows an epoch has.
    """

    folder: Path
    schema: Schema | None
    epochs: int
    done: int
    steps: int
    rows: int


class Watcher(Protocol):
    """Watches training: `execute` and `Trainer` call its methods, in the process that trains."""

    def begin(self, start: TrainingStart) -> None:
        """Training starts."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """About twice a second.

        Args:
            epoch: which one is under way, from 1.
            step: how many of its steps are done.
            means: the loss and its parts, in nats, averaged over the epoch's rows so far.
        """

    def epoch(self, line: dict[str, Any]) -> None:
        """An epoch has ended.

        Args:
            line: its line of history.jsonl.
        """


class Silent:
    """A watcher that shows nothing."""

    def begin(self, start: TrainingStart) -> None:
        """Nothing."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Nothing."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Nothing."""
