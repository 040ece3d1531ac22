"""How far training has come, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far training has come: the part of a checkpoint besides weights and optimiser."""

    epoch: int = 0
    """The number of complete epochs."""
    step: int = 0
    """The number of completed steps in the current epoch."""
    sums: dict[str, float] = field(default_factory=dict)
    """The sums of this epoch's loss and its parts, each weighted by the rows of its step."""
    rows: int = 0
    seconds: float = 0.0
    best: float | None = None
    """The best validation bound so far, nats."""
    best_epoch: int | None = None
    worse: int = 0
    """The number of epochs since the best."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How training ended.

    Attributes:
        epochs: the number of complete epochs.
        kept_epoch: the epoch whose weights are kept, from 1.
        reason: why the weights of that epoch are kept.
        bound: the validation bound of that epoch, nats; None without validation rows.
    """

    epochs: int
    kept_epoch: int
    reason: str
    bound: float | None
