"""Scores of predictive distributions by draws from them: coverage of intervals, and CRPS."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmtoolkit.components.means import MeanWithError

SHARES = (0.5, 0.9)
"""The probabilities of the central intervals."""
FINE = 19
"""So many draws part the line into intervals of 5 % each. With fewer, one of 90 % ends within the outermost of them."""


def coverage(draws: Tensor, x: Tensor, share: float) -> Tensor:
    """How much of x lies in the central interval of probability `share` of a distribution known by draws: (...,).

    If x is one more draw, its rank among all K + 1 is uniform, so that (rank + U) / (K + 1) with U uniform on (0, 1) is
    too, as is a rank drawn evenly among equal values (Czado, Gneiting & Held 2009). The result is the probability, over
    U and such a rank, that this lies within (1 - share) / 2 and (1 + share) / 2. So its mean is `share` exactly if the
    distribution is right, for any number of draws and for whole numbers too. With one draw it always is.

    Args:
        draws: (K, ...).
        x: (...,).
        share: the probability of the interval.
    """
    below, equal = (draws < x).sum(0).double(), (draws == x).sum(0).double()
    low, width = below / (len(draws) + 1), (equal + 1) / (len(draws) + 1)
    inside = (low + width).clamp(max=(1 + share) / 2) - low.clamp(min=(1 - share) / 2)
    return inside.clamp(min=0) / width


def crps(draws: Tensor, x: Tensor) -> Tensor:
    """The continuous ranked probability score, in the unit of x, from two or more draws: (...,).

    It is E|X - x| - 1/2 E|X - X'| (Gneiting & Raftery 2007, equation 21), estimated without bias: the second mean is
    over pairs of different draws (Ferro 2014). Of a point it is the absolute error.

    Args:
        draws: (K, ...).
        x: (...,).
    """
    count = len(draws)
    ordered = draws.sort(0).values
    ranks = torch.arange(count, dtype=draws.dtype, device=draws.device)
    weights = ((2 * ranks - count + 1) / (count * (count - 1))).reshape(-1, *[1] * x.ndim)
    return (draws - x).abs().mean(0) - (weights * ordered).sum(0)


class IntervalScores:
    """Coverage and CRPS of quantities, batch by batch: each row's score is the mean over its known parts."""

    def __init__(self) -> None:
        self.covered = {share: MeanWithError() for share in SHARES}
        self.crps, self.baseline = MeanWithError(), MeanWithError()

    def add(self, draws: Tensor, x: Tensor, known: Tensor, baseline: Tensor) -> None:
        """Add n rows.

        Args:
            draws: (K, n, P), of two or more.
            x: (n, P), the true quantities.
            known: which of them are, (n, P) bool.
            baseline: what a constant prediction says of them (P,).
        """

        def of_rows(scores: Tensor) -> Tensor:
            return torch.where(known, scores, 0.0).sum(1) / known.sum(1)

        for share, mean in self.covered.items():
            mean.update(of_rows(coverage(draws, x, share)))
        self.crps.update(of_rows(crps(draws, x)))
        self.baseline.update(of_rows((baseline - x).abs()))

    def results(self) -> list[dict[str, Any]]:
        """{metric, better, nominal, value, stderr, examples, baseline} for each metric, none without rows.

        `nominal` is the coverage of a distribution that is right, on either side of which it is worse.
        """
        if not self.crps.rows:
            return []
        results: list[dict[str, Any]] = [
            {"metric": f"coverage_{100 * share:.0f}", "better": None, **mean.compute(), "nominal": share}
            for share, mean in self.covered.items()
        ]
        baseline = self.baseline.compute()["value"]
        return [*results, {"metric": "crps", "better": "low", **self.crps.compute(), "baseline": baseline}]
