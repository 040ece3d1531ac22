"""Dense layers, of which networks of all forms are made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

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


def activated(width: int, norm: Norm, dropout: float) -> list[nn.Module]:
    """What follows the features of a hidden layer: a normalisation, SiLU, dropout; each only if asked for."""
    norms: dict[Norm, list[nn.Module]] = {"none": [], "batch": [nn.BatchNorm1d(width)], "layer": [nn.LayerNorm(width)]}
    return [*norms[norm], nn.SiLU(), *([nn.Dropout(dropout)] if dropout else [])]


def dense(sizes: Sequence[int], norm: Norm = "none", dropout: float = 0.0, residual: bool = False) -> nn.Sequential:
    """Dense layers from the first size to the last, each hidden one followed by `activated`.

    Args:
        sizes: the features before and after each layer, two or more.
        norm: before each SiLU.
        dropout: the share of hidden features that training drops.
        residual: whether a hidden layer that keeps its size adds its input to its output.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        hidden = [nn.Linear(before, after), *activated(after, norm, dropout)]
        layers += [Residual(nn.Sequential(*hidden))] if residual and before == after else hidden
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
