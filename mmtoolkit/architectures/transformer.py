"""The transformer, for texts and series."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from mmtoolkit.architectures.attention import KeysAndValues, Layers, sinusoids
from mmtoolkit.components import (
    Architecture,
    Conditioned,
    Form,
    Likelihood,
    Series,
    Tokens,
    Writer,
    WrittenDecoder,
    lengths,
    stopped,
)
from mmtoolkit.core.posterior import at_least_float32


class Transformer(Architecture):
    """Layers of attention over the places of a text or a series (Vaswani et al. 2017), which train in parallel.

    The decoder of a text reads the symbols before each place, and z at each place; that of a series z alone.
    """

    kind: Literal["transformer"] = "transformer"
    reads: ClassVar[tuple[type[Form], ...]] = (Tokens, Series)

    width: PositiveInt = 128
    """Features of each place; the dense layers have four times as many."""
    layers: PositiveInt = 2
    """Layers of the encoder, and of the decoder."""
    heads: PositiveInt = 4
    """Means over the other places that each place reads in each layer. They share the width."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The share of what each layer adds to the features that a step of training drops."""

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width is {self.width} and heads {self.heads}; set width to a multiple of heads")
        return self

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """The mean over all places, and a linear layer, after a hidden one if there is a condition."""
        hidden = [nn.Linear(self.width + extra, self.width), nn.SiLU()] if extra else []
        return Conditioned(self._reader(form), nn.Sequential(*hidden, nn.Linear(self.width, width)))

    def branch(self, form: Form, width: int) -> nn.Module:
        """The mean over all places, a linear layer and SiLU."""
        return nn.Sequential(self._reader(form), nn.Linear(self.width, width), nn.SiLU())

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """Layers in which each place reads z and all others, and a linear one."""
        return PlacesWriter(form, size, numbers, self._layers())

    def decoder(self, form: Form, size: int, likelihood: Likelihood) -> nn.Module:
        """A network that writes a text symbol by symbol, if the likelihood can score it; else as `raw`."""
        if isinstance(form, Tokens) and likelihood.writes:
            return WrittenDecoder(TextWriter(form, size, likelihood.numbers(form), self._layers()), likelihood)
        return super().decoder(form, size, likelihood)

    def _reader(self, form: Form) -> nn.Module:
        return TextReader(form, self._layers()) if isinstance(form, Tokens) else SeriesReader(form, self._layers())

    def _layers(self) -> Layers:
        return Layers(self.width, self.layers, self.heads, self.dropout)


class TextReader(nn.Module):
    """From texts x (N, L) to the mean (N, width) of the features of their symbols and STOP, whatever follows it.

    Args:
        form: of the texts.
        layers: read the embeddings of the symbols.
    """

    places: Tensor

    def __init__(self, form: Tokens, layers: Layers) -> None:
        super().__init__()
        self.embedding = nn.Embedding(form.vocabulary, layers.width)
        self.register_buffer("places", sinusoids(form.length + 1, layers.width), persistent=False)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """The mean (N, width)."""
        x = stopped(x)
        own = torch.arange(x.shape[1], device=x.device) <= lengths(x).unsqueeze(1)
        h, _ = self.layers(self.embedding(x) + self.places, own[:, None, None])
        mean: Tensor = torch.where(own.unsqueeze(2), h, 0).sum(1) / own.sum(1, keepdim=True)
        return mean


class SeriesReader(nn.Module):
    """From series x (N, C, L), or (N, 2 C, L) with gaps, to the mean (N, width) of the features of all times.

    Args:
        form: of the series.
        layers: read a linear function of the numbers at each time.
    """

    places: Tensor

    def __init__(self, form: Form, layers: Layers) -> None:
        super().__init__()
        channels, length = form.shape
        self.embedding = nn.Linear(channels, layers.width)
        self.register_buffer("places", sinusoids(length, layers.width), persistent=False)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """The mean (N, width)."""
        h, _ = self.layers(self.embedding(x.transpose(1, 2)) + self.places)
        mean: Tensor = h.mean(1)
        return mean


class PlacesWriter(nn.Module):
    """From z (N, size) to numbers (N, numbers, *places); each place reads z and, layer by layer, all other places.

    Args:
        form: of the values; its last dimension is that of the places.
        size: of z.
        numbers: how many for each value at a place.
        layers: read z at each place.
    """

    places: Tensor

    def __init__(self, form: Form, size: int, numbers: int, layers: Layers) -> None:
        super().__init__()
        self.by_place = (numbers, *form.places[:-1])
        self.of_z = nn.Linear(size, layers.width)
        self.register_buffer("places", sinusoids(form.places[-1], layers.width), persistent=False)
        self.layers = layers
        self.out = nn.Linear(layers.width, math.prod(self.by_place))

    def forward(self, z: Tensor) -> Tensor:
        """Numbers (N, numbers, *places)."""
        h, _ = self.layers(self.of_z(z).unsqueeze(1) + self.places)
        numbers: Tensor = self.out(h).transpose(1, 2).unflatten(1, self.by_place)
        return numbers


class TextWriter(Writer):
    """Writes a text: each place reads z, the symbol before it and, layer by layer, the places before it.

    The state are the keys and values of the places before, so that a text that is written symbol by symbol costs no
    more layers than one that is read at once, and has the same probabilities.

    Args:
        form: of the texts.
        size: of z.
        numbers: how many for each place, such as a logit for each symbol.
        layers: read the sum of the embedding of the symbol before, of the place and of z.
    """

    places: Tensor

    def __init__(self, form: Tokens, size: int, numbers: int, layers: Layers) -> None:
        super().__init__(form)
        self.embedding = nn.Embedding(form.vocabulary, layers.width)
        self.of_z = nn.Linear(size, layers.width)
        self.register_buffer("places", sinusoids(form.length, layers.width), persistent=False)
        self.layers = layers
        self.out = nn.Linear(layers.width, numbers)

    def logits(
        self, before: Tensor, z: Tensor, state: list[KeysAndValues] | None = None
    ) -> tuple[Tensor, list[KeysAndValues]]:
        """Logits of the symbols that follow (N, T, V), and the keys and values of all places up to them."""
        past = 0 if state is None else state[0][0].shape[2]
        until = past + before.shape[1]
        h = self.embedding(before) + self.places[past:until] + self.of_z(z).unsqueeze(1)
        allowed = torch.ones(before.shape[1], until, dtype=torch.bool, device=h.device).tril(past)
        h, state = self.layers(h, allowed, state)
        return at_least_float32(self.out(h)), state
