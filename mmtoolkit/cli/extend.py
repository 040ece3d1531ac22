"""`mmt plugins` and `mmt schema`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from mmtoolkit.cli.app import app, out, plugins_of, print_json


@app.command(epilog="Example:\n\n  mmt plugins --plugin my_modality.py")
def plugins(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show the components that are installed, and where each comes from."""
    from mmtoolkit.cli.tables import table

    found = plugins_of(ctx)
    rows = [
        {
            "kind": kind,
            "family": family,
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "distribution": found.origins[cls].distribution,
            "version": found.origins[cls].version,
        }
        for (family, kind), cls in sorted(found.components.items())
    ]
    if json:
        print_json({"components": rows, "broken": found.broken})
        return
    made = table("components", "kind", "family", "class", "distribution", "version")
    for row in rows:
        made.add_row(*map(escape, row.values()))
    out().print(made)


@app.command(epilog="Example:\n\n  mmt schema > schema.json")
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of schema files, for editors that complete and check YAML."""
    from mmtoolkit.schema import json_schema

    print_json(json_schema(plugins_of(ctx)))
    sys.stdout.flush()
