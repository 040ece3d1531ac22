"""The ordinal likelihood: of classes that have an order."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn

from mmtoolkit.components import Classes, Form, Likelihood
from mmtoolkit.components.support import Support
from mmtoolkit.core.posterior import at_least_float32

_LEAST_GAP = 1e-3  # between thresholds, divided by the number of classes


class OrdinalLikelihood(Likelihood):
    """Cumulative logits for classes in order, such as grades from bad to good (McCullagh 1980).

    P(class k or one before it) = logistic(t_k - f), with one location f a row, the network's output, and thresholds
    t_0 < t_1 < … that are learned, the same for all rows.
    """

    kind: Literal["ordinal"] = "ordinal"
    scores: ClassVar[tuple[type[Form], ...]] = (Classes,)
    support: ClassVar[Support] = "classes"

    def misfit(self, form: Form) -> str | None:
        """As the base class says, or that there is a single class."""
        if (misfit := super().misfit(form)) is not None:
            return misfit
        assert isinstance(form, Classes)
        return "ordinal needs two classes or more" if form.count < 2 else None

    def head(self, form: Form) -> nn.Module:
        """The outputs are locations."""
        assert isinstance(form, Classes)
        return OrdinalHead(form.count)


class OrdinalHead(nn.Module):
    """From locations (N, 1) to a Categorical (N,) over K classes. At location 0 all are equally likely at first.

    Args:
        count: K, two or more.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.least = _LEAST_GAP / count
        thresholds = torch.logit(torch.arange(1, count, dtype=torch.float64) / count)
        # The first threshold, and what each gap to the next is the softplus of.
        raw = torch.cat([thresholds[:1], (thresholds.diff() - self.least).expm1().log()])
        self.raw_thresholds = nn.Parameter(raw.float())

    @property
    def gaps(self) -> Tensor:
        """What each threshold is above the one before: (K - 2,), positive."""
        return F.softplus(self.raw_thresholds[1:]) + self.least

    @property
    def thresholds(self) -> Tensor:
        """Increasing: (K - 1,)."""
        return torch.cat([self.raw_thresholds[:1], self.gaps]).cumsum(0)

    def forward(self, raw: Tensor) -> distributions.Categorical:
        """Batch (N,)."""
        below = self.thresholds - at_least_float32(raw)  # (N, K - 1)
        # logistic(b) - logistic(a) = logistic(b) logistic(-a) (1 - exp(a - b)): no term cancels.
        logits = F.pad(F.logsigmoid(below), (0, 1)) + F.pad(F.logsigmoid(-below), (1, 0))
        logits = logits + F.pad((-torch.expm1(-self.gaps)).log(), (1, 1))
        return distributions.Categorical(logits=logits, validate_args=False)
