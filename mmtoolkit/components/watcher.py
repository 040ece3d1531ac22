"""The base class of watchers, which follow a run, and what they hear of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mmtoolkit.components.component import Component
from mmtoolkit.components.modality import Modality
from mmtoolkit.components.model import Model
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.source import Source


class RunSchema(Protocol):
    """The schema of a run, as a listener sees it: a `Schema`."""

    @property
    def name(self) -> str:
        """The name of the run."""

    @property
    def data(self) -> Source:
        """The source of its rows."""

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """Name -> modality, in schema order."""

    @property
    def model(self) -> Model:
        """The model over the modalities."""

    def to_yaml(self) -> str:
        """The whole schema as YAML, with every default filled in."""

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """The whole schema as nested dictionaries; with mode "json", of plain data."""


@dataclass(frozen=True, kw_only=True)
class TrainingStart:
    """The facts that a listener receives when training starts. Later versions may add fields.

    Attributes:
        folder: the run folder.
        schema: the resolved schema; None if the `Trainer` has none.
        epochs: the number of all epochs.
        done: the number of epochs that are complete already; 0 unless the run is resumed.
        steps: the number of steps in an epoch.
        rows: the number of training rows in an epoch.
        done_steps: the number of steps, over all epochs, that are complete already; those after them, which a killed
            run may have shown, come again with the same values.
        validation: what validation measures, in words: validation bound or filling score.
    """

    folder: Path
    schema: RunSchema | None
    epochs: int
    done: int
    steps: int
    rows: int
    done_steps: int = 0
    validation: str = "validation bound"


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """The facts that a listener receives when a run ends. Later versions may add fields.

    Attributes:
        results: the content of results.json; None if the run did not finish.
        fault: why the run did not finish, in words; None if it did.
        interrupted: whether it was stopped by Ctrl-C.
    """

    results: Mapping[str, Any] | None = None
    fault: str | None = None
    interrupted: bool = False


class BasicListener(Protocol):
    """What `run` and `Trainer` accept as `watcher`: an object with these three methods is enough."""

    def begin(self, start: TrainingStart) -> None:
        """As `Listener.begin`."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """As `Listener.look`."""

    def epoch(self, line: dict[str, Any]) -> None:
        """As `Listener.epoch`."""


class Listener:
    """Hears what happens in a run, in the process that trains. Override what you need; the other methods do nothing.

    A listener hears `begin` once, `steps`, `look` and `epoch` in training, `picture` once training has ended, and `end`
    last, also if the run is interrupted or fails. A run draws pictures in training too if the listener wants them.
    After a kill it hears no `end`. A resumed run has a new listener, whose `begin` says how much is done.
    """

    def begin(self, start: TrainingStart) -> None:
        """Called when training starts, or goes on after a resume."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Called about twice a second during an epoch.

        Args:
            epoch: the current epoch, from 1.
            step: the number of its completed steps.
            means: the loss and its parts, in nats, averaged over the epoch's rows so far.
        """

    def steps(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Called before each look and at the end of an epoch, with all steps since the last call.

        Args:
            steps: number of the step over all epochs, from 1 -> name -> value: the loss and its parts, in nats,
                averaged over the rows of the step, and what the optimiser used. In a run on several devices, the rows
                are those of the main process. A value that is not finite ends the run. Do not change it.
        """

    def epoch(self, line: dict[str, Any]) -> None:
        """Called at the end of an epoch.

        Args:
            line: the epoch's line of history.jsonl. Do not change it.
        """

    def wants_pictures(self, epoch: int) -> bool:
        """Whether to draw samples and reconstructions now, by the weights after this epoch. By default never.

        Drawing takes time, in which training stops. It changes no weights.
        """
        return False

    def picture(self, picture: Picture) -> None:
        """Called for each picture that `run` draws after training, before it is saved, and for those it wanted before.

        Do not change its figure. A `Trainer` that you use alone draws none, unless you pass it `draw`.
        """

    def end(self, end: RunEnd) -> None:
        """Called when `run` ends, however it ends. A `Trainer` that you use alone does not call it."""


class Watcher(Component):
    """The base class of watchers, which follow a run: they write what happens to a file or send it to a service.

    A watcher is the options; its `build` returns the `Listener` that hears the run. A watcher never changes a run's
    weights, so a resumed run may have others.
    """

    family: ClassVar[str] = "watcher"

    @abstractmethod
    def build(self) -> Listener:
        """Make the listener of one run. Open files and connections in its `begin`, which knows the run folder.

        Raises:
            UserError: a package that it needs is not installed.
        """
