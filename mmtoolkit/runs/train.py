"""The second phase of a run: the training loop."""

from __future__ import annotations

import torch

from mmtoolkit.runs.prepare import Prepared
from mmtoolkit.training.trainer import TrainingOutcome
from mmtoolkit.training.weights import load_weights


def train_run(prepared: Prepared) -> TrainingOutcome:
    """Train the networks, and leave them with the weights that are kept, in evaluation mode.

    Raises:
        UserError: training diverged.
        KeyboardInterrupt: Ctrl-C, after the checkpoint was written.
    """
    network, fabric = prepared.network, prepared.fabric
    outcome = prepared.trainer.run()
    prepared.say(outcome.reason)
    fabric.barrier()
    if fabric.world_size > 1:  # the main process scores alone; metrics would wait for the others
        torch.distributed.destroy_process_group()
    load_weights(network, prepared.folder / "weights.safetensors")
    network.eval()
    return outcome
