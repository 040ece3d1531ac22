"""What is told how training goes."""

from __future__ import annotations

from typing import Any, Protocol


class Watcher(Protocol):
    """Is told how training goes."""

    def begin(self, epochs: int, done: int, steps: int, rows: int) -> None:
        """Training begins: epochs in all, those done already, steps and rows an epoch."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """About twice a second: the epoch (from 1), the steps done in it, and its means so far."""

    def epoch(self, line: dict[str, Any]) -> None:
        """An epoch has ended: its line of history.jsonl."""


class Silent:
    """A watcher that shows nothing."""

    def begin(self, epochs: int, done: int, steps: int, rows: int) -> None:
        """Nothing."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Nothing."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Nothing."""
