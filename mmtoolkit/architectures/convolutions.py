"""Convolutions along one dimension or two, by the sides of a form."""

from __future__ import annotations

import math

from torch import nn

from mmtoolkit.architectures.dense import Norm
from mmtoolkit.components import Form

MOST = 8
"""The most channels of a convolution, as a multiple of those of the first one."""
_LAST = 4  # places, up to which a side is halved by default

_CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose1d | nn.ConvTranspose2d]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_BATCH: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


def sides_of(form: Form) -> tuple[int, ...]:
    """The length of a series, or height and width of a grid."""
    return form.places[1:]


def halved(sides: tuple[int, ...]) -> tuple[int, ...]:
    """The sides after a convolution of stride 2: rounded up, so that a side of 1 stays."""
    return tuple(math.ceil(side / 2) for side in sides)


def sides_in_turn(sides: tuple[int, ...], halvings: int | None) -> list[tuple[int, ...]]:
    """The sides before the first halving and after each.

    Args:
        sides: before the first one.
        halvings: how many; by default as many as make the longest side 4 or less, and one or more.
    """
    turns = [sides, halved(sides)]
    while len(turns) <= halvings if halvings is not None else max(turns[-1]) > _LAST:
        turns.append(halved(turns[-1]))
    return turns


def channels_in_turn(first: int, count: int) -> list[int]:
    """Twice as many channels each time, up to `MOST` times those of the first."""
    return [first * min(2**place, MOST) for place in range(count)]


def halving(before: int, after: int, sides: tuple[int, ...]) -> nn.Module:
    """A convolution of 4 places and stride 2, from `sides` to `halved(sides)`."""
    padding = tuple(1 + side % 2 for side in sides)
    return _CONVOLUTIONS[len(sides)](before, after, 4, 2, padding)  # type: ignore[arg-type]


def doubling(before: int, after: int, sides: tuple[int, ...]) -> nn.Module:
    """A transposed convolution of 4 places and stride 2, from `halved(sides)` to `sides`."""
    padding, missing = tuple(1 + side % 2 for side in sides), tuple(side % 2 for side in sides)
    return _TRANSPOSED[len(sides)](before, after, 4, 2, padding, missing)  # type: ignore[arg-type]


def same(before: int, after: int, dimensions: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """A convolution of an odd number of places that keeps the sides, or with stride 2 halves them."""
    return _CONVOLUTIONS[dimensions](before, after, kernel, stride, kernel // 2)


def normalised(channels: int, dimensions: int, norm: Norm) -> list[nn.Module]:
    """A normalisation of channels: none, over the rows of a batch, or over all channels and places of a row."""
    if norm == "none":
        return []
    return [_BATCH[dimensions](channels) if norm == "batch" else nn.GroupNorm(1, channels)]
