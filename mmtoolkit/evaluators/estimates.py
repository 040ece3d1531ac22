"""Importance-sampling estimates, averaged over rows."""

from __future__ import annotations

from typing import Any

from mmtoolkit.components.means import MeanWithError
from mmtoolkit.evaluators.importance import FEW, Estimate


class MeanEstimate:
    """The mean over rows of log p(targets | given), and of measures of its reliability.

    Args:
        samples: draws a row.
        marginal_samples: draws a row for the marginal; 0 if none is subtracted.
    """

    def __init__(self, samples: int, marginal_samples: int = 0) -> None:
        self.samples, self.marginal_samples = samples, marginal_samples
        self.log_p, self.variance, self.ess, self.marginal_ess, self.poor = (MeanWithError() for _ in range(5))

    def update(self, joint: Estimate, marginal: Estimate | None = None) -> None:
        """Add some rows: estimates of targets and given together, and of the given alone, which is subtracted."""
        log_p, poor = joint.log_p, joint.ess < min(FEW, self.samples / 2)
        if marginal is not None:
            log_p = log_p - marginal.log_p
            poor = poor | (marginal.ess < min(FEW, self.marginal_samples / 2))
            self.marginal_ess.update(marginal.ess)
        self.log_p.update(log_p)
        if self.samples > 1:  # one draw has no variance
            self.variance.update(joint.variance)
        self.ess.update(joint.ess)
        self.poor.update(poor)

    def compute(self) -> dict[str, Any]:
        """{"value", "stderr", "examples", "log_weight_variance", "ess", "marginal_ess", "poor"}: means over rows.

        `log_weight_variance` is the variance of the log-weights, `ess` the effective sample size, `marginal_ess` that
        of the marginal, and `poor` the share of rows with a small effective sample size. One without data is None.
        """
        return {
            **self.log_p.compute(),
            "log_weight_variance": self.variance.compute()["value"],
            "ess": self.ess.compute()["value"],
            "marginal_ess": self.marginal_ess.compute()["value"],
            "poor": self.poor.compute()["value"],
        }
