"""The last phase of a run: it scores the trained networks, and writes what it computes."""

from __future__ import annotations

from mmtoolkit.base.importing import quick_imports
from mmtoolkit.runs.prepare import Prepared
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.training.progress import TrainingOutcome


def finish_run(prepared: Prepared, outcome: TrainingOutcome, figures: bool) -> TrainedRun:
    """Score the trained run, draw its pictures, write its report, and put the finish time into run.json.

    Args:
        prepared: the run, with trained networks.
        outcome: how training ended.
        figures: whether to draw the run's own pictures.
    """
    run = TrainedRun(
        prepared.folder,
        prepared.schema,
        prepared.network,
        prepared.fabric.device,
        prepared.baselines,
        prepared.plugins,
        prepared.say,
        prepared.fabric.is_global_zero,
        prepared.dataset,
    )
    if run.main_process:
        with quick_imports():
            from mmtoolkit.runs.results import write_results  # it imports Matplotlib, which training does not need

        training = {
            "epochs": outcome.epochs,
            "kept_epoch": outcome.kept_epoch,
            "reason": outcome.reason,
            "validation": outcome.bound,
        }
        write_results(run, prepared.record, training, figures, prepared.trainer.listener)
    return run
