"""The command line: parse, call, print."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the command line; the exit status is 0, 2 for what the user can mend, 130 after Ctrl-C."""
    from mmtoolkit.cli.app import app, with_global_options_first

    for commands in ("runs", "registry", "extend"):  # the order in which --help shows them
        importlib.import_module(f"mmtoolkit.cli.{commands}")

    app(args=with_global_options_first(sys.argv[1:]), prog_name="mmt")
