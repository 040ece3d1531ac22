"""Scores and checks as tables in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from mmtoolkit.base.words import number
from mmtoolkit.runs.scores import entry_name, score_columns

# What the names of results have at least, where they are as long, and what lies between two columns.
_NAME, _GAP = 28, 3
_MOST_RESULTS = 40
_ASIDE = {"incomplete"}  # worth no table of its own


def table(title: str, *columns: str) -> Table:
    """A plain table; columns after the first are numbers where their name ends in a space."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = column.endswith(" ")
        made.add_column(column.rstrip(), justify="right" if numbers else "left", no_wrap=numbers, overflow="fold")
    return made


def _heading(key: str) -> str:
    """A result's key as a heading, a word a line: the numbers under it are short."""
    return key.replace("_", "\n")


def score_tables(score: dict[str, Any], width: int) -> list[Table]:
    """One evaluator's first results; in a narrow terminal several tables, each with the names and some of the columns.

    Columns that say 0 of all of them are left out, and so is how many rows were incomplete where there is no room; the
    last table tells how many results are not shown.
    """
    results, left_out = score["results"][:_MOST_RESULTS], len(score["results"][_MOST_RESULTS:])
    cells = {key: [number(result.get(key)) for result in results] for key in score_columns(results)}
    cells = {key: texts for key, texts in cells.items() if set(texts) - {"", "0"}}
    names = [entry_name(result) for result in results]
    room = width - min(max(map(len, names), default=0), _NAME) - _GAP
    parts: list[list[str]] = [[]]
    left = room
    for key, texts in cells.items():
        taken = _GAP + max(map(len, (*texts, *_heading(key).split("\n"))))
        if taken > left and key in _ASIDE:
            continue
        if taken > left and parts[-1]:
            parts.append([])
            left = room
        parts[-1].append(key)
        left -= taken
    tables = []
    for place, keys in enumerate(parts):
        title = f"{score['kind']} on {score['split']}" + (", continued" if place else "")
        made = table(title, "what", *(f"{_heading(key)} " for key in keys))
        made.columns[0].min_width = min(max(map(len, names), default=0), _NAME)
        for row, name in enumerate(names):
            made.add_row(escape(name), *(escape(cells[key][row]) for key in keys))
        tables.append(made)
    if left_out:
        tables[-1].caption, tables[-1].caption_justify = f"and {left_out:,} more", "left"
    return tables
