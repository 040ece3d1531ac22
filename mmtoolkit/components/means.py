"""The mean over rows with its standard error."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class MeanWithError:
    """The mean of numbers, one a row, with its standard error, batch by batch.

    It keeps the mean and the sum of squared deviations from it, in float64 (Welford 1962), and joins those of two sets
    of rows exactly (Chan, Golub & LeVeque 1983), so a large mean costs the error no digits.

    Attributes:
        rows: how many numbers were added.
        mean: of them; 0 before the first.
        deviations: the sum of their squared deviations from the mean.
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
        total, apart = self.rows + rows, mean - self.mean
        self.deviations += deviations + apart**2 * (self.rows / total * rows)
        self.mean += apart * (rows / total)
        self.rows = total

    def compute(self) -> dict[str, Any]:
        """{"value", "stderr", "examples"}: the mean, its standard error, and the number of rows.

        The mean is None without rows, its error with fewer than two.
        """
        return {
            "value": self.mean if self.rows else None,
            "stderr": math.sqrt(self.deviations / (self.rows - 1) / self.rows) if self.rows > 1 else None,
            "examples": self.rows,
        }
