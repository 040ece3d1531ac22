"""The products that a network computes in a step, and their sizes, as a trial on one batch shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mmtoolkit.components import Network
from mmtoolkit.data.split import Split

_ATEN = torch.ops.aten
_RIGHT = {_ATEN.mm: 1, _ATEN.addmm: 2, _ATEN.bmm: 1, _ATEN.baddbmm: 2}
"""The place of the right matrix among the arguments of a product: of the weights, in a layer."""
_DRAWS = 2
"""The draws of z for each row: a multimodal model decodes those given all that a row has, and given less."""


@dataclass(frozen=True)
class Product:
    """One call that multiplies numbers in a forward pass.

    Attributes:
        flops: floating-point operations; a multiplication and an addition are two.
        size: numbers in the right matrix, which are a layer's weights; None for a convolution.
    """

    flops: int
    size: int | None


class _Record(TorchDispatchMode):
    """Lists the products that are computed inside its context."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[Product] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, PyTorch would import it, which takes over a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
            size = args[_RIGHT[packet]].shape[-2:].numel() if packet in _RIGHT else None
            self.products.append(Product(int(flops), size))
        return out


def products_of_step(network: Network, train: Split, batch_size: int) -> list[Product]:
    """The products of a step's size, in order: the network encodes a batch, and scores it under draws of z.

    Rows are spread over the split. The trial does what validation does and no training step, since a network may count
    its steps, or may not take one before `begin`. Nothing in it changes; PyTorch's generators and its mode stay.

    Args:
        network: on the host.
        train: the rows of training.
        batch_size: the rows of a step.
    """
    usable = network.usable(train.modelled.present).nonzero().squeeze(1)
    places = torch.linspace(0, len(usable) - 1, min(batch_size, len(usable))).round().long()
    mode = network.training
    record = _Record()
    network.eval()
    try:
        with torch.random.fork_rng(devices=()), torch.enable_grad(), record:
            batch = train.modelled.batch(usable[places], torch.device("cpu"))
            noise = torch.randn(_DRAWS, batch.size, network.latent_dim)
            z = network.infer_all(batch).rsample(noise).flatten(0, 1)
            network.log_prob(z, batch, network.targets)
    finally:
        network.train(mode)
    return record.products


def typical_flops(products: Sequence[Product]) -> int:
    """The operations of a typical call: half of all are in calls with as many or more. Without any call, 0."""
    total, sizes = 0, sorted(product.flops for product in products)
    for flops in sizes:
        total += flops
        if 2 * total >= sum(sizes):
            return flops
    return 0
