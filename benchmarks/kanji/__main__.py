"""The command line of `python benchmarks/mixed.py`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.results import file_name, machine, versions
from filling.columns import Table, read_table
from filling.filled import Effort, Filled, complete, holed
from filling.masks import mask_of
from filling.scores import errors
from kanji.dictionary import DICTIONARY, draw_rows, frame_of, read_characters
from kanji.page import FOLDER, section, write_page
from kanji.pictures import FONT, draw_characters
from kanji.summary import gains, mean_gain, rounded, scores
from kanji.views import PEERS, VIEWS

_SEED = 0
_QUICK_ROWS = 120
_BUSY = 0.5  # processes that run on average, from which seconds say little


def main() -> None:
    parser = argparse.ArgumentParser(prog="mixed", description="Measure what pictures and texts add to other columns.")
    parser.add_argument("--rows", type=int, default=3000, help="characters, drawn at random: %(default)s")
    parser.add_argument("--masks", type=int, default=2, help="how often cells are hidden: %(default)s")
    parser.add_argument("--views", default=",".join(VIEWS), help="what mmtoolkit sees: %(default)s")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="for `mmt run`: by default none",
    )
    parser.add_argument("--threads", type=int, default=1, help="of missForest: %(default)s")
    parser.add_argument("--dictionary", type=Path, default=DICTIONARY, help="in the format of KANJIDIC: %(default)s")
    parser.add_argument("--font", type=Path, default=FONT, help="with Japanese characters: %(default)s")
    parser.add_argument("--results", type=Path, default=FOLDER, help="a folder for the results: %(default)s")
    parser.add_argument("--quick", action="store_true", help="120 rows, one mask, one epoch, to see that it runs")
    options = parser.parse_args()
    views = options.views.split(",")
    if strange := [name for name in views if name not in VIEWS]:
        parser.error(f"there is no view {strange[0]!r}; the views are {', '.join(VIEWS)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            characters = read_characters(options.dictionary)
            rows = draw_rows(characters, _QUICK_ROWS if options.quick else options.rows, _SEED)
            pictures = draw_characters(rows, options.font, folder)
        except FileNotFoundError as error:
            parser.error(str(error))
        table = read_table("kanji", frame_of(rows, pictures))
        masks = 1 if options.quick else options.masks
        efforts = [Effort(mask, options.threads, options.quick) for mask in range(masks)]
        result = rounded(_measure(table, views, efforts, options.settings, folder))
    print(f"\n{section(result)}\n", flush=True)
    _write(options.results, result, page=options.results == FOLDER)


def _measure(
    table: Table, views: list[str], efforts: list[Effort], settings: list[str], folder: Path
) -> dict[str, Any]:
    """The result of all methods on all masks; each mask has the seed of an effort."""
    methods = [*PEERS, *views]
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY
    of_method: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in methods}
    seconds: dict[str, list[float]] = defaultdict(list)
    schemas = {}
    for effort in efforts:
        hidden = mask_of(table, effort.seed)
        known = holed(table, hidden)
        for name in methods:
            if name in VIEWS:
                place = folder / f"{name}-{effort.seed}"
                shutil.copytree(folder / "pictures", place / "pictures")
                filled = VIEWS[name].fill(known, effort, place, settings)
                schemas[name] = (place / "table.yaml").read_text(encoding="utf-8")
            else:
                filled = PEERS[name].fill(known, effort)
            for column, cells in errors(table, hidden, complete(filled.values, known)).items():
                of_method[name][column] += cells
            seconds[name].append(_seconds(filled))
            print(f"mask {effort.seed}, {name}: {seconds[name][-1]:.0f} s", flush=True)
    numbers = table.numbers
    pairs = [("both", "scalars"), ("texts", "scalars"), ("pictures", "scalars")]
    pairs += [("both", "missforest"), ("scalars", "missforest")]
    differences = {
        f"{ours} {theirs}": gains(of_method[ours], of_method[theirs], numbers)
        for ours, theirs in pairs
        if ours in views and theirs in methods
    }
    installed = versions()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {
            "mmtoolkit": f"{installed['mmtoolkit']} at {installed['commit']}",
            **{package: version(package) for package in ("torch", "scikit-learn")},
            "python": installed["python"],
        },
        "rows": len(table.texts),
        "masks": len(efforts),
        "settings": settings,
        "busy": busy,
        "columns": {
            column: {
                "numbers": column in numbers,
                "missing": float(values.isna().mean()),
                "hidden": len(of_method["mode"][column]),
            }
            for column, values in table.values.items()
            if column in of_method["mode"]  # else none of its cells is hidden
        },
        "schemas": schemas,
        "methods": {
            name: {
                "seconds": sum(seconds[name]) / len(seconds[name]),
                "scores": scores(of_method[name], numbers),
            }
            for name in methods
        },
        "gains": {
            pair: {
                "columns": of_columns,
                "accuracy": mean_gain(of_columns, of_columns.keys() - numbers),
                "nrmse": mean_gain(of_columns, numbers),
            }
            for pair, of_columns in differences.items()
        },
    }


def _seconds(filled: Filled) -> float:
    """The seconds of a method: of mmtoolkit those of all four commands."""
    return sum(filled.seconds.values())


def _write(folder: Path, result: Mapping[str, Any], page: bool) -> None:
    """Replace the result of this machine, and write the page anew."""
    computer = machine()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": computer, **result}, indent=1, ensure_ascii=False)
    (folder / file_name(computer)).write_text(f"{text}\n", encoding="utf-8")
    if page:
        write_page()


if __name__ == "__main__":
    main()
