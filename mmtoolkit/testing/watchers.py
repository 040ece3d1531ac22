"""Checks of a watcher."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmtoolkit.components import Listener, Picture, RunEnd, TrainingStart, Watcher
from mmtoolkit.testing.promises import round_trip

_EPOCHS, _STEPS, _ROWS = 2, 3, 30
_RESULTS = {
    "name": "kit",
    "parameters": {"total": 10, "inference": 5},
    "training": {"epochs": _EPOCHS, "kept_epoch": 2, "reason": "the last epoch is kept", "validation": None},
    "scores": [{"kind": "elbo", "options": {}, "split": "test", "results": [], "notes": []}],
}


class Subject:
    """A watcher under test.

    Args:
        watcher: any one; it writes into the folders of the kit's runs.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher


def listener_is_built(subject: Subject) -> Iterator[str]:
    """`build` returns a new Listener each time."""
    first, second = subject.watcher.build(), subject.watcher.build()
    if not isinstance(first, Listener):
        raise TypeError(f"build returns {type(first).__name__}, which is no mmtoolkit.Listener")
    if first is second:
        yield "build: must return a new listener for each run, but returned the same one twice; make it anew"


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged."""
    yield from round_trip(subject.watcher)


def events_are_heard_in_order(subject: Subject) -> Iterator[str]:
    """A listener hears a whole run, with and without a validation bound, and changes nothing that it hears."""
    for bound in (-3.5, None):
        with _folder() as folder:
            listener = subject.watcher.build()
            listener.begin(_start(folder))
            for epoch in range(1, _EPOCHS + 1):
                yield from _epoch(listener, epoch, bound)
            if not isinstance(listener.wants_pictures(1), bool):
                yield "wants_pictures: must return True or False"
            listener.picture(_picture())
            listener.end(RunEnd(results=copy.deepcopy(_RESULTS)))


def a_resumed_run_is_heard(subject: Subject) -> Iterator[str]:
    """A new listener goes on where a run was killed, in the same folder; so does one that has no epoch left."""
    with _folder() as folder:
        killed = subject.watcher.build()
        killed.begin(_start(folder))
        yield from _epoch(killed, 1, -3.5)
        killed.steps({_STEPS + 1: _values()})
        killed.look(2, 1, _means())
        for done in (1, 2):
            resumed = subject.watcher.build()
            resumed.begin(_start(folder, done))
            for epoch in range(done + 1, _EPOCHS + 1):
                yield from _epoch(resumed, epoch, -3.5)
            resumed.end(RunEnd(results=copy.deepcopy(_RESULTS)))


def a_run_that_fails_is_heard(subject: Subject) -> Iterator[str]:
    """A listener hears the end of a run that was interrupted, or failed before its first epoch was complete."""
    for epochs in (0, 1):
        with _folder() as folder:
            listener = subject.watcher.build()
            listener.begin(_start(folder))
            for epoch in range(1, epochs + 1):
                yield from _epoch(listener, epoch, None)
            listener.end(RunEnd(fault="interrupted", interrupted=True))


def generators_stay(subject: Subject) -> Iterator[str]:
    """No method draws from PyTorch's default generator, on which the weights depend."""
    before = torch.get_rng_state()
    for _ in events_are_heard_in_order(subject):
        pass
    if not torch.equal(torch.get_rng_state(), before):
        yield "listener: must leave PyTorch's default generator alone, but drew from it; use a generator of your own"


def _epoch(listener: Listener, epoch: int, bound: float | None) -> Iterator[str]:
    """The events of an epoch, and a sentence for each of their facts that the listener changes."""
    means, line = _means(), _line(epoch, bound)
    done = (epoch - 1) * _STEPS
    steps = {done + step: _values() for step in range(1, _STEPS)}
    unchanged = copy.deepcopy(steps)
    listener.steps(steps)
    listener.look(epoch, _STEPS - 1, means)
    listener.steps({done + _STEPS: _values()})
    listener.epoch(line)
    for what, now, was in (
        ("steps: values", steps, unchanged),
        ("look: means", means, _means()),
        ("epoch: line", line, _line(epoch, bound)),
    ):
        if now != was:
            yield f"{what} must stay as they are, since the run uses them, but changed; copy them first"


def _means() -> dict[str, float]:
    return {"loss": 4.0, "log p(label)": -3.0, "KL": 1.0}


def _values() -> dict[str, float]:
    """What is known of a step."""
    return {**_means(), "learning_rate": 0.001, "beta": 0.5}


def _line(epoch: int, bound: float | None) -> dict[str, Any]:
    """A line of history.jsonl."""
    return {
        "epoch": epoch,
        "loss": 4.0,
        "terms": {"log p(label)": -3.0, "KL": 1.0},
        "beta": 0.5,
        "learning_rate": 1e-3,
        "validation": bound,
        "seconds": 0.25,
        "rows_per_second": 120.0,
        "overhead_seconds": 0.01,
    }


def _start(folder: Path, done: int = 0) -> TrainingStart:
    """The start of a run whose schema is not known."""
    return TrainingStart(
        folder=folder, schema=None, epochs=_EPOCHS, done=done, steps=_STEPS, rows=_ROWS, done_steps=done * _STEPS
    )


def _picture() -> Picture:
    from matplotlib.figure import Figure  # it takes a second to import

    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, 1], [0, 1])
    return Picture("a line", "A line", "", figure)


@contextmanager
def _folder() -> Iterator[Path]:
    """A run folder that is removed afterwards, with what a watcher writes beside it."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        yield run


CHECKS = (
    listener_is_built,
    options_come_back,
    events_are_heard_in_order,
    a_resumed_run_is_heard,
    a_run_that_fails_is_heard,
    generators_stay,
)
