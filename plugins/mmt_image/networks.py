"""Image networks of Wu & Goodman 2018, sized from the image's shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_image.likelihoods import Likelihood

Kind = Literal["mlp", "dcgan"]
Shape = tuple[int, int, int]
_WIDTH = 512


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


def plan(shape: Shape) -> tuple[list[Conv], bool]:
    """The convolutions for images of a shape, and whether they have batch normalisation and dropout.

    Up to 32 pixels: two halvings, 64 and 128 channels, plain (the FashionMNIST network). Above: halvings from 32
    channels up, doubling, until the shorter side is at most 8, then one 4x4 convolution without padding, of stride
    1 if that side is 8 and 2 if it is shorter (the MultiMNIST and CelebA networks).
    """
    channels, *rest = shape
    sides = (rest[0], rest[1])
    small = min(sides) <= 32
    convs: list[Conv] = []
    width = 64 if small else 32
    while len(convs) < 2 if small else min(sides) > 8:
        convs.append(Conv((channels, width), 2, 1, sides))
        sides, channels, width = convs[-1].written, width, 2 * width
    if not small:
        convs.append(Conv((channels, width), 1 if min(sides) == 8 else 2, 0, sides))
    return convs, not small


class _Concatenate(nn.Module):
    """Features (N, F) with a condition (N, extra) beside them, where there is one."""

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        return features if condition is None else torch.cat([features, condition.to(features)], dim=1)


def _shallow(kind: Kind, shape: Shape) -> tuple[nn.Sequential, int]:
    """What comes before the first fully connected layer, and how many features it gives."""
    if kind == "mlp":
        return nn.Sequential(nn.Flatten()), math.prod(shape)
    convs, deep = plan(shape)
    layers: list[nn.Module] = []
    for place, conv in enumerate(convs):
        layers.append(nn.Conv2d(*conv.channels, 4, conv.stride, conv.padding, bias=False))
        if deep and place > 0:
            layers.append(nn.BatchNorm2d(conv.channels[1]))
        layers.append(nn.SiLU())
    last = convs[-1]
    return nn.Sequential(*layers, nn.Flatten()), last.channels[1] * math.prod(last.written)


def image_branch(kind: Kind, shape: Shape, width: int) -> nn.Sequential:
    """From x (N, C, H, W) to (N, width) by the shallow layers and one fully connected layer."""
    shallow, size = _shallow(kind, shape)
    return nn.Sequential(shallow, nn.Linear(size, width), nn.SiLU())


class ImageEncoder(nn.Module):
    """From x (N, C, H, W) and a condition (N, extra) to features (N, width)."""

    def __init__(self, kind: Kind, shape: Shape, width: int, extra: int = 0) -> None:
        super().__init__()
        self.shallow, size = _shallow(kind, shape)
        self.concatenate = _Concatenate()
        layers: list[nn.Module] = [nn.Linear(size + extra, _WIDTH), nn.SiLU()]
        if kind == "mlp":
            layers += [nn.Linear(_WIDTH, _WIDTH), nn.SiLU()]
        elif plan(shape)[1]:
            layers.append(nn.Dropout(0.1))
        self.dense = nn.Sequential(*layers, nn.Linear(_WIDTH, width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        features: Tensor = self.dense(self.concatenate(self.shallow(x), condition))
        return features


class ImageDecoder(nn.Module):
    """From z (N, size) to the likelihood of the pixels."""

    def __init__(self, kind: Kind, shape: Shape, size: int, likelihood: Likelihood) -> None:
        super().__init__()
        self.layers = _mirrored_mlp(shape, size) if kind == "mlp" else _mirrored_convs(shape, size)
        self.likelihood = likelihood

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event (C, H, W)."""
        p: Distribution = self.likelihood(self.layers(z))
        return p


def _mirrored_mlp(shape: Shape, size: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((size, _WIDTH, _WIDTH, _WIDTH)):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(_WIDTH, math.prod(shape)), nn.Unflatten(1, shape))


def _mirrored_convs(shape: Shape, size: int) -> nn.Sequential:
    convs, deep = plan(shape)
    last = convs[-1]
    start = (last.channels[1], *last.written)
    layers: list[nn.Module] = []
    if not deep:
        layers += [nn.Linear(size, _WIDTH), nn.SiLU()]
    layers += [nn.Linear(size if deep else _WIDTH, math.prod(start)), nn.SiLU(), nn.Unflatten(1, start)]
    for conv in reversed(convs):
        # The kernel that gives back just the sides that the convolution read: 4, or 5 where it rounded down.
        kernel = tuple(
            read - (written - 1) * conv.stride + 2 * conv.padding
            for read, written in zip(conv.read, conv.written, strict=True)
        )
        before, after = conv.channels[::-1]
        layers.append(nn.ConvTranspose2d(before, after, (kernel[0], kernel[1]), conv.stride, conv.padding, bias=False))
        if conv is not convs[0]:
            layers += [nn.BatchNorm2d(after), nn.SiLU()] if deep else [nn.SiLU()]
    return nn.Sequential(*layers)
