"""Propose a first schema for a table in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.first_schema import sizes
from mmtoolkit.first_schema.choose import Report
from mmtoolkit.first_schema.look import find_copies, find_markers
from mmtoolkit.first_schema.propose import FirstSchema, choices_with_signs, trainable
from mmtoolkit.schema.schema import Schema, parse_schema
from mmtoolkit.sources import Arrays
from mmtoolkit.tables.frames import frame_of
from mmtoolkit.tables.summary import summarise_columns

_NAME = "table"


def first_schema_of(data: Any, plugins: Plugins, report: Report = lambda line: None) -> FirstSchema:
    """Propose a schema that reads a table in memory and trains a model on it, as `first_schema` does for a file.

    All rows are for training and validation, also if a column names a split of each row.

    Args:
        data: a pandas or polars frame, an Arrow table, or a dictionary of columns.
        plugins: their modalities propose how to read a column.
        report: receives a line for each plugin that fails.

    Raises:
        UserError: the data is no table or has no rows, or no column can be used.
    """
    table = frame_of(data)
    if not len(table):
        raise UserError("the table has no rows; add rows")
    columns = summarise_columns(table)
    markers = find_markers(columns, table.has_null)
    columns = [column.without(markers.of(column.name)) for column in columns]
    copies = find_copies(table, columns)
    choices = choices_with_signs(columns, copies, markers, plugins, report)
    options: dict[str, Any] = {"split": sizes.split(len(table)), "on_bad_cell": "missing"}
    if markers.table:
        options["missing"] = list(markers.table)
    source = Arrays.of(data, **options)

    def parse(text: str) -> Schema:
        schema = parse_schema(read_yaml(text, table.called).data, plugins=plugins)
        return schema.model_copy(update={"data": source})

    first = trainable(table.called, _NAME, {"kind": source.kind, **options}, choices, None, parse)
    return replace(first, copies=copies)
