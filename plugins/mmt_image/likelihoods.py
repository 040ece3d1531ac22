"""Likelihoods of pixels: the last layer of an image decoder."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn

from mmtoolkit import at_least_float32

_LEAST_SCALE = 0.01


class Likelihood(nn.Module):
    """From features (N, C, H, W) to a distribution with batch (N,) and event (C, H, W)."""


class BernoulliPixels(distributions.Independent[distributions.Bernoulli]):
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


class Bernoulli(Likelihood):
    """Features are logits."""

    def forward(self, features: Tensor) -> distributions.Distribution:
        """Independent Bernoulli pixels."""
        return BernoulliPixels(at_least_float32(features))


class LocationScale(Likelihood):
    """Features are logits of the location; the scale is fixed, or learned for each channel (σ-VAE, Rybkin et al. 2021).

    Args:
        family: which distribution.
        shape: (C, H, W).
        scale: the fixed scale; None to learn it.
    """

    def __init__(
        self, family: Literal["gaussian", "laplace"], shape: tuple[int, int, int], scale: float | None
    ) -> None:
        super().__init__()
        self.family = distributions.Normal if family == "gaussian" else distributions.Laplace
        self.scale = scale
        if scale is None:
            self.raw_scale = nn.Parameter(torch.zeros(shape[0], 1, 1))

    def forward(self, features: Tensor) -> distributions.Distribution:
        """Independent pixels around sigmoid(features)."""
        location = torch.sigmoid(at_least_float32(features))
        scale = self.scale if self.scale is not None else F.softplus(self.raw_scale) + _LEAST_SCALE
        spread = torch.as_tensor(scale, dtype=location.dtype, device=location.device).expand_as(location)
        pixels = self.family(location, spread, validate_args=False)
        return distributions.Independent(pixels, 3, validate_args=False)
