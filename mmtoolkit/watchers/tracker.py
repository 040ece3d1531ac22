"""What all trackers share: the names under which they log a run, its pictures, and what they have logged already."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import write_json
from mmtoolkit.base.score_names import entry_name
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.watcher import Listener, RunEnd, RunSchema, TrainingStart

if TYPE_CHECKING:
    from PIL.Image import Image

SCORE = "score/"
"""What the names of the scores begin with."""


class Tracker(Listener, ABC):
    """Hears a run and logs it: values at numbers of steps, and pictures.

    A value of a step has the name `step/NAME`, one of an epoch `epoch/NAME`, and a score of the finished run
    `score/EVALUATOR/NAME`. Values of an epoch and scores stand at the last step before them.

    Args:
        figures_every: pictures are drawn after every so many epochs; None for never in training.
    """

    def __init__(self, figures_every: int | None = None) -> None:
        self.figures_every = figures_every
        self.logged = Logged()

    @abstractmethod
    def open(self, start: TrainingStart) -> None:
        """Open the log of a run, and log its options. To leave out what an earlier process logged, set `logged`."""

    @abstractmethod
    def log(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Log values: number of the step -> name -> value."""

    def draw(self, picture: Picture, step: int) -> None:
        """Log a picture. By default it is left out."""

    @abstractmethod
    def close(self, end: RunEnd) -> None:
        """Close the log."""

    def begin(self, start: TrainingStart) -> None:
        """Open the log."""
        self.epoch_steps, self.step = start.steps, start.done_steps
        self.open(start)

    def steps(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Log the values of the steps."""
        self.step = max(steps)
        new = {step: _named("step", values) for step, values in steps.items() if step > self.logged.step}
        if new:
            self.log(new)
            self.logged.step = self.step
            self.logged.save()

    def epoch(self, line: dict[str, Any]) -> None:
        """Log the numbers of the epoch."""
        self.step = line["epoch"] * self.epoch_steps
        if line["epoch"] > self.logged.epoch:
            numbers = {key: value for key, value in line.items() if key not in ("epoch", "terms")}
            values = {**_named("epoch", numbers), **_named("epoch", line["terms"])}
            self.log({self.step: {"epoch": line["epoch"], **values}})
            self.logged.epoch = line["epoch"]
            self.logged.save()

    def wants_pictures(self, epoch: int) -> bool:
        """Whether this is one of the epochs of `figures_every`."""
        return self.figures_every is not None and epoch % self.figures_every == 0

    def picture(self, picture: Picture) -> None:
        """Log the picture at the last step."""
        self.draw(picture, self.step)

    def end(self, end: RunEnd) -> None:
        """Log the scores, and close the log."""
        scores = dict(_scores(end.results)) if end.results is not None else {}
        if scores:
            self.log({self.step: scores})
        self.close(end)


class Logged:
    """The last step and the last epoch that a log holds; at first none."""

    def __init__(self, step: int = 0, epoch: int = 0) -> None:
        self.step, self.epoch = step, epoch

    def save(self) -> None:
        """Nothing to save: a resumed run removes from its log what it will repeat."""


class Bookmark(Logged):
    """`Logged`, in a file of the run folder: for a log from which nothing can be removed.

    A resumed run repeats steps with the values that they had, so it leaves out those that are logged already.

    Args:
        path: the file; it may hold several logs.
        log: which log it is, such as the address of its service.
    """

    def __init__(self, path: Path, log: str) -> None:
        self.path, self.log = path, log
        mine = self._logs().get(log, {})
        super().__init__(mine.get("step", 0), mine.get("epoch", 0))
        self.id: str | None = mine.get("id")
        """The identity of the run in the tracker; None if it is new there."""

    def save(self) -> None:
        """Write the file."""
        mine = {"id": self.id, "step": self.step, "epoch": self.epoch}
        write_json(self.path, {**self._logs(), self.log: mine})

    def _logs(self) -> dict[str, Any]:
        logs: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        return logs


def require(packages: Mapping[str, str]) -> None:
    """Raise if a package is not installed, and say how to install it.

    Args:
        packages: name of the import -> name of the package.

    Raises:
        UserError: one of them is not installed.
    """
    missing = [package for name, package in packages.items() if find_spec(name) is None]
    if missing:
        raise UserError(
            f"needs the package {missing[0]}, which is not installed; install it with pip install 'mmtoolkit[log]', "
            f"or alone with pip install {' '.join(missing)}"
        )


def options(schema: RunSchema | None) -> dict[str, Any]:
    """The resolved schema as nested plain data, without its watchers; empty if there is no schema."""
    if schema is None:
        return {}
    data = schema.model_dump(mode="json")
    return {**data, "train": {key: value for key, value in data["train"].items() if key != "watch"}}


def flat(options: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The options with the keys that `--set` takes, such as `train.batch_size`; a list of plain values stays one."""
    entries = options.items() if isinstance(options, Mapping) else enumerate(options)
    for name, value in entries:
        place = f"{key}.{name}" if key else str(name)
        nested = isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(v, Mapping) for v in value))
        if nested and value:
            yield from flat(value, place)
        else:
            yield place, value


def image(picture: Picture) -> Image:
    """The picture in pixels, RGB."""
    from PIL import Image

    content = io.BytesIO()
    picture.figure.savefig(content, format="png")
    return Image.open(content).convert("RGB")


def _named(group: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are numbers, each with the name GROUP/NAME."""
    return {f"{group}/{name}": float(v) for name, v in values.items() if isinstance(v, (int, float))}


def _scores(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The scores of results.json with their names. One whose name was there before gets a number."""
    counts: dict[str, int] = {}
    for score in results["scores"]:
        for result in score["results"]:
            if result.get("value") is not None:
                name = f"{SCORE}{score['kind']}/{entry_name(result)}"
                counts[name] = counts.get(name, 0) + 1
                yield (name if counts[name] == 1 else f"{name} ({counts[name]})"), float(result["value"])
