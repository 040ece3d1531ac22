"""What an epoch is: which training rows it has, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtoolkit.schema.train import EpochSampling


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
