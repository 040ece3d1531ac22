"""What a run tells its listeners in training: every step, and pictures to those that want some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from matplotlib.figure import Figure

import mmtoolkit
from logs import STEPS, looks_at_every_step, watched
from mmtoolkit import Listener, Picture, Watcher
from mmtoolkit.training.listeners import Listeners
from mmtoolkit.training.tally import Tally


class Steps(Listener):
    """Records steps and looks."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.values: dict[int, Mapping[str, float]] = {}

    def steps(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        self.events.append(list(steps))
        self.values |= steps

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        self.events.append(("look", epoch, step))

    def epoch(self, line: dict[str, Any]) -> None:
        self.events.append(("epoch", line["epoch"]))


def test_a_tally_hands_out_each_step_once_with_its_facts() -> None:
    tally = Tally({})
    tally.add(torch.tensor(3.0), {"KL": torch.tensor(1.0)}, 50, 0, {"beta": 0.5})
    tally.add(torch.tensor(5.0), {"KL": torch.tensor(2.0)}, 10, 1, {"beta": 0.75})
    assert tally.totals() == {"loss": 200.0, "KL": 70.0}
    assert tally.steps() == {1: {"loss": 3.0, "KL": 1.0, "beta": 0.5}, 2: {"loss": 5.0, "KL": 2.0, "beta": 0.75}}
    assert tally.steps() == {}
    tally.add(torch.tensor(7.0), {"KL": torch.tensor(0.0)}, 1, 2)
    assert tally.steps() == {3: {"loss": 7.0, "KL": 0.0}}
    assert tally.totals() == {"loss": 207.0, "KL": 70.0}


def test_every_step_is_heard_before_its_look_and_its_epoch(tmp_path: Path) -> None:
    hears = Steps()
    with looks_at_every_step():
        mmtoolkit.run(watched(), tmp_path / "run", watcher=hears, figures=False)
    expected: list[Any] = []
    for epoch in (1, 2):
        for step in range(1, STEPS + 1):
            expected += [[(epoch - 1) * STEPS + step], ("look", epoch, step)]
        expected.append(("epoch", epoch))
    assert hears.events == expected
    warmup = [hears.values[step]["beta"] for step in range(1, 2 * STEPS + 1)]
    assert warmup == [pytest.approx(step / STEPS) for step in range(STEPS)] + [1.0] * STEPS
    assert set(hears.values[1]) == {"loss", "log p(label)", "KL", "learning_rate", "beta"}


class Draws(Listener):
    """Wants pictures after even epochs."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def wants_pictures(self, epoch: int) -> bool:
        return epoch % 2 == 0

    def picture(self, picture: Picture) -> None:
        self.names.append(picture.name)


def _pictures() -> Iterator[Picture]:
    yield Picture("one", "One", "", Figure())


def test_only_those_who_want_pictures_get_them_and_only_then_are_they_drawn() -> None:
    class Wants(Watcher):
        kind: Literal["wants"] = "wants"

        def build(self) -> Listener:
            return draws

    class Never(Draws):
        def wants_pictures(self, epoch: int) -> bool:
            return False

    draws, never, calls = Draws(), Never(), []

    def draw() -> Iterator[Picture]:
        calls.append("drawn")
        return _pictures()

    listeners = Listeners(never, [Wants()], print)
    for epoch in (1, 2, 3, 4):
        listeners.draw(epoch, draw)
    assert (draws.names, never.names, calls) == (["one", "one"], [], ["drawn", "drawn"])


def test_pictures_that_cannot_be_drawn_stop_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: Any) -> Iterator[Picture]:
        raise ValueError("no colour")

    monkeypatch.setattr("mmtoolkit.runs.pictures.pictures_in_training", fails)
    messages: list[str] = []
    mmtoolkit.run(watched(), tmp_path / "run", watcher=Draws(), say=messages.append, figures=False)
    (line,) = [line for line in messages if "picture" in line]
    assert line == "the pictures after epoch 2 cannot be drawn: ValueError: no colour; the run goes on"


def test_pictures_in_training_show_the_weights_of_then(tmp_path: Path) -> None:
    class Looks(Draws):
        def wants_pictures(self, epoch: int) -> bool:
            return True

    looks = Looks()
    mmtoolkit.run(watched(), tmp_path / "run", watcher=looks, figures=False)
    assert looks.names == ["samples", "from label"] * 2
