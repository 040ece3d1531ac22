"""The rows of an epoch: which training rows it has, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtoolkit.schema.train import EpochSampling


class Epochs:
    """Draws the rows of each epoch. The same seed gives the same rows.

    Args:
        usable: the training rows that the model can use, (n,) int64.
        complete: which of them have every modality, (n,) bool.
        options: how to choose the rows of an epoch.
    """

    def __init__(self, usable: Tensor, complete: Tensor, options: EpochSampling) -> None:
        self.size = options.rows or len(usable)
        self.parts = [(usable, self.size)]
        if options.complete is not None and complete.any() and not complete.all():
            count = max(1, round(options.complete * self.size))
            parts = [(usable[complete], count), (usable[~complete], self.size - count)]
            self.parts = [(rows, count) for rows, count in parts if count]

    def order(self, seed: int) -> Tensor:
        """The rows of an epoch in order: (size,) int64."""
        generator = torch.Generator().manual_seed(seed)
        if len(self.parts) == 1:
            return _shuffled(*self.parts[0], generator)
        rows = torch.cat([_shuffled(part, count, generator) for part, count in self.parts])
        return rows[torch.randperm(len(rows), generator=generator)]


def _shuffled(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` rows in random order. No row repeats before every row has come."""
    times = -(-count // len(rows))
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)] for _ in range(times)])[:count]
