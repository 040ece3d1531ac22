"""Watchers receive the progress of training: its start, its steps and each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmtoolkit.schema.schema import Schema


@dataclass(frozen=True, kw_only=True)
class TrainingStart:
    """The facts that a watcher receives when training starts. Later versions may add fields.

    Attributes:
        folder: the run folder.
        schema: the resolved schema; None if the `Trainer` has none.
        epochs: the number of all epochs.
        done: the number of epochs that are complete already; 0 unless the run is resumed.
        steps: the number of steps in an epoch.
        rows: the number of training rows in an epoch.
    """

    folder: Path
    schema: Schema | None
    epochs: int
    done: int
    steps: int
    rows: int


class Watcher(Protocol):
    """Receives the progress of training. `execute` and `Trainer` call its methods in the process that trains."""

    def begin(self, start: TrainingStart) -> None:
        """Called when training starts."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Called about twice a second during an epoch.

        Args:
            epoch: the current epoch, from 1.
            step: the number of its completed steps.
            means: the loss and its parts, in nats, averaged over the epoch's rows so far.
        """

    def epoch(self, line: dict[str, Any]) -> None:
        """Called at the end of an epoch.

        Args:
            line: the epoch's line of history.jsonl.
        """


class Silent:
    """A watcher that does nothing."""

    def begin(self, start: TrainingStart) -> None:
        """Do nothing."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Do nothing."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Do nothing."""
