"""The Bernoulli likelihood: of yes and no, and of grey pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn

from mmtoolkit.components import Classes, Form, Grid, Likelihood, Numbers, Series
from mmtoolkit.components.support import Support
from mmtoolkit.core.posterior import at_least_float32


class BernoulliLikelihood(Likelihood):
    """A Bernoulli distribution at each place.

    It also scores values between 0 and 1, such as grey pixels: its log-probability is then the binary cross-entropy
    that Wu & Goodman 2018 report, which is not a density.
    """

    kind: Literal["bernoulli"] = "bernoulli"
    scores: ClassVar[tuple[type[Form], ...]] = (Numbers, Classes, Grid, Series)
    support: ClassVar[Support] = "unit"

    def head(self, form: Form) -> nn.Module:
        """The outputs are logits."""
        return _GridHead() if isinstance(form, Grid) else _Head()


class BernoulliGrid(distributions.Independent[distributions.Bernoulli]):
    """Independent Bernoulli pixels, whose log-probability makes one copy of the pixels, where PyTorch's makes four.

    Args:
        logits: (N, C, H, W).
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(distributions.Bernoulli(logits=logits, validate_args=False), 3, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """That of pixels (..., N, C, H, W), in [0, 1]: (..., N), nats."""
        logits, value = torch.broadcast_tensors(self.base_dist.logits, value)
        # softplus(logit) - x * logit; above 40, softplus is its argument in double precision too
        return -F.softplus(logits, threshold=40).addcmul_(value, logits, value=-1).sum((-3, -2, -1))


class _GridHead(nn.Module):
    """From logits (N, 1, C, H, W)."""

    def forward(self, raw: Tensor) -> BernoulliGrid:
        return BernoulliGrid(at_least_float32(raw.squeeze(1)))


class _Head(nn.Module):
    """From logits (N, 1, *places)."""

    def forward(self, raw: Tensor) -> distributions.Bernoulli:
        return distributions.Bernoulli(logits=at_least_float32(raw.squeeze(1)), validate_args=False)
