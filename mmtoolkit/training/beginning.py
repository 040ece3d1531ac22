"""What networks learn outside of the steps of training: at the start from data, and after the last step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.data.split import Split
from mmtoolkit.training.contexts import deterministic
from mmtoolkit.training.devices import seed_generators
from mmtoolkit.training.weights import to_bytes


class TrainingBatches:
    """The training rows that a model can use, in batches. Each pass has them in a new random order.

    Args:
        split: the training split, on any device.
        rows: the usable rows, (n,) int64, on the host.
        size: rows in a batch; the last one may be shorter.
        seed: of the orders.
        device: of the values.
    """

    def __init__(self, split: Split, rows: Tensor, size: int, seed: int, device: torch.device) -> None:
        self.split, self.rows, self.size, self.device = split, rows, size, device
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.rows[torch.randperm(len(self.rows), generator=self._generator)]
        return (self.split.batch(rows, self.device, redraw=True) for rows in order.split(self.size))


def learn(
    network: Network, learns: Callable[[Iterable[Batch]], None], batches: TrainingBatches, seed: int
) -> tuple[bytes, bytes]:
    """Call `Network.begin` or `Network.end`, seeded and in evaluation mode.

    Returns:
        The weights before and after, as a safetensors file. They differ if the network learned something.
    """
    network.eval()
    before = to_bytes(network)
    seed_generators(seed_for(learns.__name__, seed), batches.device)
    with deterministic():
        learns(batches)
    network.eval()
    network.zero_grad(set_to_none=True)
    return before, to_bytes(network)
