"""Strided convolutions, for grids and series of any size."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from mmtoolkit.architectures.convolutions import (
    channels_in_turn,
    doubling,
    halving,
    normalised,
    sides_in_turn,
    sides_of,
)
from mmtoolkit.components import Architecture, Conditioned, Form, Grid, Series


class Conv(Architecture):
    """Convolutions that halve each side, and a dense layer; the decoder mirrors them with transposed convolutions.

    A convolution reads 4 places, or 4x4 (after Radford et al. 2015). Each later one has twice as many channels, up to
    8 times those of the first.
    """

    kind: Literal["conv"] = "conv"
    reads: ClassVar[tuple[type[Form], ...]] = (Grid, Series)

    channels: Annotated[int, Field(ge=2)] = 32
    """Channels of the first convolution."""
    halvings: Annotated[int, Field(ge=1, le=16)] | None = None
    """How many convolutions there are; each halves every side. By default, as many as make the longest side 4 or
    less."""
    width: PositiveInt = 512
    """Units of the dense layer."""
    norm: Literal["none", "batch", "layer"] = "batch"
    """The normalisation between convolutions: none, batch (Ioffe & Szegedy 2015) or layer, over all channels and places
    of a row (Ba et al. 2016)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the dense layers' features that each step of training drops (Srivastava et al. 2014)."""

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """Convolutions, and a dense layer that also reads the condition."""
        first, size = self._first(form)
        return Conditioned(first, nn.Sequential(*self._dense(size + extra, self.width), nn.Linear(self.width, width)))

    def branch(self, form: Form, width: int) -> nn.Module:
        """Convolutions, a dense layer and SiLU."""
        first, size = self._first(form)
        return nn.Sequential(first, nn.Linear(size, width), nn.SiLU())

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """The encoder mirrored."""
        turns, channels = self._plan(form)
        start = (channels[-1], *turns[-1])
        layers = [*self._dense(size, self.width), nn.Linear(self.width, math.prod(start)), nn.SiLU()]
        layers.append(nn.Unflatten(1, start))
        written = [numbers * form.places[0], *channels]
        for place in reversed(range(len(channels))):
            layers.append(doubling(written[place + 1], written[place], turns[place]))
            if place > 0:
                layers += [*normalised(written[place], len(turns[0]), self.norm), nn.SiLU()]
        return nn.Sequential(*layers, nn.Unflatten(1, (numbers, form.places[0])))

    def _first(self, form: Form) -> tuple[nn.Sequential, int]:
        """The convolutions, and how many features they return for a row."""
        turns, channels = self._plan(form)
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(pairwise([form.shape[0], *channels])):
            layers.append(halving(before, after, turns[place]))
            if place > 0:
                layers += normalised(after, len(turns[0]), self.norm)
            layers.append(nn.SiLU())
        return nn.Sequential(*layers, nn.Flatten()), channels[-1] * math.prod(turns[-1])

    def _plan(self, form: Form) -> tuple[list[tuple[int, ...]], list[int]]:
        """The sides before the first convolution and after each, and the channels after each."""
        turns = sides_in_turn(sides_of(form), self.halvings)
        return turns, channels_in_turn(self.channels, len(turns) - 1)

    def _dense(self, before: int, after: int) -> list[nn.Module]:
        return [nn.Linear(before, after), nn.SiLU(), *([nn.Dropout(self.dropout)] if self.dropout else [])]
