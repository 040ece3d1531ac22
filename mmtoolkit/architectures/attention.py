"""Layers of attention, of which transformers are made."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeysAndValues = tuple[Tensor, Tensor]
"""What later places attend to: keys and values, (N, heads, T, width / heads) each."""


def sinusoids(length: int, width: int) -> Tensor:
    """What tells places apart: (length, width) sines and cosines of the place (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(-math.log(10_000) * torch.arange(0, width, 2) / width)
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]


class Attention(nn.Module):
    """Each place reads a mean of the values of all places, weighted by its query and their keys (Vaswani et al. 2017).

    Args:
        width: features of a place.
        heads: means that it reads, of width / heads features each.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * width)
        self.write = nn.Linear(width, width)

    def forward(
        self, h: Tensor, allowed: Tensor | None = None, past: KeysAndValues | None = None
    ) -> tuple[Tensor, KeysAndValues]:
        """What the T places of h read (N, T, width), and the keys and values of all places up to them.

        Args:
            h: (N, T, width).
            allowed: bool, broadcast to (N, heads, T, S): which of S places each one reads. By default all.
            past: of the S - T places before.
        """
        queries, keys, values = self.read(h).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        means = F.scaled_dot_product_attention(queries, keys, values, allowed)
        return self.write(means.transpose(1, 2).flatten(2)), (keys, values)


class Layer(nn.Module):
    """Attention and two dense layers, each of which reads normalised features and adds to them (Xiong et al. 2020).

    Args:
        width: features of a place.
        heads: of the attention.
        dropout: the share of what is added that training drops.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(
        self, h: Tensor, allowed: Tensor | None = None, past: KeysAndValues | None = None
    ) -> tuple[Tensor, KeysAndValues]:
        """Features (N, T, width), and the keys and values; the arguments are those of `Attention`."""
        read, seen = self.attention(self.norm(h), allowed, past)
        h = h + self.dropout(read)
        return h + self.dense(h), seen


class Layers(nn.Module):
    """Layers one after another, and a normalisation.

    Args:
        width: features of a place.
        layers: how many.
        heads: of each attention.
        dropout: the share of what each layer adds that training drops.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, h: Tensor, allowed: Tensor | None = None, past: list[KeysAndValues] | None = None
    ) -> tuple[Tensor, list[KeysAndValues]]:
        """Features (N, T, width), and each layer's keys and values; `past` has those of the places before."""
        seen = []
        for i, layer in enumerate(self.layers):
            h, one = layer(h, allowed, None if past is None else past[i])
            seen.append(one)
        return self.norm(h), seen
