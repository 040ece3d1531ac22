"""The page docs/benchmarks.md, written from the results: `python -m bench.page`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.lines import LINES
from bench.reading import number, verdict
from bench.results import FOLDER, read

PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"

_HEAD = """# Benchmarks

`make bench` measures how fast mmtoolkit trains and scores, and writes this page. Each line sets ours beside another
side: the **floor**, the same training written by hand in plain PyTorch as one flat loop, or **MultiVae** 1.0.3 from
PyPI, in an environment of its own. Ours is the training loop of `mmt run`.

The two sides are processes that take turns, and a ratio is taken of each pair of turns; the table has the median of the
ratios and their quartiles. Before a line is timed, both sides must have as many parameters, and on one batch the same
loss; ours and the floor also the same gradients. Where cells are missing, MultiVae averages its terms over other rows
than we do; its loss is then compared on complete rows. The floor computes with our threads and kernels. MultiVae trains
through its own trainer, and ours and it are compared as their users get them.

```sh
make bench                               # all lines, some 15 minutes on two cores; an interrupted bench goes on
make bench LINES="floor.bimodal tables"  # some of them
```

A *target* is what we set ourselves before we measured; a line that misses it stands as it is.

Times vary by some 10 % from hour to hour on one machine; ratios vary less. How well and how fast tables are filled is
in [Filling tables](filling.md); other measurements are in [Measured](measured.md)."""


def render(folder: Path = FOLDER) -> str:
    """The page, from the results in a folder."""
    files = sorted(folder.glob("*.json"))
    parts = [_HEAD, *(_machine(read(path)) for path in files)]
    if not files:
        parts.append("No machine has results yet.")
    return "\n\n".join(parts) + "\n"


def _machine(content: Mapping[str, Any]) -> str:
    """The section of a machine."""
    machine, lines = content["machine"], content["lines"]
    rows = ["| line | what | result | quartiles | target | |", "|---|---|---|---|---|---|"]
    for name in (name for name in LINES if name in lines):
        rows += _rows(name, lines[name])
    return "\n\n".join([f"## {machine['processor']}, {machine['cores']} cores", _made(lines), "\n".join(rows)])


def _rows(name: str, line: Mapping[str, Any]) -> list[str]:
    rows = []
    facts = line["facts"]
    many = {1: "one thread", None: ""}.get(facts.get("threads"), f"{facts.get('threads')} threads")
    compute = f"; {many}, products by {facts['kernels']}" if many else ""
    for place, reading in enumerate(line["readings"]):
        first = f"| `{name}` | {line['about']}{compute}" if place == 0 else "| |"
        low, high = map(number, reading["quartiles"])
        result = f"{reading['what']}: **{number(reading['median'])}** {reading['unit']}"
        spread = f"{low} to {high} of {reading['repeats']}" if reading["repeats"] > 1 else ""
        rows.append(f"{first} | {result} | {spread} | {reading.get('target', '')} | {verdict(reading)} |")
    return rows


def _made(lines: Mapping[str, Any]) -> str:
    """Which lines were measured with which versions."""
    names_by_text: dict[str, list[str]] = {}
    for name, line in lines.items():
        versions = line["versions"]
        text = (
            f"mmtoolkit {versions['mmtoolkit']} at {versions['commit']}, PyTorch {versions['torch']}, "
            f"Python {versions['python']}, {line['date']}"
        )
        names_by_text.setdefault(text, []).append(f"`{name}`")
    if len(names_by_text) == 1:
        return f"Measured with {next(iter(names_by_text))}, in float32."
    return "Measured in float32 with\n\n" + "\n".join(
        f"- {text}: {', '.join(names)}" for text, names in names_by_text.items()
    )


def write_page() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write_page()
