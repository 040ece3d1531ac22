"""The moving average of a network's weights over the steps of training."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mmtoolkit.components import Network
from mmtoolkit.training.weights import load_weights


class MovingAverage:
    """The exponential moving average of a network's parameters and buffers (Polyak & Juditsky 1992).

    The first update copies them. Update n, from 0, then gives the average the weight min(decay, (1 + n) / (10 + n)):
    with the decay alone, the first weights would count for long, (decay)^n after n steps. Whole numbers, such as the
    batches that a normalisation has seen, are copied, and so are buffers that are not finite, such as masks.

    Args:
        network: whose weights are averaged, as they are before the first step; on its device.
        decay: the weight of the average in each update, 0 < decay < 1.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.network = copy.deepcopy(network).eval()
        self._parameters = list(network.parameters())
        self._averages = [parameter.detach() for parameter in self.network.parameters()]
        self._buffers: list[tuple[Tensor, nn.Module, str]] = []  # a module may put a new tensor in a buffer's place
        for name, buffer in self.network.named_buffers():
            path, _, key = name.rpartition(".")
            self._buffers.append((buffer, network.get_submodule(path), key))
        self._is_averaged = [
            buffer.is_floating_point() and bool(buffer.isfinite().all()) for buffer, _, _ in self._buffers
        ]

    @torch.no_grad()
    def update(self) -> None:
        """Add the network's weights after a step."""
        # `AveragedModel.update_parameters` does the same in ten times the time, since it looks for all tensors anew.
        groups: dict[tuple[torch.dtype, bool], tuple[list[Tensor], list[Tensor]]] = {}
        pairs: list[tuple[Tensor, Tensor, bool]] = [
            *((own, other, True) for own, other in zip(self._averages, self._parameters, strict=True)),
            *(
                (own, getattr(module, key), is_averaged)
                for (own, module, key), is_averaged in zip(self._buffers, self._is_averaged, strict=True)
            ),
        ]
        for own, other, is_averaged in pairs:
            averages, values = groups.setdefault((own.dtype, is_averaged and self.updates > 0), ([], []))
            averages.append(own)
            values.append(other)
        average = get_ema_multi_avg_fn(min(self.decay, (1 + self.updates) / (10 + self.updates)))
        for (_, is_averaged), (averages, values) in groups.items():
            if is_averaged:
                average(averages, values, self.updates)
            else:
                torch._foreach_copy_(averages, values)
        self.updates += 1

    def load(self, path: Path, steps: int) -> None:
        """Go on from an average.

        Args:
            path: the safetensors file of `network`.
            steps: the number of updates so far.

        Raises:
            UserError: the file is missing or damaged, or belongs to another network.
        """
        load_weights(self.network, path)
        self.updates = steps
