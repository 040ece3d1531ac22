"""The contract kit finds watchers that break their promises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from facts import assert_facts
from mmtoolkit import Listener, RunEnd, TrainingStart, Watcher, load_plugins
from mmtoolkit.testing import check_watcher, examine

DIARY = Path(__file__).parents[2] / "docs" / "examples" / "my_watcher.py"


class Watches(Watcher):
    """A watcher whose listener has a fault."""

    kind: Literal["watches"] = "watches"

    def build(self) -> Listener:
        listener: Listener = LISTENERS[0]()
        return listener


LISTENERS: list[Any] = [Listener]


class ReadsSchema(Listener):
    """It needs a schema."""

    def begin(self, start: TrainingStart) -> None:
        assert start.schema is not None
        start.schema.to_yaml()


class NeedsBound(Listener):
    """It needs validation rows."""

    def epoch(self, line: dict[str, Any]) -> None:
        round(line["validation"], 2)


class RefusesFolder(Listener):
    """It cannot go on in a folder of its own."""

    def begin(self, start: TrainingStart) -> None:
        (start.folder / "log").mkdir()


class NeedsResults(Listener):
    """It needs a run that finished."""

    def end(self, end: RunEnd) -> None:
        assert end.results is not None, "results"


class PopsLoss(Listener):
    """It changes what it hears."""

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        means.pop("loss", None)


class ScalesSteps(Listener):
    """It changes the values of steps."""

    def steps(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        for values in steps.values():
            values["loss"] *= 2  # type: ignore[index]


class WantsNothing(Listener):
    """It forgets to answer."""

    def wants_pictures(self, epoch: int) -> bool:
        return None  # type: ignore[return-value]


class Draws(Listener):
    """It changes the weights of the run."""

    def epoch(self, line: dict[str, Any]) -> None:
        torch.rand(1)


@pytest.mark.parametrize(
    ("listener", "facts"),
    [
        (ReadsSchema, ("begin",)),
        (NeedsBound, ("epoch",)),
        (RefusesFolder, ("killed", "begin")),
        (NeedsResults, ("interrupted", "results")),
        (PopsLoss, ("look: means", "copy")),
        (ScalesSteps, ("steps: values", "copy")),
        (WantsNothing, ("wants_pictures", "True or False")),
        (Draws, ("generator",)),
        (str, ("build returns str",)),
    ],
)
def test_broken_promises(listener: Any, facts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LISTENERS", [listener])
    with pytest.raises(AssertionError) as error:
        check_watcher(Watches())
    assert_facts(str(error.value), *facts)


def test_sound_watchers_pass() -> None:
    check_watcher(Watches())
    diary = load_plugins([DIARY]).of_family("watcher")["diary"]
    outcomes = list(examine(diary.model_validate({})))
    assert len(outcomes) == 6
    assert not any(outcome.faults for outcome in outcomes)
