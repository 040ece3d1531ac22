"""The command line of the bench: `make bench`, or `PYTHONPATH=benchmarks python -m bench`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench.against import PEER
from bench.lines import LINES, chosen
from bench.page import write_page
from bench.reading import Effort, written
from bench.results import FOLDER, Results


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measure how fast mmtoolkit is, line by line.")
    parser.add_argument("lines", nargs="*", help="lines, or what stands before their dot; by default all")
    parser.add_argument("--quick", action="store_true", help="few rows and repeats, to see that each line runs")
    parser.add_argument("--list", action="store_true", help="print the names of the lines")
    parser.add_argument("--fresh", action="store_true", help="begin again where an interrupted bench would go on")
    parser.add_argument("--results", type=Path, help="the folder of the results; by default that of the repository")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda prints a table of a GPU alone")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{line.name}: {line.about}" for line in LINES.values()))
        return
    if options.device == "cuda":
        from bench.gpu import print_table

        print_table()
        return
    if options.quick and options.results is None:
        parser.error("--quick measures nothing that should be kept; give --results FOLDER")
    try:
        lines = chosen(options.lines)
    except ValueError as error:
        parser.error(str(error))
    results = Results(options.results or FOLDER)
    if not options.lines:
        left = [] if options.fresh else results.left()
        if left:
            print(f"an interrupted bench goes on with {', '.join(left)}")
            lines = [line for line in lines if line.name in left]
        results.begin([line.name for line in lines])
    print(f"{results.machine['processor']}, {results.machine['cores']} cores; {results.versions}", flush=True)
    for line in lines:
        if line.peer and not PEER.exists():
            sys.exit(f"{line.name} needs MultiVae's environment; make it by `make .venv-multivae/ready`")
        begun = time.monotonic()
        measured = line.measure(Effort(options.quick))
        result = results.add(line.name, line.about, measured, time.monotonic() - begun)
        print(f"{line.name}: {line.about} [{result['seconds']} s]")
        print("\n".join(f"    {written(reading)}" for reading in result["readings"]), flush=True)
        if results.path.parent == FOLDER:
            write_page()


if __name__ == "__main__":
    main()
