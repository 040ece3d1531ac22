"""Write a comparison of runs as lines of a table, as Markdown, as CSV or as plain data."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import check_free, make_folder, write_text
from mmtoolkit.base.score_names import entry_name, names_in
from mmtoolkit.base.words import number, one_line, shorten
from mmtoolkit.compare.comparison import Cell, Comparison, Row

LEGEND = "* best, ≈ not significantly different from the best (5 %), ≠ significantly different, ? no standard error"
_MARKS = {"alone": "", "best": "*", "level": "≈", "worse": "≠", "untested": "?", "unranked": ""}
_MOST_DIGITS = 6
_LONGEST_VALUE = 24
_MOST_DIFFERENCES = 12


@dataclass(frozen=True)
class Line:
    """A line of the table: a label and a text for each run. A heading has no texts."""

    label: str
    texts: tuple[str, ...] = ()
    best: tuple[bool, ...] = ()


def lines(comparison: Comparison) -> Iterator[Line]:
    """The lines of the table: facts of the runs, keys in which their schemas differ, scores under headings."""
    plain = (False,) * len(comparison.runs)
    facts = {"parameters": ("parameters", "total"), "for inference": ("parameters", "inference")}
    facts |= {"epochs": ("training", "epochs"), "epoch kept": ("training", "kept_epoch")}
    for label, (part, key) in facts.items():
        yield Line(label, tuple(number(run.results[part][key]) for run in comparison.runs), plain)
    for key, values in list(comparison.differences.items())[:_MOST_DIFFERENCES]:
        yield Line(key, tuple(map(_value, values)), plain)
    if (more := len(comparison.differences) - _MOST_DIFFERENCES) > 0:
        yield Line(f"(keys not shown: {more})", ("",) * len(comparison.runs), plain)
    for heading, rows in groupby(comparison.rows, key=lambda row: _heading(row, comparison.rows)):
        yield Line(heading)
        group = list(rows)
        everything = names_in(row.entry for row in group)
        for row in group:
            alike = [other for other in group if other.entry == row.entry]
            label = entry_name(row.entry, everything) + (f" ({number(row.examples)} rows)" if len(alike) > 1 else "")
            best = tuple(cell is not None and cell.standing == "best" for cell in row.cells)
            yield Line(label, tuple(map(_score, row.cells)), best)


def _heading(row: Row, rows: tuple[Row, ...]) -> str:
    """`prediction on test (samples: 10)`, with the options in which rows of this evaluator and split differ."""
    alike = [other.options for other in rows if (other.kind, other.split) == (row.kind, row.split)]
    differing = [
        f"{key}: {json.dumps(value)}" for key, value in row.options.items() if any(o.get(key) != value for o in alike)
    ]
    return f"{row.kind} on {row.split}" + (f" ({', '.join(differing)})" if differing else "")


def _value(value: Any) -> str:
    """A value of a schema; empty for None."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shorten(text, _LONGEST_VALUE)


def _score(cell: Cell | None) -> str:
    """A score with its mark. A standard error has two significant digits, and its score as many decimals."""
    if cell is None:
        return ""
    text = number(float(cell.value))
    if cell.stderr:
        digits = min(max(1 - math.floor(math.log10(cell.stderr)), 0), _MOST_DIGITS)
        text = f"{cell.value:,.{digits}f} ± {cell.stderr:,.{digits}f}"
    return f"{text} {_MARKS[cell.standing]}".rstrip()


def markdown(comparison: Comparison) -> str:
    """A Markdown table with the best scores in bold; the notes follow."""
    runs = comparison.runs
    rows = [_md_row("", *(_md(run.name) for run in runs)), _md_row("---", *("---:" for _ in runs))]
    for line in lines(comparison):
        if not line.texts:
            rows.append(_md_row(f"**{_md(line.label)}**", *("" for _ in runs)))
            continue
        texts = [f"**{_md(text)}**" if best else _md(text) for text, best in zip(line.texts, line.best, strict=True)]
        rows.append(_md_row(_md(line.label), *texts))
    notes = [*comparison.notes, *([LEGEND] if len(runs) > 1 else [])]
    return "\n".join(rows) + "\n" + "".join(f"\n{_md(note[0].upper() + note[1:])}.\n" for note in notes)


def _md_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    """Text with escapes, for a cell of a Markdown table."""
    return "".join(f"\\{c}" if c in "\\|*`<[" else c for c in one_line(text))


_COLUMNS = (
    "run",
    "kind",
    "entry",
    "metric",
    "better",
    "split",
    "value",
    "stderr",
    "examples",
    "best",
    "significant",
    "options",
)
_SIGNIFICANT = {"level": "false", "worse": "true"}


def csv_text(comparison: Comparison) -> str:
    """CSV with a line for each run and score.

    `better` is `high` or `low`. `best` and `significant` are `true` or `false`; `significant` says whether the score
    differs from the best. A column is empty if its value is unknown.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        for run, cell in zip(comparison.runs, row.cells, strict=True):
            if cell is None:
                continue
            writer.writerow(
                {
                    "run": run.name,
                    "kind": row.kind,
                    "entry": entry_name({**row.entry, "metric": None}),
                    "metric": row.entry.get("metric"),
                    "better": row.better,
                    "split": row.split,
                    "value": cell.value,
                    "stderr": cell.stderr,
                    "examples": row.examples,
                    "best": None if cell.standing == "unranked" else str(cell.standing == "best").lower(),
                    "significant": _SIGNIFICANT.get(cell.standing),
                    "options": json.dumps(dict(row.options), ensure_ascii=False),
                }
            )
    return text.getvalue()


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data, for JSON."""
    names = [run.name for run in comparison.runs]
    return {
        "runs": [
            {"name": run.name, "path": str(run.path), **{key: run.results[key] for key in ("parameters", "training")}}
            for run in comparison.runs
        ],
        "differences": {key: dict(zip(names, values, strict=True)) for key, values in comparison.differences.items()},
        "scores": [
            {
                "kind": row.kind,
                "split": row.split,
                "options": dict(row.options),
                **row.entry,
                "better": row.better,
                "examples": row.examples,
                "runs": {
                    name: {"value": cell.value, "stderr": cell.stderr, "standing": cell.standing}
                    for name, cell in zip(names, row.cells, strict=True)
                    if cell is not None
                },
            }
            for row in comparison.rows
        ],
        "notes": list(comparison.notes),
    }


FORMATS = {".md": markdown, ".csv": csv_text}


def check_comparison_output(out: Path, overwrite: bool) -> None:
    """Check that a comparison can be written to a file.

    Raises:
        UserError: the file's ending is neither .md nor .csv, or the file exists and `overwrite` is false.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: there is no format for this ending; end the name in {' or '.join(FORMATS)}")
    check_free(out, overwrite)


def write_comparison(comparison: Comparison, out: Path, overwrite: bool = False) -> None:
    """Write a comparison to a .md or .csv file.

    Raises:
        UserError: the file's ending is neither, the file exists and `overwrite` is false, or it cannot be written.
    """
    check_comparison_output(out, overwrite)
    make_folder(out.parent)
    write_text(out, FORMATS[out.suffix](comparison))
