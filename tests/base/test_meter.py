"""Progress of a long task: the lines, and how often they come."""

from __future__ import annotations

import pytest

from mmtoolkit import Meter
from mmtoolkit.base import meter


class Clock:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(meter, "time", stopped)
    return stopped


def test_a_line_has_the_count_the_total_and_the_time_left(clock: Clock) -> None:
    lines: list[str] = []
    counting = Meter(lines.append, "imputation", 2000)
    clock.now += 20
    counting.advance(500)
    assert lines == ["imputation: 500 of 2,000 rows, about 60 s left"]


def test_there_is_at_most_one_line_each_quarter_of_a_minute(clock: Clock) -> None:
    lines: list[str] = []
    counting = Meter(lines.append, "training", 100, "steps")
    for _ in range(100):
        clock.now += 1
        counting.advance()
    assert [line.split(" of ")[0] for line in lines] == [f"training: {done}" for done in (15, 30, 45, 60, 75, 90)]
    assert lines[0] == "training: 15 of 100 steps, about 85 s left"


@pytest.mark.parametrize(("seconds", "count"), [(14, 500), (20, 2000), (20, 0)])
def test_short_finished_and_unbegun_tasks_report_nothing(clock: Clock, seconds: int, count: int) -> None:
    lines: list[str] = []
    counting = Meter(lines.append, "imputation", 2000)
    clock.now += seconds
    counting.advance(count)
    assert (lines, counting.done) == ([], count)
