"""The multilayer perceptron, for every form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmtoolkit.architectures.dense import activated, dense
from mmtoolkit.components import (
    Architecture,
    Classes,
    Conditioned,
    Form,
    Grid,
    Numbers,
    Series,
    Tokens,
    lengths,
    stopped,
)


class MLP(Architecture):
    """Dense layers with SiLU. They read an embedding of classes and symbols, and of all else the numbers in one row.

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
    norm: Literal["none", "batch", "layer"] = "none"
    """The normalisation before each SiLU: none, batch (Ioffe & Szegedy 2015) or layer (Ba et al. 2016)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of hidden features that each step of training drops (Srivastava et al. 2014); with `residual`, of those
    that a hidden layer adds."""
    residual: bool = False
    """Whether each hidden layer after the first adds its input to its output."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Narrow ones, plain and with all that a hidden layer may have."""
        return cls(width=16), cls(width=16, depth=3, norm="batch", dropout=0.1, residual=True)

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """Hidden layers, of which those after the first also read the condition, and a linear one.

        Of a grid or a series there are many numbers, and the first layer reads the condition beside them.
        """
        if isinstance(form, (Numbers, Classes, Tokens)):
            dropout = 0.0 if self.residual else self.dropout
            first = nn.Sequential(_first(form, self.width), *activated(self.width, self.norm, dropout))
            hidden = [self.width] * (max(self.depth, 2) - 1 if extra else self.depth - 1)
            return Conditioned(first, self._dense([self.width + extra, *hidden, width]))
        sizes = [math.prod(form.shape) + extra, *[self.width] * self.depth, width]
        return Conditioned(nn.Flatten(), self._dense(sizes))

    def branch(self, form: Form, width: int) -> nn.Module:
        """The first layer and SiLU."""
        if isinstance(form, (Numbers, Classes, Tokens)):
            return nn.Sequential(_first(form, width), nn.SiLU())
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(form.shape), width), nn.SiLU())

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """Hidden layers and a linear one to all numbers."""
        depth = self.depth + 1 if self.decoder_depth is None else self.decoder_depth
        places = (numbers, *form.places)
        layers = self._dense([size, *[self.width] * depth, math.prod(places)])
        return nn.Sequential(*layers, nn.Unflatten(1, places))

    def _dense(self, sizes: list[int]) -> nn.Sequential:
        return dense(sizes, self.norm, self.dropout, self.residual)


def _first(form: Numbers | Classes | Tokens, width: int) -> nn.Module:
    """The first layer: from numbers (N, *shape), classes (N,) or texts (N, L) to (N, width)."""
    match form:
        case Classes():
            return nn.Embedding(form.count, width)
        case Tokens():
            return TextEmbedding(form, width)
        case _:
            return nn.Linear(math.prod(form.shape), width)


class TextEmbedding(nn.Module):
    """From texts (N, L) to (N, width): the sum of what each symbol stands for at its place, up to STOP.

    It is a linear function of the one-hot symbols, which a large vocabulary would make slow.

    Args:
        form: of the texts.
        width: of the sum.
    """

    def __init__(self, form: Tokens, width: int) -> None:
        super().__init__()
        self.vocabulary = form.vocabulary
        self.embedding = nn.Embedding(form.length * form.vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=form.length**-0.5)  # a sum of L has the variance 1 or less

    def forward(self, x: Tensor) -> Tensor:
        """The sum (N, width), whatever follows a STOP."""
        x = stopped(x)
        places = torch.arange(x.shape[1] - 1, device=x.device)
        own = places <= lengths(x).unsqueeze(1)
        features = self.embedding(places * self.vocabulary + x[:, :-1])
        return torch.where(own.unsqueeze(2), features, 0).sum(1)
