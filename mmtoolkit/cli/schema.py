"""`mmt schema`: prints the JSON Schema of schema files."""

from __future__ import annotations

import sys

import typer

from mmtoolkit.cli.app import app, plugins_of, print_json


@app.command(epilog="Example:\n\n  mmt schema > schema.json")
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of schema files, for editors that complete and check YAML."""
    from mmtoolkit.schema.schema import json_schema

    print_json(json_schema(plugins_of(ctx)))
    sys.stdout.flush()
