"""How well probabilities are calibrated; a module of its own, as torchmetrics takes seconds to import."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from mmtoolkit import split_entries


class CalibrationError(Metric):
    """The expected calibration error over bins of equal width (Guo et al. 2017): mean of |confidence - accuracy|.

    torchmetrics has the same number, but keeps every row until the end: gigabytes for many modalities and pairs of
    them. Here each bin keeps three sums.
    """

    full_state_update = False
    higher_is_better = False
    rows: Tensor
    confidence: Tensor
    correct: Tensor

    def __init__(self, bins: int = 15) -> None:
        super().__init__()
        self.bins = bins
        for name in ("rows", "confidence", "correct"):  # a confidence of exactly 1 has a bin of its own
            self.add_state(name, default=torch.zeros(bins + 1, dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, confidence: Tensor, correct: Tensor) -> None:
        """Add the confidence (N,) of some statements, and whether each is true (N,)."""
        confidence, correct = confidence.detach().double().cpu(), correct.double().cpu()
        edges = torch.linspace(0, 1, self.bins + 1, dtype=torch.float64)
        bins = (torch.bucketize(confidence, edges, right=True) - 1).clamp(0, self.bins)
        for total, part in (
            (self.rows, torch.ones_like(correct)),
            (self.confidence, confidence),
            (self.correct, correct),
        ):
            total += torch.zeros_like(total, device="cpu").index_add(0, bins, part).to(total.device)

    def compute(self) -> Tensor:
        """The mean over statements of the distance of a bin's confidence and accuracy; NaN for no statement."""
        return (self.confidence - self.correct).abs().sum() / self.rows.sum()


class ClassCalibrationError(CalibrationError):
    """That of the most probable class."""

    def update(self, average: Tensor, x: Tensor) -> None:
        """Probabilities (N, K), and classes (N,)."""
        confidence, chosen = average.max(1)
        self.add(confidence, chosen == x)


class KnownCalibrationError(CalibrationError):
    """That of the probability of yes, over all that is known.

    Args:
        single: whether a value is one that is known, (N,), rather than (N, 2, K).
    """

    def __init__(self, single: bool) -> None:
        super().__init__()
        self.single = single

    def update(self, average: Tensor, x: Tensor) -> None:
        """Probabilities of yes, (N,) or (N, K), and values, (N,) or (N, 2, K)."""
        values, known = split_entries(x, self.single)
        self.add(average.reshape(values.shape)[known], values[known] > 0.5)
