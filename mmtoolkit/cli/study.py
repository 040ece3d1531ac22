"""`mmt study`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mmtoolkit.cli.app import app, out, plugins_of, print_json, say
from mmtoolkit.cli.runs import DeviceOption, JsonOption, SetOption
from mmtoolkit.errors import UserError

if TYPE_CHECKING:
    from mmtoolkit.study import Outcome, StudyResults
    from mmtoolkit.study_file import Study
    from mmtoolkit.study_grid import Cell
    from mmtoolkit.study_table import Number


_SHOWN_SCORES = 4


class _Lines:
    """A line on stderr for each run; what runs have to say is said once."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def begin(self, runs: int, done: int) -> None:
        """Say what is to be done."""
        self.runs, self.done = runs, done
        self.print(f"{runs} runs" + (f", {done} of them finished before" if done else ""))

    def share(self, cell: Cell, share: float) -> None:
        """Nothing within runs."""

    def ended(self, cell: Cell, outcome: Outcome, numbers: Sequence[Number]) -> None:
        """The run's line, and what is new of what it has to say."""
        self.done += 1
        for note in outcome.notes:
            if note not in self.said:
                self.said.add(note)
                self.print(f"{cell.title}: {note}")
        for fault in outcome.faults:
            self.print(f"{cell.title}: {fault}")
        found = [f"{n.score} {n.value:.4g}" for n in numbers if n.value is not None]
        more = f" (+{len(found) - _SHOWN_SCORES})" if len(found) > _SHOWN_SCORES else ""
        text = "failed" if outcome.faults else ", ".join(found[:_SHOWN_SCORES]) + more
        self.print(f"run {self.done}/{self.runs}  {cell.title}: {text}  ({outcome.seconds:.0f} s)")

    def close(self) -> None:
        """Nothing to close."""

    def print(self, line: str) -> None:
        """Print a line."""
        print(line, file=sys.stderr, flush=True)


class _Bar(_Lines):
    """A bar over the runs, under the lines of those that have ended."""

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


@app.command(
    epilog="Examples:\n\n  mmt study figure4-mnist-small\n\n  mmt study my_study.yaml --jobs 4 --set train.epochs=20"
)
def study(
    ctx: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or a name from `mmt list studies`.")],
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The study's folder. Default: runs/studies/NAME.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many runs at once, each in a process of its own.")] = 1,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Run a grid of runs to one table and one figure; what is done already is kept."""
    plugins = plugins_of(ctx)
    from mmtoolkit.study import run_study
    from mmtoolkit.study_grid import read_study

    read, cells = read_study(study, set_ or (), plugins)
    for note in dict.fromkeys(note for cell in cells for note in cell.schema.notes):
        say(note)
    folder = out_folder or Path("runs") / "studies" / read.name
    console = Console(stderr=True)
    watcher = _Bar(console) if console.is_terminal else _Lines()
    try:
        results = run_study(read, cells, folder, watcher, jobs, ctx.obj, device)
    except KeyboardInterrupt:
        watcher.close()
        if not (folder / "study.yaml").exists():
            raise
        files = [word for file in ctx.obj for word in ("--plugin", str(file))]
        again = ["mmt", *files, "study", str(folder / "study.yaml"), "--out", str(folder)]
        again += ["--jobs", str(jobs), "--device", device]
        say(f"interrupted; what was done is kept. Go on with: {shlex.join(again)}")
        raise typer.Exit(130) from None
    finally:
        watcher.close()
    for note in results.notes:
        say(note)
    if json:
        print_json(_as_data(read, results))
    else:
        _print(read, results)
    if results.failed:
        raise UserError(results.failed)


def _as_data(study: Study, results: StudyResults) -> dict[str, object]:
    return {
        "name": study.name,
        "folder": str(results.folder),
        "runs": [{**n.as_data(), "examples": n.examples} for n in results.numbers],
        "means": [n.as_data() for n in results.means],
        "notes": results.notes,
        "failed": results.failed,
    }


def _print(study: Study, results: StudyResults) -> None:
    from mmtoolkit.cli.tables import table
    from mmtoolkit.study_table import table_of

    head, lines = table_of(study, results.means)
    words = head.index("score") + 1 + len(study.axes) if head[0] == "score" else len(study.axes)
    made = table(study.name, *(name if place < words else f"{name} " for place, name in enumerate(head)))
    for line in lines:
        made.add_row(*map(escape, line))
    out().print(made)
    out().print(f"[bold]{escape(str(results.folder))}[/] has table.csv, table.md and figure.png", soft_wrap=True)
