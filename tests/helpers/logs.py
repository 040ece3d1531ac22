"""Runs that watchers follow, and what TensorBoard and CSV files hold."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from mmtoolkit import Listener, Schema
from runs import SMALL

STEPS = 6
"""The number of steps in an epoch."""
LABELS = [*SMALL, "modalities={label: {kind: label}}", "evaluate=[{kind: elbo}]"]


def watched(*watch: str, changes: tuple[str, ...] = ()) -> Schema:
    """A small schema with these watchers."""
    return mmtoolkit.read_schema("fashion_mini", [*LABELS, *changes, f"train.watch=[{', '.join(watch)}]"])


def history(run: Path) -> list[dict[str, Any]]:
    """The lines of history.jsonl."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


class Dies(Listener):
    """Ends a run at a step, as a fault would."""

    def __init__(self, step: int, error: type[BaseException] = RuntimeError) -> None:
        self.step, self.error = step, error

    def steps(self, steps: Any) -> None:
        if max(steps) >= self.step:
            raise self.error("here")


@contextmanager
def looks_at_every_step() -> Iterator[None]:
    """Watchers hear of each step at once, as they do when steps are slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmtoolkit.training.trainer._LOOK_SECONDS", -1.0)
        yield


def lines(run: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv, without empty cells."""
    with (run / "csv" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{name: cell for name, cell in line.items() if cell} for line in csv.DictReader(file)]


def events(folder: Path) -> Any:
    """TensorBoard's own view of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name -> (step, value) as TensorBoard shows them."""
    seen = events(folder)
    return {name: [(event.step, event.value) for event in seen.Scalars(name)] for name in seen.Tags()["scalars"]}
