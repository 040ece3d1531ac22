"""`mmt study`: trains a grid of runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import app, out, plugins_of, print_json, say
from mmtoolkit.cli.options import DeviceOption, JsonOption, SetOption, ThreadsOption
from mmtoolkit.cli.progress import StudyBar, StudyLines

if TYPE_CHECKING:
    from mmtoolkit.study.file import Study
    from mmtoolkit.study.running import StudyResults


_LABEL = 9  # characters that a label keeps in a narrow terminal


@app.command(
    epilog="Examples:\n\n  mmt study figure4-mnist-small\n\n  mmt study my_study.yaml --jobs 4 --set train.epochs=20"
    "\n\n  mmt study zoo --base my_schema.yaml"
)
def study(
    ctx: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or a name from `mmt list studies`.")],
    base: Annotated[
        str | None, typer.Option(metavar="SCHEMA", help="A schema file, or a name, in place of the study's base.")
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The study's folder. Default: runs/studies/NAME.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many runs at once, each in a process of its own.")] = 1,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Train a grid of runs, and write one table and one figure; finished runs do not train again."""
    plugins = plugins_of(ctx)
    from mmtoolkit.study.grid import read_study
    from mmtoolkit.study.running import run_study

    read, cells = read_study(study, set_ or (), plugins, base)
    for note in dict.fromkeys(note for cell in cells for note in cell.schema.notes):
        say(note)
    folder = out_folder or Path("runs") / "studies" / read.name
    console = Console(stderr=True)
    watcher = StudyBar(console) if console.is_terminal else StudyLines()
    try:
        results = run_study(read, cells, folder, watcher, jobs, ctx.obj, device, threads)
    except KeyboardInterrupt:
        watcher.close()
        if not (folder / "study.yaml").exists():
            raise
        files = [word for file in ctx.obj for word in ("--plugin", str(file))]
        again = ["mmt", *files, "study", str(folder / "study.yaml"), "--out", str(folder)]
        again += ["--jobs", str(jobs), "--device", device]
        again += [] if threads is None else ["--threads", str(threads)]
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
    from mmtoolkit.study.table import table_of

    head, lines = table_of(study, results.means)
    words = head.index("score") + 1 + len(study.axes) if head[0] == "score" else len(study.axes)
    means = table(study.name, *(name if place < words else f"{name} " for place, name in enumerate(head)))
    for place, column in enumerate(means.columns):
        if place < words:  # the numbers beside it would take all the room of a narrow terminal
            column.min_width = min(max((len(line[place]) for line in lines), default=0), _LABEL)
        column.no_wrap = False
    for line in lines:
        means.add_row(*map(escape, line))
    out().print(means)
    out().print(f"[bold]{escape(str(results.folder))}[/] has table.csv, table.md and figure.png", soft_wrap=True)
