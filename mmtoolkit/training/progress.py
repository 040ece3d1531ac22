"""How far training has come, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainingOutcome:
    """How training ended.

    Attributes:
        epochs: the number of complete epochs.
        kept_epoch: the epoch whose weights are kept, from 1.
        reason: why the weights of that epoch are kept.
        bound: the validation bound of that epoch, nats, or its filling score; None without validation rows.
    """

    epochs: int
    kept_epoch: int
    reason: str
    bound: float | None


@dataclass
class Progress:
    """How far training has come: the part of a checkpoint besides weights and optimiser."""

    epoch: int = 0
    """The number of complete epochs."""
    step: int = 0
    """The number of completed steps in the current epoch."""
    sums: dict[str, float] = field(default_factory=dict)
    """The sums of this epoch's loss and its parts, each weighted by the rows of its step."""
    rows: float = 0
    """The rows of these steps, of this process."""
    seconds: float = 0.0
    """The time of this epoch's steps."""
    overhead: float = 0.0
    """The seconds of validation and checkpoints since the end of the last epoch."""
    validation: float | None = None
    """What validation measured last: the bound, nats, or the filling score."""
    best: float | None = None
    """The best measure so far."""
    best_epoch: int | None = None
    """The epoch of that validation, from 1."""
    best_step: int | None = None
    """The number of steps before it."""
    worse: int = 0
    """The number of validations since the best."""
    scale: float = 1.0
    """The product of the factors by which the step size fell on plateaus."""

    def end_epoch(self, sums: Mapping[str, float], rows: float) -> dict[str, Any]:
        """Begin the next epoch, and return the line of history.jsonl of this one.

        Args:
            sums: the sums of the loss and its parts over all processes.
            rows: the number of rows, over all processes.
        """
        means = {name: total / rows for name, total in sums.items()}
        line = {
            "epoch": self.epoch + 1,
            "loss": means.pop("loss"),
            "terms": means,
            "validation": self.validation,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(rows / max(self.seconds, 1e-9), 1),
            "overhead_seconds": round(self.overhead, 3),
        }
        self.epoch, self.step = self.epoch + 1, 0
        self.sums, self.rows, self.seconds, self.overhead = {}, 0, 0.0, 0.0
        return line

    def outcome(self, stopped_early: bool, validates: bool, by_step: bool, measure: str) -> TrainingOutcome:
        """How training ended.

        Args:
            stopped_early: whether early stopping ended it.
            validates: whether there are usable validation rows.
            by_step: whether validations come by the step rather than by the epoch.
            measure: what validation measures, in words.
        """
        if self.best_epoch is None:
            cause = "there are no usable validation rows"
            if validates:
                cause = "no validation came" if self.validation is None else "the warm-up lasts to the end"
            return TrainingOutcome(self.epoch, self.epoch, f"the last epoch is kept, since {cause}", self.validation)
        stop = f"early stopping ended training after epoch {self.epoch}, " if stopped_early else ""
        place = f"step {self.best_step:,} (epoch {self.best_epoch})" if by_step else f"epoch {self.best_epoch}"
        return TrainingOutcome(self.epoch, self.best_epoch, f"{stop}{place} has the best {measure}", self.best)
