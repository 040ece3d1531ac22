"""The page docs/mixed-tables.md, written from the results: `PYTHONPATH=benchmarks python -m kanji.page`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kanji.views import PEERS, VIEWS

FOLDER = Path(__file__).parents[1] / "results/mixed"
PAGE = Path(__file__).parents[2] / "docs/mixed-tables.md"

_HEAD = """# Mixed tables

Does a picture or a text in each row help to fill the other columns? Methods for tables, such as missForest, read
numbers and classes alone. mmtoolkit reads all columns, so this page measures what it gains by that, on a table
with natural holes: characters of the dictionary KANJIDIC.

| column | holds |
|---|---|
| `picture` | the character in black on white, 32x32 pixels |
| `meaning` | its first four meanings in English |
| `reading` | its first Chinese reading, in katakana |
| `strokes` | how many strokes it has |
| `frequency` | its rank among the 2,501 characters that newspapers use most; others lack it |
| `jlpt` | the level of the Japanese language test, from 1 to 4; most lack it |
| `grade` | when it is learned: a year of primary school, secondary school, or for names alone; most lack it |
| `radical` | its radical, if this is one of the twenty most frequent ones, else `other` |
| `top_left`, … | which of ten shapes each of its corners has: the four-corner code of dictionaries |

A picture shows strokes, radical and corners to those who can read it, and a meaning tells of radical, frequency and
grade; but no column says so in a form that a method for numbers and classes can use.

A tenth of the known cells of the nine scalar columns is hidden at random, several times over, and every method fills
the same cells.

- **mmtoolkit** sees the scalar columns alone, or texts, pictures or both beside them: `mmt init`, `mmt check`,
  `mmt run` and `mmt impute` on a CSV with or without these columns, nothing edited.
- The others see the scalar columns alone: **mode, mean**; **10-NN**, the ten nearest rows; **missForest**, four
  passes of random forests. [Filling tables](filling.md) says more of them, and compares them on other tables.

A class is scored by its accuracy, where high is better, and a number by its root mean squared error over the standard
deviation of the column (NRMSE), where low is better and the mean has about 1. "±" is the standard error of a mean
difference over the hidden cells, which are the same for both sides; the rows, and the weights of one run for each mask,
are taken as they are.

```sh
apt-get install kanjidic fonts-ipafont-gothic   # the dictionary and a font; nothing of them is in this repository
python benchmarks/mixed.py                      # with scikit-learn and pandas; it writes this page
python benchmarks/mixed.py --views scalars,both --masks 1
```"""

_PAIRS = {
    "both scalars": "pictures and texts beside the scalars",
    "pictures scalars": "pictures beside the scalars",
    "texts scalars": "texts beside the scalars",
    "both missforest": "mmtoolkit with all columns, over missForest",
    "scalars missforest": "mmtoolkit with the scalars, over missForest",
}
_TITLES = {**{name: peer.title for name, peer in PEERS.items()}, **{name: view.title for name, view in VIEWS.items()}}


def render(folder: Path = FOLDER) -> str:
    """The page, from the results in a folder."""
    parts = [_HEAD]
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        machine = result["machine"]
        parts += [f"## {machine['processor']}, {machine['cores']} cores", section(result)]
    if len(parts) == 1:
        parts.append("No machine has results yet.")
    return "\n\n".join(parts) + "\n"


def section(result: Mapping[str, Any]) -> str:
    """The tables of a result."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    about = f"{result['rows']:,} rows, {_count(result['masks'], 'mask')}, {result['date']}, with {versions}."
    if result["settings"]:
        about += f" Edited: `mmt run` had `{' '.join(f'--set {setting}' for setting in result['settings'])}`."
    if result["busy"]:
        about += " Other work ran on the machine, so seconds say little."
    return "\n\n".join([about, _scores(result), *_gains(result), *_schema(result)])


def _scores(result: Mapping[str, Any]) -> str:
    """A line for each column: the score of each method."""
    methods = result["methods"]
    lines = _head(["column", "missing", "hidden cells", "score", *(_TITLES[name] for name in methods)])
    for column, facts in result["columns"].items():
        cells = [f"`{column}`", f"{100 * facts['missing']:.0f} %", f"{facts['hidden']:,}"]
        cells.append("NRMSE" if facts["numbers"] else "accuracy")
        lines.append(_line([*cells, *(f"{method['scores'][column]:.3f}" for method in methods.values())]))
    for title, numbers in (("accuracy", False), ("NRMSE", True)):
        names = [column for column, facts in result["columns"].items() if facts["numbers"] == numbers]
        means = [sum(method["scores"][name] for name in names) / len(names) for method in methods.values()]
        lines.append(_line([f"**mean of {len(names)}**", "", "", title, *(f"**{mean:.3f}**" for mean in means)]))
    seconds = [f"{method['seconds']:.0f} s" for method in methods.values()]
    lines.append(_line(["seconds a mask, all commands", "", "", "", *seconds]))
    return "\n".join(lines)


def _gains(result: Mapping[str, Any]) -> list[str]:
    """What pictures and texts add: a column of gains for each pair of methods."""
    pairs = {pair: gain for pair, gain in result["gains"].items() if pair in _PAIRS}
    if not pairs:
        return []
    lines = _head(["gain by", *(_PAIRS[pair] for pair in _PAIRS if pair in pairs)])
    ordered = [pairs[pair] for pair in _PAIRS if pair in pairs]
    for column in result["columns"]:
        lines.append(_line([f"`{column}`", *(_gain(gain["columns"][column]) for gain in ordered)]))
    for title, key in (("**mean accuracy**", "accuracy"), ("**mean NRMSE**", "nrmse")):
        lines.append(_line([title, *(_gain(gain[key]) for gain in ordered)]))
    text = "What is gained, in accuracy, or in NRMSE that is less; positive is better:"
    return [text, "\n".join(lines), *_verdict(pairs.get("both scalars"))]


def _verdict(gain: Mapping[str, Any] | None) -> list[str]:
    """Which columns pictures and texts help, and which they harm, by more than two standard errors."""
    if gain is None:
        return []
    clear = {
        column: of["gain"]
        for column, of in gain["columns"].items()
        if of["error"] is not None and abs(of["gain"]) > 2 * of["error"]
    }
    better = [f"`{column}`" for column, by in clear.items() if by > 0] or ["no column"]
    worse = [f"`{column}`" for column, by in clear.items() if by < 0] or ["none"]
    return [
        "Beside the scalars, pictures and texts help to fill, by more than two standard errors, "
        f"{', '.join(better)}; they harm {', '.join(worse)}."
    ]


def _schema(result: Mapping[str, Any]) -> list[str]:
    """What `mmt init` wrote for the largest view, without its comments."""
    written = [name for name in ("both", "pictures", "texts", "scalars") if name in result["schemas"]]
    if not written:
        return []
    lines = [re.sub(r"\s+# .*", "", line) for line in result["schemas"][written[0]].splitlines()]
    kept = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    unread = [
        f"`{name}`" for name in VIEWS[written[0]].beside if not any(line.startswith(f"  {name}: ") for line in kept)
    ]
    left = f" It leaves {', '.join(unread)} out." if unread else ""
    return [
        f"The schema that `mmt init` of mmtoolkit {result['versions']['mmtoolkit']} wrote for the last mask "
        f"({VIEWS[written[0]].title}), without its comments.{left} Other versions may write another.",
        "```text\n" + "\n".join(kept) + "\n```",
    ]


def _gain(gain: Mapping[str, float | None] | None) -> str:
    if gain is None or gain["gain"] is None:
        return ""
    error = f" ± {gain['error']:.3f}" if gain["error"] is not None else ""
    return f"{gain['gain']:+.3f}{error}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _head(cells: Iterable[str]) -> list[str]:
    cells = list(cells)
    return [_line(cells), _line(["---"] * len(cells))]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_page() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write_page()
