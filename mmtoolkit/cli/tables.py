"""Scores and checks as tables in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from mmtoolkit.report import entry_name, number, score_columns


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


def score_table(score: dict[str, Any]) -> Table:
    """One evaluator's results."""
    columns = score_columns(score["results"])
    made = table(f"{score['kind']} on {score['split']}", "what", *(f"{_heading(c)} " for c in columns))
    for result in score["results"]:
        cells = [number(result.get(column)) for column in columns]
        made.add_row(escape(entry_name(result)), *map(escape, cells))
    return made
