"""The command line: it parses arguments, calls the library and prints results."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

MODULES = (
    "init",
    "runs",
    "impute",
    "explain",
    "score",
    "sample",
    "export",
    "pack",
    "study",
    "compare",
    "catalogue",
    "plugins",
    "schema",
)
"""The modules of this package that define commands, in the order of --help."""


def application() -> typer.Typer:
    """The application with all built-in commands; a plugin's command loads when you call it."""
    from mmtoolkit.cli.app import app

    for module in MODULES:
        importlib.import_module(f"mmtoolkit.cli.{module}")
    return app


def main() -> None:
    """Run the command line. The exit status is 0, 2 for a fault that you can mend, or 130 after Ctrl-C."""
    # OpenMP reads this when PyTorch is imported. Otherwise its threads spin while they wait, and hold cores that other
    # processes and their own work need: beside two busy neighbours, two threads trained at half the speed of one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app = application()
    from mmtoolkit.cli.app import with_global_options_first

    app(args=with_global_options_first(sys.argv[1:]), prog_name="mmt")
