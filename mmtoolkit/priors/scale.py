"""The scale of a prior, set or learned."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from mmtoolkit.core.laplace import softmax_scale


class Scale(nn.Module):
    """One scale for all D latent variables, or one for each that is learned.

    A learned scale is softmax over dimensions, times their number: it is 1 at first and of mean 1 for ever, so that
    the size of z stays determined (the code of Shi et al. 2019).

    Args:
        latent_dim: D.
        scale: positive, or `learned`.
    """

    def __init__(self, latent_dim: int, scale: float | Literal["learned"]) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(latent_dim)) if scale == "learned" else None
        self._logscale = 0.0 if scale == "learned" else math.log(scale)

    def log(self, zeros: Tensor) -> Tensor:
        """The logarithm of the scale: (D,); `zeros` (D,) has the type and the device of one that is set."""
        return zeros + self._logscale if self.raw is None else softmax_scale(self.raw).log()
