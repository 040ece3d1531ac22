"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from mmtoolkit.components.component import DataPath
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.watcher import Listener, RunEnd, TrainingStart, Watcher
from mmtoolkit.watchers.tracker import Tracker, flat, image, options, require


class TensorBoard(Watcher):
    """Writes event files for TensorBoard: `tensorboard --logdir runs` shows all runs below that folder.

    It needs the package tensorboard: `pip install 'mmtoolkit[log]'`.
    """

    kind: Literal["tensorboard"] = "tensorboard"

    folder: DataPath | None = None
    """The folder for the events, in which each run has one of its own name. By default `tensorboard` in the run
    folder."""
    figures_every: PositiveInt | None = None
    """Samples and reconstructions are drawn after every so many epochs. By default pictures come after training
    only."""

    def build(self) -> Listener:
        """A writer of events.

        Raises:
            UserError: tensorboard is not installed.
        """
        require({"tensorboard": "tensorboard"})
        return EventWriter(self.folder, self.figures_every)


class EventWriter(Tracker):
    """Writes events with the logger of Lightning Fabric.

    Args:
        folder: of the events of all runs; None for a folder in the run folder.
        figures_every: as in `Tracker`.
    """

    def __init__(self, folder: Path | None, figures_every: int | None) -> None:
        super().__init__(figures_every)
        self.folder = folder

    def open(self, start: TrainingStart) -> None:
        """Hide the events that an earlier process wrote after the checkpoint, and write the schema."""
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger  # these take seconds to import
        from torch.utils.tensorboard.summary import hparams

        folder = start.folder / "tensorboard" if self.folder is None else self.folder / start.folder.resolve().name
        purge_step = start.done_steps + 1 if folder.exists() else None
        self.logger = TensorBoardLogger(folder.parent, name="", version=folder.name, purge_step=purge_step)
        if start.schema is None:
            return
        self.logger.experiment.add_text("schema", f"```yaml\n{start.schema.to_yaml()}```")
        plain = (bool, int, float, str)
        values = {key: v if isinstance(v, plain) else str(v) for key, v in flat(options(start.schema))}
        # The logger would write them with values of metrics only; TensorBoard needs no more than the names of metrics.
        for summary in hparams(values, {"epoch/loss": 0.0, "epoch/validation": 0.0}):
            self.logger.experiment.file_writer.add_summary(summary)

    def log(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Write scalars, where TensorBoard sees them at once."""
        for step, scalars in values.items():
            self.logger.log_metrics(scalars, step)
        self.logger.save()

    def draw(self, picture: Picture, step: int) -> None:
        """Write an image."""
        import numpy as np

        pixels = np.asarray(image(picture))
        self.logger.experiment.add_image(f"figures/{picture.name}", pixels, step, dataformats="HWC")

    def close(self, end: RunEnd) -> None:
        """Close the file."""
        self.logger.finalize("success" if end.fault is None else "failed")
