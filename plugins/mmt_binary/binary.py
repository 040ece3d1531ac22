"""The binary modality: one attribute that is yes or no."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes.classes import word
from mmt_attributes.mlp import WIDTH, Encoder, mlp
from mmt_attributes.spellings import joined_notes
from mmt_attributes.yes_no import YesNo, ordered
from mmtoolkit import Banked, Better, Cells, ColumnSummary, Parsed, Proposal, at_least_float32

_Module = TypeVar("_Module", bound=nn.Module)


class Binary(YesNo, Banked):
    """One attribute that is yes or no, with its own expert and a Bernoulli likelihood.

    With `each`, you get many of them, like the attributes of CelebA in the MVAE19 of Wu & Goodman 2018, section 5. The
    networks have no batch normalisation: under weak supervision a step often has one row of a modality.
    """

    kind: Literal["binary"] = "binary"

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column with two usual words for no and yes."""
        words: Counter[str] = Counter()
        for cell, count in zip(column.cells, column.counts, strict=True):
            words[word(cell)] += count
        if len({text.lower() for text in words}) != 2:
            return None
        try:
            no, yes = ordered(words)
        except ValueError:
            return None
        classes: dict[str, Counter[str]] = {no: Counter(), yes: Counter()}
        for cell, count in zip(column.cells, column.counts, strict=True):
            classes[yes if word(cell).lower() == yes.lower() else no][str(cell)] += count
        share = classes[yes].total() / column.counted
        about = "; ".join([f"{share:.0%} {yes}", *joined_notes(classes)])
        return Proposal(0.95, {"values": [no, yes]}, about, cost=0.4)

    # Data.

    def event_shape(self) -> tuple[int, ...]:
        """A single number: ()."""
        return ()

    def entries(self, cells: Cells) -> Sequence[Cells]:
        """The cells."""
        return (cells,)

    def parse(self, cell: Any) -> Tensor:
        """0 for no and 1 for yes, uint8."""
        number = self.number(cell)
        if math.isnan(number):
            raise ValueError("nothing of it is known; give a value, or leave the cell empty")
        return torch.tensor(number, dtype=torch.uint8)

    def parse_column(self, cells: Cells) -> Parsed:
        """Parse each distinct cell once. NaN counts as missing."""
        numbers, faults = self.read(cells)
        values = torch.from_numpy(numbers)
        return Parsed((values == 1).to(torch.uint8), ~values.isnan(), faults)

    def cell(self, value: Tensor) -> str:
        """The word for no or yes."""
        return self.entry(float(value))

    def shades(self, name: str, value: Tensor) -> dict[str, float | str]:
        """No or yes."""
        return {name: self.cell(value)}

    # Networks.

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """The network of a label with two classes (Wu & Goodman 2018, section 4.1)."""
        return Encoder(self.branch(WIDTH), width, extra)

    def branch(self, width: int) -> nn.Module:
        """The embedding alone."""
        return nn.Sequential(_Index(), nn.Embedding(2, width), nn.SiLU())

    @property
    def condition_size(self) -> int:
        """1."""
        return 1

    def condition(self, x: Tensor) -> Tensor:
        """1 for yes, -1 for no: (N, 1)."""
        return (2 * x - 1).float().unsqueeze(1)

    def decoder(self, size: int) -> nn.Module:
        """Three layers to the logit."""
        return BinaryDecoder(mlp(size, WIDTH, WIDTH, WIDTH, 1))

    def head(self, size: int) -> nn.Module:
        """One layer to the logit: logistic regression."""
        return BinaryDecoder(mlp(size, 1))

    def encode_bank(self, encoders: Sequence[nn.Module], x: Tensor, valid: Tensor) -> Tensor:
        """Run n encoders, each on its own rows, with one batched product a layer.

        Args:
            encoders: n modules that `encoder(width)` built.
            x: (n, N), any values if not valid.
            valid: (n, N) bool.

        Returns:
            (n, N, width); rows that are not valid are finite and do not affect gradients.
        """
        each = [_as(Encoder, module) for module in encoders]
        firsts = [_as(nn.Sequential, encoder.first) for encoder in each]
        tables = torch.stack([_as(nn.Embedding, first[1]).weight for first in firsts])  # (n, 2, 512)
        rows = 2 * torch.arange(len(each), device=x.device).unsqueeze(1) + (valid & (x > 0.5))
        return _in_bank([encoder.dense for encoder in each], F.silu(F.embedding(rows, tables.flatten(0, 1))))

    def decode_bank(self, decoders: Sequence[nn.Module], z: Tensor, valid: Tensor) -> Distribution:
        """Run n decoders, each on its own rows, with one batched product a layer.

        Args:
            decoders: n modules that `decoder(size)` built.
            z: (n, N, size), any values if not valid.
            valid: (n, N) bool.

        Returns:
            Batch (n, N), event ().
        """
        each = [_as(BinaryDecoder, module) for module in decoders]
        # Zeros, for the product of a gradient of zero with NaN would reach every weight.
        z = torch.where(valid.unsqueeze(-1), z, torch.zeros((), dtype=z.dtype, device=z.device))
        return _bernoulli(_in_bank([decoder.layers for decoder in each], z))

    # Scores.

    def bernoulli(self, p: Distribution) -> distributions.Bernoulli:
        """The distribution itself: batch (N,)."""
        assert isinstance(p, distributions.Bernoulli)
        return p

    def point(self, p: Distribution) -> Tensor:
        """The more probable value (N,)."""
        return (self.bernoulli(p).logits > 0).float()

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The more probable value over all draws (N,)."""
        return (self.average(p, draws) > 0.5).float()

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The accuracy: 1 if the value is right, else 0."""
        return {"accuracy": ((point > 0.5) == (x > 0.5)).float()}

    def better(self) -> dict[str, Better]:
        """An accuracy is better high."""
        return {"accuracy": "high"}

    def text(self, value: Tensor) -> str:
        """`yes` or `no` if the data has usual words for them, such as 1 and 0; else the data's own words."""
        return ("no", "yes")[int(value > 0.5)] if self.usual else self.cell(value)

    def named(self, name: str, value: Tensor) -> str:
        """The name for yes and nothing for no, as in `attributes`."""
        if not self.usual:
            return super().named(name, value)
        return name if value > 0.5 else ""


class _Index(nn.Module):
    """0 and 1 as rows of an embedding."""

    def forward(self, x: Tensor) -> Tensor:
        """(N,), int64."""
        return (x > 0.5).long()


class BinaryDecoder(nn.Module):
    """From z (N, size) to a Bernoulli distribution, by layers from z to its logit (N, 1)."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event ()."""
        return _bernoulli(self.layers(z))


def _bernoulli(features: Tensor) -> Distribution:
    """Logits (..., 1) as a distribution of batch (...)."""
    return distributions.Bernoulli(logits=at_least_float32(features).squeeze(-1), validate_args=False)


def _as(cls: type[_Module], module: nn.Module) -> _Module:
    assert isinstance(module, cls)
    return module


def _in_bank(networks: Sequence[nn.Sequential], x: Tensor) -> Tensor:
    """N networks of equal layers, linear or without parameters, on rows of their own: (n, N, size) to (n, N, width)."""
    for layers in zip(*networks, strict=True):
        if isinstance(layers[0], nn.Linear):
            weights = torch.stack([layer.weight for layer in layers])  # (n, after, before)
            biases = torch.stack([layer.bias for layer in layers]).unsqueeze(1)
            x = torch.baddbmm(biases, x, weights.transpose(1, 2))
        else:
            x = layers[0](x)
    return x
