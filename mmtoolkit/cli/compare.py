"""`mmt compare`: prints runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mmtoolkit.cli.app import app, out, print_json, say
from mmtoolkit.cli.options import OverwriteOption

if TYPE_CHECKING:
    from rich.table import Table

    from mmtoolkit.compare.table import Line

# Characters between two columns of a table, at both edges, and of the narrowest label that is cut.
_GAP, _EDGES, _LABEL = 3, 2, 18


@app.command(
    epilog="Examples:\n\n  mmt compare runs/mvae runs/jmvae\n\n  mmt compare runs/* --out comparison.md\n\n"
    "  mmt compare runs/demo/evaluations/*.json"
)
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, trained models from `mmt list models`, or evaluations, RUN/evaluations/N.json.",
        ),
    ],
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the table to this .md or .csv file.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show runs side by side: every score, its best run, and the runs that differ significantly from the best."""
    from mmtoolkit.compare.comparison import compare as compare_runs
    from mmtoolkit.compare.table import LEGEND, check_comparison_output, document, lines, write_comparison

    if out_file is not None:
        check_comparison_output(out_file, overwrite)
    comparison = compare_runs(runs)
    if out_file is not None:
        write_comparison(comparison, out_file, overwrite)
    if json:
        print_json(document(comparison))
        return
    console = out()
    for part in _tables([run.name for run in comparison.runs], list(lines(comparison)), console.width):
        console.print(part)
    if len(comparison.runs) > 1:
        console.print(LEGEND)
    for note in comparison.notes:
        say(note)


def _tables(names: list[str], lines: list[Line], width: int) -> list[Table]:
    """Tables that each show every line, and as many runs as fit into the width of the terminal."""
    from mmtoolkit.cli.tables import table

    cell = max(len(text) for line in lines for text in line.texts)
    longest = max(len(line.label) for line in lines if line.texts)
    most = max(1, (width - _EDGES - min(longest, _LABEL)) // (cell + _GAP))
    room = width - _EDGES - min(most, len(names)) * (cell + _GAP)
    tables = []
    for start in range(0, len(names), most):
        chosen = slice(start, start + most)
        part = table("", "", *(f"{escape(name)} " for name in names[chosen]))
        part.columns[0].width = min(longest, max(room, _LABEL))
        for column in part.columns[1:]:
            column.max_width, column.no_wrap = cell, False  # long names wrap
        for line in lines:
            if not line.texts:
                part.add_row(f"\n[bold]{escape(line.label)}[/]")
                continue
            pairs = zip(line.texts[chosen], line.best[chosen], strict=True)
            part.add_row(escape(line.label), *(f"[bold]{escape(t)}[/]" if best else escape(t) for t, best in pairs))
        tables.append(part)
    return tables
