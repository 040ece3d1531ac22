"""Dense layers, of which networks of all forms are made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

_LEAST_INT64 = -(2**63)
Norm = Literal["none", "batch", "layer"]


class Residual(nn.Module):
    """Layers whose input is added to their output: (N, F) to (N, F)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """X + layers(x)."""
        out: Tensor = x + self.layers(x)
        return out


class Dropout(nn.Module):
    """Sets each feature to 0 with a probability p, and multiplies the others by 1 / (1 - p), in training.

    Each random number serves eight features, a byte for each: with one for each feature, as in PyTorch's own, the draws
    of small layers take longer than their matrix products.

    Source: Srivastava et al. 2014.

    Args:
        p: the probability, which is rounded to a multiple of 1 / 256.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.least = round(p * 256)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as x."""
        if not (self.training and self.least):
            return x
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(_LEAST_INT64, None)
        keeps = (draws.view(torch.uint8)[: x.numel()] >= self.least).view(x.shape)
        return x * keeps.to(x.dtype).mul_(256 / (256 - self.least))


def activated(width: int, norm: Norm, dropout: float) -> list[nn.Module]:
    """What follows the features of a hidden layer: a normalisation, SiLU, dropout; each only if asked for."""
    norms: dict[Norm, list[nn.Module]] = {"none": [], "batch": [nn.BatchNorm1d(width)], "layer": [nn.LayerNorm(width)]}
    return [*norms[norm], nn.SiLU(), *([Dropout(dropout)] if dropout else [])]


def dense(sizes: Sequence[int], norm: Norm = "none", dropout: float = 0.0, residual: bool = False) -> nn.Sequential:
    """Dense layers from the first size to the last, each hidden one followed by `activated`.

    Args:
        sizes: the features before and after each layer, two or more.
        norm: before each SiLU.
        dropout: the share of hidden features that training drops; with `residual`, of those that a layer adds.
        residual: whether a hidden layer that keeps its size adds its input to its output.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        adds = residual and before == after
        # What a residual network passes on is never dropped, only what its layers add.
        hidden = [nn.Linear(before, after), *activated(after, norm, dropout if adds or not residual else 0.0)]
        layers += [Residual(nn.Sequential(*hidden))] if adds else hidden
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
