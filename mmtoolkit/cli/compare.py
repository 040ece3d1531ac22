"""`mmt compare`: runs side by side."""

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

# What a table takes between two columns and at both edges, and a label at least where there is more to it.
_GAP, _EDGES, _LABEL = 3, 2, 18


@app.command(
    epilog="Examples:\n\n  mmt compare runs/mvae runs/jmvae\n\n  mmt compare runs/* --out comparison.md\n\n"
    "  mmt compare runs/demo/evaluations/*.json"
)
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, or evaluations of them, RUN/evaluations/N.json."),
    ],
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A .md or .csv file to write it to as well.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show runs side by side: every score, the best of each, and which others differ from it significantly."""
    from mmtoolkit.compare.comparison import compare as compared
    from mmtoolkit.compare.table import LEGEND, check_comparison_output, document, lines, write_comparison

    if out_file is not None:
        check_comparison_output(out_file, overwrite)
    found = compared(runs)
    if out_file is not None:
        write_comparison(found, out_file, overwrite)
    if json:
        print_json(document(found))
        return
    console = out()
    for made in _tables([run.name for run in found.runs], list(lines(found)), console.width):
        console.print(made)
    if len(found.runs) > 1:
        console.print(LEGEND)
    for note in found.notes:
        say(note)


def _tables(names: list[str], shown: list[Line], width: int) -> list[Table]:
    """As many tables as it takes: each shows every line, and of the runs as many as the terminal is wide for."""
    from mmtoolkit.cli.tables import table

    cell = max(len(text) for line in shown for text in line.texts)
    longest = max(len(line.label) for line in shown if line.texts)
    most = max(1, (width - _EDGES - min(longest, _LABEL)) // (cell + _GAP))
    left = width - _EDGES - min(most, len(names)) * (cell + _GAP)
    tables = []
    for start in range(0, len(names), most):
        chosen = slice(start, start + most)
        made = table("", "", *(f"{escape(name)} " for name in names[chosen]))
        made.columns[0].width = min(longest, max(left, _LABEL))
        for column in made.columns[1:]:
            column.max_width, column.no_wrap = cell, False  # a long name is folded
        for line in shown:
            if not line.texts:
                made.add_row(f"\n[bold]{escape(line.label)}[/]")
                continue
            pairs = zip(line.texts[chosen], line.best[chosen], strict=True)
            made.add_row(escape(line.label), *(f"[bold]{escape(t)}[/]" if best else escape(t) for t, best in pairs))
        tables.append(made)
    return tables
