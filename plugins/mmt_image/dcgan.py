"""Convolutions after DCGAN, as Wu & Goodman 2018 have them, sized from the image's shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from mmtoolkit import Architecture, Conditioned, Form, Grid

_SMALL = 32  # pixels, up to which networks are small


class DCGAN(Architecture):
    """Strided convolutions of 4x4 pixels and one dense layer (Radford et al. 2015).

    With 28x28 pixels they are the image networks of FashionMNIST in Wu & Goodman 2018, section 4; with 50x50 and 64x64
    those of MultiMNIST and CelebA.
    """

    kind: Literal["dcgan"] = "dcgan"
    reads: ClassVar[tuple[type[Form], ...]] = (Grid,)

    width: PositiveInt = 512
    """Units of the dense layers."""
    channels: PositiveInt | None = None
    """Channels of the first convolution; each later one has twice as many. By default 64 up to 32 pixels, else 32."""
    norm: Literal["none", "batch"] | None = None
    """The normalisation between convolutions. By default none up to 32 pixels, else batch."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The share of the encoder's dense features that training drops. By default 0 up to 32 pixels, else 0.1."""

    def misfit(self, form: Form) -> str | None:
        """Sides below 8 pixels leave nothing to convolve."""
        if isinstance(form, Grid) and min(form.height, form.width) < 8:
            return f"dcgan needs sides of 8 or more, not {form.height}x{form.width}"
        return None

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """Convolutions, and a dense layer that also reads the condition."""
        shallow, size = self._shallow(form)
        dropout = self.dropout if self.dropout is not None else 0.1 * (not _is_small(form))
        layers = [nn.Linear(size + extra, self.width), nn.SiLU(), *([nn.Dropout(dropout)] if dropout else [])]
        return Conditioned(shallow, nn.Sequential(*layers, nn.Linear(self.width, width)))

    def branch(self, form: Form, width: int) -> nn.Module:
        """Convolutions, a dense layer and SiLU."""
        shallow, size = self._shallow(form)
        return nn.Sequential(shallow, nn.Linear(size, width), nn.SiLU())

    def _shallow(self, form: Form) -> tuple[nn.Sequential, int]:
        """The convolutions, and how many features they return for a row."""
        layers: list[nn.Module] = []
        convs = self._plan(form)
        for place, conv in enumerate(convs):
            layers.append(nn.Conv2d(*conv.channels, 4, conv.stride, conv.padding, bias=False))
            if self._has_norm(form) and place > 0:
                layers.append(nn.BatchNorm2d(conv.channels[1]))
            layers.append(nn.SiLU())
        last = convs[-1]
        return nn.Sequential(*layers, nn.Flatten()), last.channels[1] * math.prod(last.written)

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """The encoder mirrored, by transposed convolutions."""
        assert isinstance(form, Grid)
        convs = self._plan(form)
        last, small = convs[-1], _is_small(form)
        start = (last.channels[1], *last.written)
        layers: list[nn.Module] = []
        if small:
            layers += [nn.Linear(size, self.width), nn.SiLU()]
        layers += [nn.Linear(self.width if small else size, math.prod(start)), nn.SiLU(), nn.Unflatten(1, start)]
        for conv in reversed(convs):
            before, after = conv.channels[::-1]
            after = after if conv is not convs[0] else numbers * form.channels
            kernel = conv.kernel_back
            layers.append(nn.ConvTranspose2d(before, after, kernel, conv.stride, conv.padding, bias=False))
            if conv is not convs[0]:
                layers += [nn.BatchNorm2d(after), nn.SiLU()] if self._has_norm(form) else [nn.SiLU()]
        return nn.Sequential(*layers, nn.Unflatten(1, (numbers, form.channels)))

    def _has_norm(self, form: Form) -> bool:
        return not _is_small(form) if self.norm is None else self.norm == "batch"

    def _plan(self, form: Form) -> list[Conv]:
        """The convolutions.

        Up to 32 pixels: two halvings. Above: halvings until the shorter side is at most 8, then one convolution
        without padding, of stride 1 if that side is 8 and 2 if it is shorter.
        """
        assert isinstance(form, Grid)
        small, channels, sides = _is_small(form), form.channels, (form.height, form.width)
        width = self.channels or (64 if small else 32)
        convs: list[Conv] = []
        while len(convs) < 2 if small else min(sides) > 8:
            convs.append(Conv((channels, width), 2, 1, sides))
            sides, channels, width = convs[-1].written, width, 2 * width
        if not small:
            convs.append(Conv((channels, width), 1 if min(sides) == 8 else 2, 0, sides))
        return convs


def _is_small(form: Form) -> bool:
    assert isinstance(form, Grid)
    return min(form.height, form.width) <= _SMALL


@dataclass(frozen=True)
class Conv:
    """One convolution with a 4x4 kernel: its channels, stride, padding, and the sides it reads and writes."""

    channels: tuple[int, int]
    stride: int
    padding: int
    read: tuple[int, int]

    @property
    def written(self) -> tuple[int, int]:
        """Height and width after it."""
        height, width = ((side + 2 * self.padding - 4) // self.stride + 1 for side in self.read)
        return height, width

    @property
    def kernel_back(self) -> tuple[int, int]:
        """The kernel of the transposed convolution that gives back the sides it read: 4, or 5 if it rounded down."""
        height, width = (
            read - (written - 1) * self.stride + 2 * self.padding
            for read, written in zip(self.read, self.written, strict=True)
        )
        return height, width
