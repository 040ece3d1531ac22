"""The watchers that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.watchers.csv_file import CSV
from mmtoolkit.watchers.mlflow import MLflow
from mmtoolkit.watchers.tensorboard import TensorBoard
from mmtoolkit.watchers.wandb import WandB

__all__ = ["CSV", "MLflow", "TensorBoard", "WandB"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The watchers that ship with mmtoolkit."""
    return [TensorBoard, CSV, MLflow, WandB]
