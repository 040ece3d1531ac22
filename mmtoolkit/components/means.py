"""The mean over rows and its standard error."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class MeanWithError:
    """The mean of one number per row, and its standard error, computed batch by batch.

    It stores the mean and the sum of squared deviations from it, in float64 (Welford 1962), and merges two sets of
    rows exactly (Chan, Golub & LeVeque 1983). The error stays accurate even if the mean is large.

    Attributes:
        rows: the number of rows so far.
        mean: the mean of their numbers; 0 before the first row.
        deviations: the sum of squared deviations from the mean.
    """

    def __init__(self) -> None:
        self.rows, self.mean, self.deviations = 0, 0.0, 0.0

    def update(self, values: Tensor) -> None:
        """Add the numbers of some rows (N,)."""
        if not len(values):
            return
        values = values.detach().to("cpu", torch.float64)
        mean = values.mean()
        self._join(len(values), float(mean), float((values - mean).square().sum()))

    def merge(self, other: MeanWithError) -> None:
        """Add the rows of another mean."""
        if other.rows:
            self._join(other.rows, other.mean, other.deviations)

    def _join(self, rows: int, mean: float, deviations: float) -> None:
        total, difference = self.rows + rows, mean - self.mean
        self.deviations += deviations + difference**2 * (self.rows / total * rows)
        self.mean += difference * (rows / total)
        self.rows = total

    def compute(self) -> dict[str, Any]:
        """The mean, its standard error and the number of rows, as {"value", "stderr", "examples"}.

        Without rows the mean is None; with fewer than two, the error is None.
        """
        return {
            "value": self.mean if self.rows else None,
            "stderr": math.sqrt(self.deviations / (self.rows - 1) / self.rows) if self.rows > 1 else None,
            "examples": self.rows,
        }
