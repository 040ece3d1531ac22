"""The networks of the floor: those of mmtoolkit's modalities, written by hand in plain PyTorch.

Their parameters have the order and the shapes of ours, so that weights can be copied one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Piece(NamedTuple):
    """What the floor has of a modality.

    Attributes:
        encoder: from rows (N, ...) to mean and log-variance (N, 2 D).
        decoder: from z (N, D) and rows (N, ...) to the sum of -log p(x | z).
        read: from the values that our networks read to the rows that the floor keeps in memory.
    """

    encoder: nn.Module
    decoder: nn.Module
    read: Callable[[Tensor], Tensor]


def mlp(*sizes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return layers[:-1]


class Scored(nn.Module):
    """A decoder of logits with the function that scores rows by them, summed."""

    def __init__(self, layers: Sequence[nn.Module], score: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.score = score

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return self.score(self.layers(z), x)


def _pixels(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def _classes(logits: Tensor, x: Tensor) -> Tensor:
    return F.cross_entropy(logits, x, reduction="sum")


def _yes(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), x.float(), reduction="sum")


def flat_image(latent: int) -> Piece:
    """28x28 pixels, through dense layers of 512."""
    encoder = nn.Sequential(*mlp(784, 512, 512, 2 * latent))
    return Piece(encoder, Scored(mlp(latent, 512, 512, 512, 784), _pixels), lambda x: x.flatten(1))


def label(latent: int, classes: int, width: int = 512) -> Piece:
    encoder = nn.Sequential(nn.Embedding(classes, width), nn.SiLU(), *mlp(width, width, 2 * latent))
    return Piece(encoder, Scored(mlp(latent, width, width, width, classes), _classes), lambda x: x)


def binary(latent: int, width: int = 512) -> Piece:
    encoder = nn.Sequential(nn.Embedding(2, width), nn.SiLU(), *mlp(width, width, 2 * latent))
    return Piece(encoder, Scored(mlp(latent, width, width, width, 1), _yes), Tensor.long)


class _Gaussian(nn.Module):
    """A decoder of standardised numbers with a learned standard deviation; the score is that of the numbers."""

    def __init__(self, layers: Sequence[nn.Module], std: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.raw_scale = nn.ParameterList([torch.zeros(1)])  # after the layers, as ours has it
        self.constant = math.log(std) + 0.5 * math.log(2 * math.pi)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        scale = F.softplus(self.raw_scale[0]) + 1e-3
        squares = ((x - self.layers(z)) / scale).square()
        score: Tensor = 0.5 * squares.sum() + len(x) * (scale.log().sum() + self.constant)
        return score


def numeric(latent: int, width: int, mean: float, std: float) -> Piece:
    encoder = nn.Sequential(*mlp(1, width, width, 2 * latent))
    decoder = _Gaussian(mlp(latent, width, width, width, 1), std)
    return Piece(encoder, decoder, lambda x: ((x - mean) / std).float().unsqueeze(1))


class Conv(NamedTuple):
    """A convolution of 4x4: channels before and after, stride, padding, and the kernel of the one that mirrors it."""

    before: int
    after: int
    stride: int
    padding: int
    kernel_back: int


FACES = (Conv(3, 32, 2, 1, 4), Conv(32, 64, 2, 1, 4), Conv(64, 128, 2, 1, 4), Conv(128, 256, 1, 0, 4))
DIGITS = (Conv(1, 32, 2, 1, 4), Conv(32, 64, 2, 1, 5), Conv(64, 128, 2, 1, 4), Conv(128, 256, 2, 0, 4))


def convolved_image(latent: int, convs: Sequence[Conv], side: int) -> Piece:
    """Pixels through strided convolutions with batch normalisation; `side` is that of the smallest picture."""
    layers: list[nn.Module] = []
    for place, conv in enumerate(convs):
        layers.append(nn.Conv2d(conv.before, conv.after, 4, conv.stride, conv.padding, bias=False))
        layers += [nn.BatchNorm2d(conv.after), nn.SiLU()] if place else [nn.SiLU()]
    start = (convs[-1].after, side, side)
    size = math.prod(start)
    dense = [nn.Linear(size, 512), nn.SiLU(), nn.Dropout(0.1), nn.Linear(512, 2 * latent)]
    back: list[nn.Module] = [nn.Linear(latent, size), nn.SiLU(), nn.Unflatten(1, start)]
    for conv in reversed(convs):
        back.append(
            nn.ConvTranspose2d(conv.after, conv.before, conv.kernel_back, conv.stride, conv.padding, bias=False)
        )
        back += [nn.BatchNorm2d(conv.before), nn.SiLU()] if conv is not convs[0] else []
    return Piece(nn.Sequential(*layers, nn.Flatten(), *dense), Scored(back, _pixels), lambda x: x)


STOP, START = 0, 1  # the ids that end a text and stand before it


class _TextEncoder(nn.Module):
    def __init__(self, latent: int, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.onward = nn.GRU(width, width, batch_first=True)
        self.reverse = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, 2 * latent)

    def forward(self, x: Tensor) -> Tensor:
        """From texts with a STOP after them (N, L + 1): the states after the text in both directions, summed."""
        stop = (x[:, :-1] != STOP).sum(1)
        flipped = x.gather(1, (stop.unsqueeze(1) - torch.arange(x.shape[1], device=x.device)).clamp(min=0))
        ends = torch.arange(len(x), device=x.device) * x.shape[1] + stop
        onward, _ = self.onward(self.embedding(x))
        reverse, _ = self.reverse(self.embedding(flipped))
        states = onward.flatten(0, 1).index_select(0, ends) + reverse.flatten(0, 1).index_select(0, ends)
        out: Tensor = self.out(states)
        return out


class _TextDecoder(nn.Module):
    def __init__(self, latent: int, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Embedding(vocabulary, width), nn.SiLU())
        self.initial = nn.Linear(latent, width)
        self.gru = nn.GRU(width + latent, width, num_layers=2, dropout=0.1, batch_first=True)
        self.out = nn.Linear(width + latent, vocabulary)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        target = x[:, :-1]
        before = F.pad(target, (1, -1), value=START)
        beside = z.unsqueeze(1).expand(-1, target.shape[1], -1)
        state = self.initial(z).expand(2, -1, -1).contiguous()
        outputs, _ = self.gru(torch.cat([self.embedding(before), beside], 2), state)
        logits = self.out(torch.cat([outputs, beside], 2))
        logits[:, :, START] = -torch.inf
        scored = target.masked_fill(before == STOP, -100)  # what follows a STOP is no part of the text
        return F.cross_entropy(logits.flatten(0, 1), scored.flatten(), ignore_index=-100, reduction="sum")


def text(latent: int, vocabulary: int) -> Piece:
    """Texts of symbols, through GRUs of 200 units."""
    encoder, decoder = _TextEncoder(latent, vocabulary, 200), _TextDecoder(latent, vocabulary, 200)
    return Piece(encoder, decoder, lambda x: F.pad(x, (0, 1), value=STOP))
