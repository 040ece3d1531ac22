"""Runs one side: `python -m bench.child NAME OPTIONS`, with options in JSON."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

from bench.turns import LineOverError, Turns


def main() -> None:
    name, options = sys.argv[1], json.loads(sys.argv[2])
    turns = Turns()
    if name.startswith("multivae"):
        from bench.multivae import SIDES
    else:
        from bench.sides import SIDES
    with suppress(LineOverError):
        SIDES[name](turns, **options)


if __name__ == "__main__":
    main()
