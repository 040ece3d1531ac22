"""`mmt init`: writes a first schema for a table."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines, printable
from mmtoolkit.cli.app import app, out, plugins_of, say

_MOST_REMARKS = 20


@app.command(
    epilog="Examples:\n\n  mmt init flowers.csv\n\n  mmt init flowers.csv --out schemas/flowers.yaml --delimiter ';'"
)
def init(
    ctx: typer.Context,
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A file: CSV, TSV, JSON or JSON Lines (also compressed), Parquet, Arrow or Excel; or a folder of "
            "Parquet files.",
        ),
    ],
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="SCHEMA", help="The schema's file. Default: beside the table, NAME.yaml."),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="The character between cells of a CSV. Default: judged by its lines."),
    ] = None,
    quote: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="The character around cells of a CSV. Default: judged by its lines."),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(min=0, metavar="LINE", help="The line of a CSV with the names, from 1. 0: it has none."),
    ] = None,
    encoding: Annotated[str, typer.Option(help="The encoding of a CSV or JSON file, such as cp1252.")] = "utf-8",
    format_: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet, arrow, json, jsonl or xlsx. Default: by the file's ending."),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of an Excel file. Default: its first.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=10_000,
            metavar="M",
            help="The time that training may take on two cores. Default: what the table needs.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing schema.")] = False,
) -> None:
    """Write a first schema for your own table, with comments and ready to train."""
    from pydantic import ValidationError

    from mmtoolkit.base.files import make_folder, write_text
    from mmtoolkit.tables import Reading
    from mmtoolkit.tables.location import check_readable
    from mmtoolkit.tables.parts import files_of

    check_readable(table)
    if not all(map(os.path.isfile, files_of(table))):
        raise UserError(f"{table}: there is no such file; give the path of a table")
    plugins = plugins_of(ctx)
    from mmtoolkit.cli.tables import table as make_table
    from mmtoolkit.first_schema import first_schema, name_of

    beside = table if table.name not in ("", "..") else table.resolve()
    out_file = out_file or beside.with_name(f"{name_of(table)}.yaml")
    if os.path.lexists(out_file):
        if not overwrite:
            raise UserError(f"{out_file}: is there already; give --out another file, or --overwrite to replace it")
        if os.path.exists(out_file) and os.path.samefile(out_file, table):
            raise UserError(f"{out_file}: is the table; give --out another file")
    try:
        options = {"delimiter": _character(delimiter), "quote": quote, "head": head, "encoding": encoding}
        options |= {"format": format_, "sheet": sheet}
        reading = Reading.model_validate(options)
    except ValidationError as error:
        fault = error.errors()[0]
        text = fault["msg"].removeprefix("Value error, ")
        raise UserError(f"--{fault['loc'][0]} {fault['input']!r}: {text}") from None
    first = first_schema(table, out_file, reading, plugins, say, minutes)
    make_folder(out_file.parent)
    write_text(out_file, first.text)
    columns = make_table(str(table), "column", "kind", "missing ", "content")
    for choice in first.choices:
        kind = (choice.kind or "") if choice.used else "left out"
        columns.add_row(escape(choice.name), kind, f"{choice.missing:.0%}", escape(choice.proposal.about))
    out().print(columns)
    for note in first.notes:
        say(note)
    path = shlex.quote(str(out_file))
    out().print(f"[bold]{escape(str(out_file))}[/] is written. Read it, then run:", soft_wrap=True)
    out().print(escape(f"  mmt check {path}\n  mmt run {path}"), soft_wrap=True)
    remarks = [printable(f"  {choice.name}: {text}") for choice in first.choices for text in choice.proposal.remarks]
    if remarks:
        more = f"  and {len(remarks) - _MOST_REMARKS} more: see the comments in {out_file}"
        out().print("Look at these before you train:")
        out().print(escape("\n".join(first_lines(remarks, _MOST_REMARKS, more))), soft_wrap=True)


def _character(delimiter: str | None) -> str | None:
    """The delimiter; the word `tab`, and a backslash with a t, which no shell turns into a tab, mean a tab."""
    return "\t" if delimiter in ("\\t", "tab") else delimiter
