"""The batches of the training steps, with their random numbers, in one process or several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.data.split import Split
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training.devices import seed_generators
from mmtoolkit.training.hiding import visible_part
from mmtoolkit.training.processes import Processes, Share


class StepBatches:
    """Makes the batch of a step, and draws its random numbers, which depend only on (seed, number of the batch).

    Several processes divide the rows of a batch. Each draws the numbers of all rows, as one process would, and keeps
    those of its own; so their number changes nothing but the rounding, and statistics of batch normalisation.

    Args:
        network: the networks.
        train: the training rows.
        options: how to train.
        processes: those of the run.
        device: of the networks.
    """

    def __init__(
        self, network: Network, train: Split, options: TrainOptions, processes: Processes, device: torch.device
    ) -> None:
        self.network, self.train, self.options = network, train, options
        self.processes, self.device = processes, device

    def draw(self, rows: Tensor, number: int) -> tuple[Share, Batch, dict[str, Any]]:
        """The share of this process of rows (n,), its batch, and the other arguments of the network's `forward`."""
        share = self.processes.share(len(rows))
        self._seed(number, self.processes.fabric.global_rank)
        batch = self.train.batch(rows[share.places], self.device, redraw=True)
        if self.processes.number == 1:
            return share, batch, {**visible_part(self.network, batch, self.options.hide)}
        self._seed(number, 0)
        arguments: dict[str, Any] = {**visible_part(self.network, batch, self.options.hide, share=share)}
        if (numbers := self.network.random_numbers(share.size, self.device)) is not None:
            subsets, noise = numbers
            arguments |= {"subsets": subsets, "noise": noise.index_select(-2, sent(share.places, self.device))}
        else:
            self._seed(number, self.processes.fabric.global_rank)
        return share, batch, arguments

    def _seed(self, number: int, process: int) -> None:
        seed_generators(seed_for("step", self.options.seed, number, process), self.device)
