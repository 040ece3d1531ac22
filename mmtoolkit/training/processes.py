"""What the processes of a run divide, decide and sum together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule


@dataclass(frozen=True, eq=False)
class Share:
    """The rows of a batch that one process computes.

    Attributes:
        places: of the rows in the batch, (n,) int64. If there are fewer rows than processes, one stands in.
        size: how many rows the batch has.
        count: how many of `places` are its own: n, or 0 where one stands in.
        weight: the factor of its mean loss, so that the mean over processes is that over the rows of the batch.
    """

    places: Tensor
    size: int
    count: int
    weight: float


class Processes:
    """The processes of a run. All of them must call each method together.

    Args:
        fabric: launched.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.number = fabric, fabric.world_size

    def share(self, size: int) -> Share:
        """The rows of a batch that this process computes: every one of `number`."""
        places = torch.arange(size)[self.fabric.global_rank :: self.number]
        count = len(places)
        return Share(places if count else torch.zeros(1, dtype=torch.int64), size, count, count * self.number / size)

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

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context for what the processes do together.

        Raises:
            UserError: another process has ended.
        """
        try:
            yield
        except RuntimeError as error:  # gloo raises no class of its own
            if self.number == 1 or not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
                raise
            raise UserError(
                "another process of the run has ended, so training stopped; see its own message, and go on from the "
                "last checkpoint with --resume"
            ) from error

    def spread(self, network: nn.Module) -> None:
        """Give all processes the weights of the main one."""
        if self.number > 1:
            for tensor in chain(network.parameters(), network.buffers()):
                torch.distributed.broadcast(tensor.detach(), src=0)
