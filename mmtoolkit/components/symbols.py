"""Texts as tensors: the ids of their symbols, ended by STOP where they are shorter than the bound."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtoolkit.components.form import Tokens


def stopped(x: Tensor) -> Tensor:
    """Texts with their STOP: x (..., L) to (..., L + 1), with nothing but STOP from the first one on.

    What else follows the STOP of a text, such as ids of no symbol, is gone here. Everything that reads texts reads
    them through this function.
    """
    x = F.pad(x, (0, 1), value=Tokens.STOP)
    return torch.where((x == Tokens.STOP).cumsum(-1) > 0, Tokens.STOP, x)


def lengths(x: Tensor) -> Tensor:
    """The number of symbols of texts as `stopped` returns them: (..., L + 1) to (...)."""
    return (x != Tokens.STOP).sum(-1)
