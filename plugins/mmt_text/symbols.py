"""Texts as tensors: ids of symbols, ended by the stop symbol where they are shorter than the bound."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Zero pads: a text is followed by stops, so that padding needs no symbol of its own.
STOP, START, FIRST = 0, 1, 2
"""The ids of the stop and start symbols, and of the first symbol of the alphabet."""


def stopped(x: Tensor) -> Tensor:
    """Texts with their stop symbol: x (..., L) to (..., L + 1), with stops alone from the first one on.

    Whatever else stands after a text's stop, ids of no symbol too, is gone here; everything that reads texts
    reads them through this.
    """
    x = F.pad(x, (0, 1), value=STOP)
    return torch.where((x == STOP).cumsum(-1) > 0, STOP, x)


def lengths(x: Tensor) -> Tensor:
    """The number of symbols of texts as `stopped` gives them: (..., L + 1) to (...)."""
    return (x != STOP).sum(-1)
