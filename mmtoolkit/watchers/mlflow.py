"""MLflow."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import PositiveInt

from mmtoolkit.base.files import locked, safe_name
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.watcher import Listener, RunEnd, TrainingStart, Watcher
from mmtoolkit.watchers.tracker import Bookmark, Tracker, flat, image, options, require

if TYPE_CHECKING:
    from pytorch_lightning.loggers.mlflow import MLFlowLogger

_BATCH = 1000  # the most metrics that MLflow takes in one call
_LONGEST = 250  # what the logger cuts the values of options to
_ADDRESS = "MLFLOW_TRACKING_URI"


class MLflow(Watcher):
    """Logs to an MLflow server or a local store: `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db` shows it.

    It needs mlflow, or mlflow-skinny, and pytorch-lightning: `pip install 'mmtoolkit[log]'`. MLflow's names of metrics
    have no brackets and no colons; these become spaces.
    """

    kind: Literal["mlflow"] = "mlflow"

    tracking_uri: str | None = None
    """The address of the server or store. By default that of the environment variable MLFLOW_TRACKING_URI, else the
    SQLite file `mlflow.db` beside the run folder."""
    experiment: str = "mmtoolkit"
    """The experiment that the run belongs to; it is created if there is none."""
    name: str | None = None
    """The name of the run. By default that of the run folder."""
    figures_every: PositiveInt | None = None
    """Samples and reconstructions are drawn after every so many epochs. By default pictures come after training
    only."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One with a store in memory."""
        return (cls(tracking_uri="sqlite:///:memory:"),)

    def build(self) -> Listener:
        """A client of the server or store.

        Raises:
            UserError: a package is not installed.
        """
        packages = {"mlflow": "mlflow", "pytorch_lightning": "pytorch-lightning"}
        address = self._address
        if address is None or address.startswith("sqlite:"):
            packages |= {"sqlalchemy": "sqlalchemy", "alembic": "alembic"}  # mlflow-skinny comes without
        require(packages)
        return Client(self, address)

    @property
    def _address(self) -> str | None:
        return self.tracking_uri or os.environ.get(_ADDRESS) or None


class Client(Tracker):
    """Logs with the logger of pytorch-lightning.

    Args:
        options: of the watcher.
        address: of the server or store; None for a file beside the run folder.
    """

    def __init__(self, options: MLflow, address: str | None) -> None:
        super().__init__(options.figures_every)
        self.options, self.address = options, address
        self.names: dict[str, str] = {}
        self.places: dict[int, int] = {}  # step -> place of its last picture

    def open(self, start: TrainingStart) -> None:
        """Begin a run in the store, or go on with the one that an earlier process began."""
        folder = start.folder.resolve()
        address = self.address or f"sqlite:///{folder.parent / 'mlflow.db'}"
        mark = Bookmark(start.folder / "mlflow.json", f"{address} {self.options.experiment}")
        local = address.startswith("sqlite:")
        with contextlib.ExitStack() as stack:
            stack.enter_context(_quiet())
            if local:  # one process at a time makes the tables of a new store
                stack.enter_context(locked(folder.parent / ".mlflow.lock"))
            self.logger = _logger(
                experiment_name=self.options.experiment,
                run_name=self.options.name or folder.name,
                tracking_uri=address,
                run_id=mark.id,
                artifact_location=(folder.parent / "mlflow-artifacts").as_uri() if local else None,
            )
        self.client, self.run = self.logger.experiment, self.logger.run_id
        with _quiet():
            keys = {_clean(key): str(value)[:_LONGEST] for key, value in flat(options(start.schema))}
            if mark.id is None:
                self.logger.log_hyperparams(keys)
            else:
                self.client.update_run(self.run, "RUNNING")
                before = self.client.get_run(self.run).data.params  # MLflow lets nobody change them
                for key, value in keys.items():
                    if before.get(key) != value:
                        self.client.set_tag(self.run, f"resumed.{key}", value)
        mark.id = self.run
        mark.save()
        self.logged = mark

    def log(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Log metrics, in few calls: a local store takes milliseconds for each."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(self._name(n), v, now, step) for step, numbers in values.items() for n, v in numbers.items()]
        with _quiet():
            for place in range(0, len(metrics), _BATCH):
                self.client.log_batch(self.run, metrics=metrics[place : place + _BATCH])

    def draw(self, picture: Picture, step: int) -> None:
        """Log a PNG file, in a folder for the step."""
        place = self.places[step] = self.places.get(step, -1) + 1
        file = f"figures/step_{step:07}/{safe_name(picture.name, place)}.png"
        with _quiet():
            self.client.log_image(self.run, image(picture), artifact_file=file)

    def close(self, end: RunEnd) -> None:
        """Log how the run ended."""
        status = "success" if end.fault is None else "KILLED" if end.interrupted else "failed"
        with _quiet():
            if end.fault is not None:
                self.client.set_tag(self.run, "fault", end.fault)
            self.logger.finalize(status)

    def _name(self, name: str) -> str:
        """The name of a metric in MLflow; two names stay two."""
        if name not in self.names:
            clean, count = _clean(name), 1
            while clean in self.names.values():
                count += 1
                clean = f"{_clean(name)} {count}"
            self.names[name] = clean
        return self.names[name]


def _clean(name: str) -> str:
    """A name that MLflow takes: letters, digits, and `_ - . /` and spaces, as a path in its shortest form."""
    parts = (re.sub(r"[^\w.-]+", " ", part).strip(" .") for part in name.split("/"))
    return "/".join(part for part in parts if part)


def _logger(**arguments: Any) -> MLFlowLogger:
    """The logger, with its run begun."""
    import mlflow  # these take seconds to import
    from pytorch_lightning.loggers.mlflow import MLFlowLogger

    before = os.environ.get(_ADDRESS)
    try:
        logger = MLFlowLogger(**arguments)
        logger.run_id  # noqa: B018 (the first access begins the run)
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None unsets it; the logger sets it for the whole process
    return logger


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what MLflow prints away from the run's progress and from the output of `--json`."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # levels of loggers would not do: MLflow sets them while it is imported
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
