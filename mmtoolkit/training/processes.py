"""What the processes of a run decide and sum together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule


class Processes:
    """The processes of a run. All of them must call each method together.

    Args:
        fabric: launched.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.number = fabric, fabric.world_size

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.number == 1 else self.sums({"flag": float(flag)})["flag"] > 0

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sum of each value over the processes."""
        if self.number == 1 or not values:
            return dict(values)
        total = self.fabric.all_reduce(torch.tensor(list(values.values()), dtype=torch.float64), reduce_op="sum")
        assert isinstance(total, Tensor)
        return dict(zip(values, total.tolist(), strict=True))

    def of_main(self, value: float) -> float:
        """The value of the main process."""
        return self.sums({"value": value if self.fabric.is_global_zero else 0.0})["value"]

    def apart(self, wrapped: _FabricModule, apart: bool) -> AbstractContextManager[Any]:
        """A context for forward and backward in which the processes do not exchange gradients.

        Args:
            wrapped: the network as Fabric wraps it.
            apart: false for the last batch of a step, at which they exchange what all its batches add up to.
        """
        return self.fabric.no_backward_sync(wrapped) if apart and self.number > 1 else nullcontext()

    def spread(self, network: nn.Module) -> None:
        """Give all processes the weights of the main one."""
        if self.number > 1:
            for tensor in chain(network.parameters(), network.buffers()):
                torch.distributed.broadcast(tensor.detach(), src=0)
