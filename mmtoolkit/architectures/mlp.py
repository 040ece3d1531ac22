"""The multilayer perceptron, for every form."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmtoolkit.architectures.dense import Norm, activated, dense
from mmtoolkit.components import Architecture, Classes, Conditioned, Form, Grid, Numbers, Series, Tokens


class MLP(Architecture):
    """Dense layers with SiLU. They read an embedding of classes, and of all else the numbers in one row.

    With the defaults these are the networks of labels and of 28x28 images in Wu & Goodman 2018, section 4.1.
    """

    kind: Literal["mlp"] = "mlp"
    reads: ClassVar[tuple[type[Form], ...]] = (Numbers, Classes, Grid, Series, Tokens)

    width: PositiveInt = 512
    """Units of each hidden layer."""
    depth: PositiveInt = 2
    """Hidden layers of an encoder. One more if it has one and also reads a condition, as in `cvae`."""
    decoder_depth: PositiveInt | None = None
    """Hidden layers of a decoder; by default one more than `depth`."""
    norm: Norm = "none"
    """The normalisation before each SiLU: none, batch (Ioffe & Szegedy 2015) or layer (Ba et al. 2016)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of hidden features that each step of training drops (Srivastava et al. 2014)."""
    residual: bool = False
    """Whether each hidden layer after the first adds its input to its output."""

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """Hidden layers, of which those after the first also read the condition, and a linear one.

        Of a grid, a series or tokens there are many numbers, and the first layer reads the condition beside them.
        """
        if isinstance(form, (Numbers, Classes)):
            first = nn.Sequential(_first(form, self.width), *activated(self.width, self.norm, self.dropout))
            hidden = [self.width] * (max(self.depth, 2) - 1 if extra else self.depth - 1)
            return Conditioned(first, self._dense([self.width + extra, *hidden, width]))
        return Conditioned(_flat(form), self._dense([_features(form) + extra, *[self.width] * self.depth, width]))

    def branch(self, form: Form, width: int) -> nn.Module:
        """The first layer and SiLU."""
        if isinstance(form, (Numbers, Classes)):
            return nn.Sequential(_first(form, width), nn.SiLU())
        return nn.Sequential(_flat(form), nn.Linear(_features(form), width), nn.SiLU())

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """Hidden layers and a linear one to all numbers."""
        depth = self.depth + 1 if self.decoder_depth is None else self.decoder_depth
        places = (numbers, *form.places)
        layers = self._dense([size, *[self.width] * depth, math.prod(places)])
        return nn.Sequential(*layers, nn.Unflatten(1, places))

    def _dense(self, sizes: list[int]) -> nn.Sequential:
        return dense(sizes, self.norm, self.dropout, self.residual)


def _first(form: Numbers | Classes, width: int) -> nn.Module:
    """The first layer: from numbers (N, *shape) or classes (N,) to (N, width)."""
    return nn.Embedding(form.count, width) if isinstance(form, Classes) else nn.Linear(math.prod(form.shape), width)


def _features(form: Form) -> int:
    """How many numbers `_flat` returns for a row."""
    return math.prod(form.shape) * (form.vocabulary if isinstance(form, Tokens) else 1)


def _flat(form: Form) -> nn.Module:
    """A module that makes one row of numbers of x (N, *shape)."""
    return nn.Sequential(_OneHot(form.vocabulary), nn.Flatten()) if isinstance(form, Tokens) else nn.Flatten()


class _OneHot(nn.Module):
    """From ids (N, L) to (N, L, V)."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(x, self.vocabulary).float()
