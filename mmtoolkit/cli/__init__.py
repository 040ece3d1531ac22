"""The command line: parse, call, print."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the command line; the exit status is 0, 2 for what the user can mend, 130 after Ctrl-C."""
    from mmtoolkit.cli.app import app, with_global_options_first

    # In the order in which --help shows them.
    for commands in ("runs", "sample", "study", "compare", "registry", "extend"):
        importlib.import_module(f"mmtoolkit.cli.{commands}")

    app(args=with_global_options_first(sys.argv[1:]), prog_name="mmt")
