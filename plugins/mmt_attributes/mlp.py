"""The dense layers of which the networks of labels, attributes and numbers are made (Wu & Goodman 2018)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

WIDTH = 512


def mlp(*sizes: int, norm: bool = False) -> nn.Sequential:
    """Dense layers of the given sizes with SiLU between them, and with `norm` batch normalisation before each SiLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Encoder(nn.Module):
    """From values (N, *event) and a condition (N, extra) to features (N, width).

    Args:
        first: from values to their own features (N, 512).
        width: how many features come out.
        extra: the size of the condition, which two layers read beside the features of the value.
        norm: whether those two have batch normalisation.
    """

    def __init__(self, first: nn.Module, width: int, extra: int = 0, norm: bool = False) -> None:
        super().__init__()
        self.first = first
        self.dense = mlp(WIDTH + extra, WIDTH, width, norm=norm)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        features = self.first(x)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        out: Tensor = self.dense(features)
        return out
