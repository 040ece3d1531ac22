"""Tables in the terminal, such as the scores of a run."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from mmtoolkit.base.score_names import names_in_table
from mmtoolkit.base.words import number
from mmtoolkit.runs.scores import score_columns

# The characters of a name before it wraps, and those between two columns.
_NAME, _GAP = 30, 3
_MOST_RESULTS = 40
_OPTIONAL = {"incomplete"}  # a column that is not worth another table


def table(title: str, *columns: str) -> Table:
    """A plain table; a column holds numbers if its name ends in a space."""
    result = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = column.endswith(" ")
        result.add_column(column.rstrip(), justify="right" if numbers else "left", no_wrap=numbers, overflow="fold")
    return result


def _heading(key: str) -> str:
    """A result's key as a heading with one word a line, because the numbers under it are short."""
    return key.replace("_", "\n")


def score_tables(score: dict[str, Any], width: int) -> list[Table]:
    """The first results of an evaluator; a narrow terminal gets several tables, each with the names and some columns.

    The tables omit columns of zeros, and the column `incomplete` if there is no room for it. A caption of the last
    table counts the results after the first. Without results there is no table.
    """
    if not score["results"]:  # notes say why
        return []
    results, more = score["results"][:_MOST_RESULTS], len(score["results"][_MOST_RESULTS:])
    cells = {key: [number(result.get(key)) for result in results] for key in score_columns(results)}
    cells = {key: texts for key, texts in cells.items() if set(texts) - {"", "0"}}
    given, names = names_in_table(score["results"])
    names = names[:_MOST_RESULTS]
    room = width - min(max(map(len, names), default=0), _NAME) - _GAP
    parts: list[list[str]] = [[]]
    free = room
    for key, texts in cells.items():
        column = _GAP + max(map(len, (*texts, *_heading(key).split("\n"))))
        if column > free and key in _OPTIONAL:
            continue
        if column > free and parts[-1]:
            parts.append([])
            free = room
        parts[-1].append(key)
        free -= column
    tables = []
    for place, keys in enumerate(parts):
        title = f"{score['kind']} on {score['split']}{given}" + (", continued" if place else "")
        part = table(title, "what", *(f"{_heading(key)} " for key in keys))
        part.columns[0].min_width = min(max(map(len, names), default=0), _NAME)
        for row, name in enumerate(names):
            part.add_row(escape(name), *(escape(cells[key][row]) for key in keys))
        tables.append(part)
    if more:
        tables[-1].caption, tables[-1].caption_justify = f"and {more:,} more", "left"
    return tables
