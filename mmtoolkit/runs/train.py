"""The second phase of a run: it trains the networks."""

from __future__ import annotations

import torch

from mmtoolkit.runs.prepare import Prepared
from mmtoolkit.training.trainer import TrainingOutcome
from mmtoolkit.training.weights import load_weights


def train_run(prepared: Prepared) -> TrainingOutcome:
    """Train the networks, load the weights of the epoch that training keeps, and switch to evaluation mode.

    Raises:
        UserError: training diverged.
        KeyboardInterrupt: you pressed Ctrl-C; the checkpoint is written.
    """
    network, fabric = prepared.network, prepared.fabric
    outcome = prepared.trainer.run()
    prepared.say(outcome.reason)
    fabric.barrier()
    if fabric.world_size > 1:  # the main process scores alone, and metrics would wait for the others
        torch.distributed.destroy_process_group()
    load_weights(network, prepared.folder / "weights.safetensors")
    network.eval()
    return outcome
