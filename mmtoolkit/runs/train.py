"""The second phase of a run: it trains the networks."""

from __future__ import annotations

import torch

from mmtoolkit.runs.prepare import Prepared
from mmtoolkit.training.progress import TrainingOutcome


def train_run(prepared: Prepared) -> TrainingOutcome:
    """Train the networks, load the weights of the epoch that training keeps, and let the networks end with them.

    Raises:
        UserError: training diverged.
        KeyboardInterrupt: you pressed Ctrl-C; the checkpoint is written.
    """
    fabric = prepared.fabric
    outcome = prepared.trainer.run()
    prepared.say(outcome.reason)
    fabric.barrier()
    if fabric.world_size > 1:  # the main process scores alone, and metrics would wait for the others
        torch.distributed.destroy_process_group()
    prepared.trainer.end()
    return outcome
