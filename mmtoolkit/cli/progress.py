"""Progress of a command: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmtoolkit.base.meter import Meter
from mmtoolkit.cli.app import say

if TYPE_CHECKING:
    from mmtoolkit.components import TrainingStart
    from mmtoolkit.study.grid import Cell
    from mmtoolkit.study.process import Outcome
    from mmtoolkit.study.table import Number

_MOST_TERMS = 4
_MOST_SCORES = 4


def _terms(loss: float, terms: dict[str, float]) -> str:
    pairs = list(terms.items())
    more = len(pairs) - _MOST_TERMS
    if more > 0:
        pairs = [*pairs[: _MOST_TERMS - 1], pairs[-1]]
    text = "  ".join([f"loss {loss:.2f}", *(f"{name} {value:.2f}" for name, value in pairs)])
    return text + (f"  (+{more} terms)" if more > 0 else "")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class PlainWatcher:
    """Prints a line on stderr for each epoch."""

    def close(self) -> None:
        """Nothing to close."""

    def begin(self, start: TrainingStart) -> None:
        """Print the number of epochs, steps and rows."""
        self.epochs, self.first, self.start = start.epochs, start.done, time.monotonic()
        self.measure = start.validation
        say(f"training: {start.epochs - start.done} epochs of {start.steps} steps over {start.rows:,} rows")

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Nothing between epochs."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Print the epoch's line."""
        number = line["epoch"]
        left = (time.monotonic() - self.start) / max(number - self.first, 1) * (self.epochs - number)
        validation = "" if line["validation"] is None else f"  {self.measure} {line['validation']:.2f}"
        say(
            f"epoch {number}/{self.epochs}  {_terms(line['loss'], line['terms'])}{validation}  "
            f"beta {line['beta']:.2f}  {line['rows_per_second']:,.0f} rows/s  {_clock(left)} left"
        )


class BarWatcher:
    """Shows a progress bar on stderr, with the numbers of the last epoch."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            TextColumn("{task.fields[info]}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
        )
        self.task: TaskID | None = None

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()

    def begin(self, start: TrainingStart) -> None:
        """Show the bar."""
        self.epochs, self.steps, self.last = start.epochs, start.steps, ""
        self.measure = start.validation.removeprefix("validation ")
        self.bar.start()
        total, completed = start.epochs * start.steps, start.done * start.steps
        self.task = self.bar.add_task(
            f"epoch {start.done + 1}/{start.epochs}", total=total, completed=completed, info=""
        )

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Move the bar."""
        terms = dict(means)
        self._show(epoch, (epoch - 1) * self.steps + step, terms.pop("loss"), terms)

    def epoch(self, line: dict[str, Any]) -> None:
        """Show the epoch's means; its validation and speed stay until the next epoch ends."""
        validation = "" if line["validation"] is None else f"{self.measure} {line['validation']:.2f}  "
        self.last = f"{validation}{line['rows_per_second']:,.0f} rows/s"
        number = line["epoch"]
        self._show(number, number * self.steps, line["loss"], line["terms"])
        if number == self.epochs:
            self.bar.stop()

    def _show(self, epoch: int, completed: int, loss: float, terms: dict[str, float]) -> None:
        assert self.task is not None
        info = f"{_terms(loss, terms)}  {self.last}"
        self.bar.update(self.task, completed=completed, description=f"epoch {epoch}/{self.epochs}", info=info)


def watcher() -> PlainWatcher | BarWatcher:
    """A bar if stderr is a terminal, else plain lines."""
    console = Console(stderr=True, highlight=False)
    return BarWatcher(console) if console.is_terminal else PlainWatcher()


class BarMeter(Meter):
    """A meter that moves a bar and prints no line."""

    def __init__(self, bars: Progress, say: Callable[[str], None], what: str, total: int) -> None:
        super().__init__(say, what, total)
        self.bars, self.task = bars, bars.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        """Move the bar by the units since the last call."""
        self.done += count
        self.bars.update(self.task, completed=self.done)


@contextlib.contextmanager
def row_meter() -> Iterator[Callable[[Callable[[str], None], str, int], Meter]]:
    """A function that makes a meter of rows: a bar if stderr is a terminal, else a plain `Meter`."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Meter
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        yield partial(BarMeter, bars)


class StudyLines:
    """Prints a line on stderr for each run, and each note of the runs once."""

    def __init__(self) -> None:
        self.notes: set[str] = set()

    def begin(self, runs: int, done: int) -> None:
        """Print the number of runs, and of those that have finished."""
        self.runs, self.done = runs, done
        self.print(f"{runs} runs" + (f", {done} of them finished before" if done else ""))

    def share(self, cell: Cell, share: float) -> None:
        """Nothing within runs."""

    def ended(self, cell: Cell, outcome: Outcome, numbers: Sequence[Number]) -> None:
        """Print the run's new notes and faults, then its line."""
        self.done += 1
        for note in outcome.notes:
            if note not in self.notes:
                self.notes.add(note)
                self.print(f"{cell.title}: {note}")
        for fault in outcome.faults:
            self.print(f"{cell.title}: {fault}")
        scores = [f"{n.score} {n.value:.4g}" for n in numbers if n.value is not None]
        more = f" (+{len(scores) - _MOST_SCORES})" if len(scores) > _MOST_SCORES else ""
        text = "failed" if outcome.faults else ", ".join(scores[:_MOST_SCORES]) + more
        self.print(f"run {self.done}/{self.runs}  {cell.title}: {text}  ({outcome.seconds:.0f} s)")

    def close(self) -> None:
        """Nothing to close."""

    def print(self, line: str) -> None:
        """Print a line."""
        say(line)


class StudyBar(StudyLines):
    """Shows a bar over the runs, under the lines of those that have ended."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(compact=True),
            console=console,
        )

    def begin(self, runs: int, done: int) -> None:
        """Show the bar."""
        super().begin(runs, done)
        self.task = self.bar.add_task(f"{runs - done} runs", total=runs, completed=done)
        self.bar.start()

    def share(self, cell: Cell, share: float) -> None:
        """Move the bar within a run."""
        text = f"{self.done + 1}/{self.runs}  {cell.title}"
        self.bar.update(self.task, completed=self.done + share, description=text)

    def ended(self, cell: Cell, outcome: Outcome, numbers: Sequence[Number]) -> None:
        """Move the bar to the end of a run."""
        super().ended(cell, outcome, numbers)
        self.bar.update(self.task, completed=self.done)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()

    def print(self, line: str) -> None:
        """Print a line over the bar."""
        self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
