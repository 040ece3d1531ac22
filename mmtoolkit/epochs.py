"""What an epoch is: which training rows it has, and in which order."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor


class EpochSampling(BaseModel):
    """Which rows an epoch has: each usable row once, unless told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rows: PositiveInt | None = None
    """How many rows it has. Where they are more than there are, rows come again, none twice more often than another.
    As many as there are where left out."""
    complete: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of them that have every modality, each as often as that takes: where few rows are complete, what joins
    the modalities is otherwise hardly ever learned from. As it is in the data where left out, or no row is complete."""


class Epochs:
    """The rows of each epoch, a function of its seed.

    Args:
        usable: the training rows that the model can learn from, (n,) int64.
        complete: which of them have every modality, (n,) bool.
        options: what an epoch is.
    """

    def __init__(self, usable: Tensor, complete: Tensor, options: EpochSampling) -> None:
        self.size = options.rows or len(usable)
        self.parts = [(usable, self.size)]
        if options.complete is not None and complete.any() and not complete.all():
            count = max(1, round(options.complete * self.size))
            parts = [(usable[complete], count), (usable[~complete], self.size - count)]
            self.parts = [(rows, wanted) for rows, wanted in parts if wanted]

    def order(self, seed: int) -> Tensor:
        """The rows of an epoch in order: (size,) int64."""
        generator = torch.Generator().manual_seed(seed)
        if len(self.parts) == 1:
            return _shuffled(*self.parts[0], generator)
        drawn = torch.cat([_shuffled(rows, count, generator) for rows, count in self.parts])
        return drawn[torch.randperm(len(drawn), generator=generator)]


def _shuffled(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows, shuffled, each once before any comes again."""
    times = -(-count // len(rows))
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)] for _ in range(times)])[:count]
