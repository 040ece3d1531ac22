"""The mean over rows with its standard error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanWithError(Metric):
    """The mean of numbers, one a row, with its standard error; sums over processes.

    `compute` gives {"value", "stderr", "examples"}; value and stderr are None for too few rows.
    """

    full_state_update = False
    total: Tensor
    squares: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "squares", "rows"):
            self.add_state(name, default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """Add the numbers of some rows (N,)."""
        values = values.detach().to("cpu", torch.float64)
        self.total += values.sum()
        self.squares += values.square().sum()
        self.rows += len(values)

    def compute(self) -> dict[str, Any]:
        """The mean, the standard error of the mean, and the number of rows."""
        rows = int(self.rows)
        if not rows:
            return {"value": None, "stderr": None, "examples": 0}
        mean = float(self.total) / rows
        variance = max(float(self.squares) - rows * mean**2, 0.0) / max(rows - 1, 1)
        return {"value": mean, "stderr": (variance / rows) ** 0.5 if rows > 1 else None, "examples": rows}
