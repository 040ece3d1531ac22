"""Estimates by importance sampling, averaged over rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmtoolkit.components.means import MeanWithError
from mmtoolkit.evaluators.importance import FEW, Estimate


class MeanEstimate(MeanWithError):  # noqa: N818
    """The mean over rows of log p(targets | given), with what tells how far to believe it; sums over processes.

    `compute` adds to the mean, its standard error and the number of rows the means over rows of the variance of the
    log-weights (`log_weight_variance`) and of the effective sample sizes (`ess`, and `marginal_ess` of the marginal
    that is subtracted), and the share of rows in which one of the two is small (`poor`). They are None where there is
    nothing to compute them from.

    Args:
        samples: how many draws a row.
        marginal_samples: how many for the marginal; 0 where none is subtracted.
    """

    variance: Tensor
    ess: Tensor
    marginal_ess: Tensor
    poor: Tensor

    def __init__(self, samples: int, marginal_samples: int = 0) -> None:
        super().__init__()
        self.samples, self.marginal_samples = samples, marginal_samples
        for name in ("variance", "ess", "marginal_ess", "poor"):
            self.add_state(name, default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, joint: Estimate, marginal: Estimate | None = None) -> None:  # type: ignore[override]
        """Add some rows: the estimates of targets and given together, and of the given alone to be subtracted."""
        values, poor = joint.log_p, joint.ess < min(FEW, self.samples / 2)
        if marginal is not None:
            values = values - marginal.log_p
            poor = poor | (marginal.ess < min(FEW, self.marginal_samples / 2))
            self.marginal_ess += marginal.ess.sum().to(self.marginal_ess)
        super().update(values)
        self.variance += joint.variance.sum().to(self.variance)
        self.ess += joint.ess.sum().to(self.ess)
        self.poor += poor.sum().to(self.poor)

    def compute(self) -> dict[str, Any]:
        """The means over rows."""
        found = super().compute()
        rows = found["examples"]

        def mean(total: Tensor, there: bool) -> float | None:
            return float(total) / rows if rows and there else None

        return {
            **found,
            "log_weight_variance": mean(self.variance, self.samples > 1),
            "ess": mean(self.ess, True),
            "marginal_ess": mean(self.marginal_ess, self.marginal_samples > 0),
            "poor": mean(self.poor, True),
        }
