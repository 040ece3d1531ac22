"""Residual networks of convolutions, for grids and series of any size."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmtoolkit.architectures.convolutions import (
    channels_in_turn,
    normalised,
    same,
    sides_in_turn,
    sides_of,
)
from mmtoolkit.components import Architecture, Conditioned, Form, Grid, Series


class ResNet(Architecture):
    """Residual blocks with normalisation and SiLU before each convolution (He et al. 2016), and a dense layer.

    There is a stage for each size: its blocks keep the sides, and the next stage halves them and has twice as many
    channels, up to 8 times those of the first. The last stage has sides of 4 or less. The decoder mirrors the encoder:
    it repeats each place where the encoder halves.
    """

    kind: Literal["resnet"] = "resnet"
    reads: ClassVar[tuple[type[Form], ...]] = (Grid, Series)

    width: Annotated[int, Field(ge=2)] = 16
    """Channels of the first stage. Twice as many take some three times as long."""
    blocks: PositiveInt = 1
    """Residual blocks of each stage."""
    dense: PositiveInt = 512
    """Units of the dense layer."""
    norm: Literal["none", "batch", "layer"] = "batch"
    """The normalisation before each SiLU: none, batch (Ioffe & Szegedy 2015) or layer, over all channels and places of
    a row (Ba et al. 2016)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of features that each step of training drops, in each block and after the dense layer (Srivastava et
    al. 2014)."""

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """Stages of blocks, and a dense layer that also reads the condition."""
        first, size = self._first(form)
        layers = [nn.Linear(size + extra, self.dense), nn.SiLU(), *self._dropped(), nn.Linear(self.dense, width)]
        return Conditioned(first, nn.Sequential(*layers))

    def branch(self, form: Form, width: int) -> nn.Module:
        """Stages of blocks, a dense layer and SiLU."""
        first, size = self._first(form)
        return nn.Sequential(first, nn.Linear(size, width), nn.SiLU())

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """The encoder mirrored."""
        turns, channels = self._plan(form)
        start = (channels[-1], *turns[-1])
        layers: list[nn.Module] = [nn.Linear(size, self.dense), nn.SiLU(), *self._dropped()]
        layers += [nn.Linear(self.dense, math.prod(start)), nn.Unflatten(1, start)]
        dimensions = len(turns[0])
        layers += self._stage(channels[-1], channels[-1], dimensions)
        for sides, (after, before) in reversed(list(zip(turns[:-1], pairwise(channels), strict=True))):
            layers += [Repeated(sides), *self._stage(before, after, dimensions)]
        layers += [*self._activated(channels[0], dimensions), same(channels[0], numbers * form.places[0], dimensions)]
        return nn.Sequential(*layers, nn.Unflatten(1, (numbers, form.places[0])))

    def _first(self, form: Form) -> tuple[nn.Sequential, int]:
        """The stages, and how many features they return for a row."""
        turns, channels = self._plan(form)
        dimensions = len(turns[0])
        layers = [same(form.shape[0], channels[0], dimensions), *self._stage(channels[0], channels[0], dimensions)]
        for before, after in pairwise(channels):
            layers += self._stage(before, after, dimensions, stride=2)
        layers += self._activated(channels[-1], dimensions)
        return nn.Sequential(*layers, nn.Flatten()), channels[-1] * math.prod(turns[-1])

    def _plan(self, form: Form) -> tuple[list[tuple[int, ...]], list[int]]:
        """The sides and the channels of each stage."""
        turns = sides_in_turn(sides_of(form), None)
        return turns, channels_in_turn(self.width, len(turns))

    def _stage(self, before: int, after: int, dimensions: int, stride: int = 1) -> list[nn.Module]:
        """Blocks, of which the first changes sides and channels."""
        first = self._block(before, after, dimensions, stride)
        return [first, *(self._block(after, after, dimensions) for _ in range(self.blocks - 1))]

    def _block(self, before: int, after: int, dimensions: int, stride: int = 1) -> nn.Module:
        layers = [*self._activated(before, dimensions), same(before, after, dimensions, stride=stride)]
        layers += [*self._activated(after, dimensions), *self._dropped(), same(after, after, dimensions)]
        shortcut = nn.Identity() if before == after and stride == 1 else same(before, after, dimensions, 1, stride)
        return Block(nn.Sequential(*layers), shortcut)

    def _activated(self, channels: int, dimensions: int) -> list[nn.Module]:
        return [*normalised(channels, dimensions, self.norm), nn.SiLU()]

    def _dropped(self) -> list[nn.Module]:
        return [nn.Dropout(self.dropout)] if self.dropout else []


class Block(nn.Module):
    """Layers, and a shortcut that is added to what they return.

    Args:
        layers: from (N, C, *sides) to (N, C', *sides').
        shortcut: likewise; the identity if they change neither channels nor sides.
    """

    def __init__(self, layers: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', *sides')."""
        out: Tensor = self.shortcut(x) + self.layers(x)
        return out


class Repeated(nn.Module):
    """Each place twice along each side, up to `sides`."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        """From (N, C, *halved(sides)) to (N, C, *sides)."""
        for dimension, side in enumerate(self.sides, 2):
            twice = torch.stack([x, x], dimension + 1).flatten(dimension, dimension + 1)
            x = twice.narrow(dimension, 0, side)
        return x
