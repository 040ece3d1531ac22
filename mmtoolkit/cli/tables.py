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
        made.add_column(column.rstrip(), justify="right" if column.endswith(" ") else "left", overflow="fold")
    return made


def score_table(score: dict[str, Any]) -> Table:
    """One evaluator's results."""
    columns = score_columns(score["results"])
    made = table(f"{score['kind']} on {score['split']}", "target from given", *(f"{c} " for c in columns))
    for result in score["results"]:
        cells = [number(result.get(column)) for column in columns]
        made.add_row(escape(entry_name(result)), *map(escape, cells))
    return made
