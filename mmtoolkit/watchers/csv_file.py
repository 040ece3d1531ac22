"""A CSV file."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mmtoolkit.components.component import DataPath
from mmtoolkit.components.watcher import Listener, RunEnd, TrainingStart, Watcher
from mmtoolkit.watchers.tracker import SCORE, Tracker


class CSV(Watcher):
    """Writes `metrics.csv`, with a line for each step, one for each epoch and one for the scores.

    The column `step` holds the number of the step. The columns of the other kinds of lines are empty. There are no
    pictures.
    """

    kind: Literal["csv"] = "csv"

    folder: DataPath | None = None
    """The folder for the files, in which each run has one of its own name. By default `csv` in the run folder."""

    def build(self) -> Listener:
        """A writer of the file."""
        return LineWriter(self.folder)


class LineWriter(Tracker):
    """Writes lines with the logger of Lightning Fabric.

    Args:
        folder: of the files of all runs; None for a folder in the run folder.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self.folder = folder

    def open(self, start: TrainingStart) -> None:
        """Keep the lines of an earlier process up to the checkpoint."""
        from lightning_fabric.loggers.csv_logs import CSVLogger  # it takes seconds to import

        folder = start.folder / "csv" if self.folder is None else self.folder / start.folder.resolve().name
        file, before = folder / "metrics.csv", folder / "metrics.before.csv"
        if file.exists() and not before.exists():  # with both, the last process was killed before it copied all lines
            file.rename(before)
        with warnings.catch_warnings(action="ignore"):  # the logger removes its own file, and warns of it
            self.logger = CSVLogger(folder.parent, name="", version=folder.name)
            self.logger.experiment.metrics = _lines(before, start.done_steps) if before.exists() else []
        self.logger.save()
        before.unlink(missing_ok=True)

    def log(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Write lines."""
        for step, numbers in values.items():
            self.logger.experiment.log_metrics(dict(numbers), step)
        self.logger.save()

    def close(self, end: RunEnd) -> None:
        """Write what is left."""
        self.logger.finalize("success" if end.fault is None else "failed")


def _lines(file: Path, steps: int) -> list[dict[str, Any]]:
    """The cells of the lines up to a step, without scores, which are computed again."""
    with file.open(newline="", encoding="utf-8") as opened:
        lines = [{name: cell for name, cell in line.items() if cell} for line in csv.DictReader(opened)]
    return [line for line in lines if int(line["step"]) <= steps and not any(name.startswith(SCORE) for name in line)]
