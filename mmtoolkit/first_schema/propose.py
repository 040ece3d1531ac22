"""A first schema for a table, that reads it and trains as it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.components import Modality, Source
from mmtoolkit.components.reading import read_cells
from mmtoolkit.first_schema import sizes
from mmtoolkit.first_schema.choose import Choice, Report, choose
from mmtoolkit.first_schema.look import copies, look, markers, names_splits
from mmtoolkit.first_schema.write import document
from mmtoolkit.schema.schema import Schema, parse_schema
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.cells import Cells

_CHUNK, _CHUNKS = 4096, 5
_PIECE = 64
_LONGEST_NAME = 100  # bytes
_FAR = ("..",) * 3
_SHOWN = 20


@dataclass(frozen=True)
class FirstSchema:
    """A first schema.

    Attributes:
        text: of its file.
        schema: as it is read.
        choices: what becomes of each column, in their order.
    """

    text: str
    schema: Schema
    choices: Sequence[Choice]


def first_schema(
    path: Path, out: Path, reading: Reading, plugins: Plugins, report: Report = lambda line: None
) -> FirstSchema:
    """A commented schema by which a table is read and a model of it trained.

    Args:
        path: the table's file.
        out: where the schema is going to stand: paths in it are relative to that folder.
        reading: how the table is read.
        plugins: the kinds of modalities that are asked to read its columns.
        report: told of plugins that do not work.

    Raises:
        UserError: the table cannot be read or is empty, or none of its columns can be used.
    """
    real, folder = _resolved(path), _resolved(out.parent)
    said_path = _relative(real, folder)
    table = open_table(real, reading)
    columns = look(table, reading.files_in(real.parent))
    rows = columns[0].rows
    if not rows:
        raise UserError(f"{path}: has a head and no row; give it rows")
    found = markers(columns)
    columns = [column.without(found) for column in columns]
    by_column = next((column.name for column in columns if names_splits(column)), None)
    columns = [column for column in columns if column.name != by_column]
    choices = choose(columns, copies(table, columns), plugins, report)
    data = {"kind": "table", "path": said_path, **_said(reading, found)}
    data |= {"split": by_column or sizes.split(rows), "on_bad_cell": "missing"}
    while True:
        used = [choice for choice in choices if choice.used]
        if not used:
            raise UserError(_nothing_usable(path, choices))
        text = document(
            str(path), name_of(path), data, choices, sizes.model(used), sizes.train(used, rows), sizes.evaluate(used)
        )
        schema = parse_schema(read_yaml(text, str(out)).data, folder=folder, plugins=plugins)
        faults = _untrainable(schema)
        if not faults:
            return FirstSchema(text, schema, choices)
        choices = [c.left_out(faults[c.name]) if c.used and c.name in faults else c for c in choices]


def name_of(path: Path) -> str:
    """What a table's schema is named after it: its name without its ending, as a run's folder can be named."""
    name = "".join("_" if c in "/\\" or not c.isprintable() else c for c in Path(path.name.removesuffix(".gz")).stem)
    return name.lstrip(".").encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore") or "table"


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise UserError(f"{path}: cannot be read: {error}; correct the path") from error


def _relative(path: Path, folder: Path) -> str:
    """The table's path as the schema has it: relative to its folder, where that is not far.

    Raises:
        UserError: it is no text that a schema can hold.
    """
    near = os.path.relpath(path, folder)
    said = str(path) if near.startswith(os.path.join(*_FAR)) else near
    try:
        said.encode()
    except UnicodeEncodeError:
        raise UserError(f"{said!r}: this path is not UTF-8, and a schema is; rename the file or its folder") from None
    return said


def _said(reading: Reading, markers: Sequence[str]) -> dict[str, Any]:
    """How the table is read, as far as that is not the default."""
    said = reading.model_dump(mode="json", exclude_defaults=True)
    return {**said, "missing": [*reading.missing, *markers]} if markers else said


def _nothing_usable(path: Path, choices: Sequence[Choice]) -> list[str]:
    lines = [f"{path}, column {choice.name or '(no name)'}: {choice.proposal.about}" for choice in choices]
    more = f"{path}: and {len(lines) - _SHOWN} more columns like these"
    return [
        f"{path}: none of its columns can be used as it is; mend one of them:",
        *first_lines(lines, _SHOWN, more),
    ]


def _untrainable(schema: Schema) -> dict[str, str]:
    """Modalities that the training rows teach nothing: name -> why.

    Whether there is something to learn from, and a value, is found out as training will: by `fit` and `parse_column` on
    the training rows, the first of them where these are enough.
    """
    columns = list(dict.fromkeys(c for name, m in schema.modalities.items() for c in m.source_columns(name)))
    table = schema.data.load("train")
    head = list(islice(table.chunks(columns, _CHUNK), _CHUNKS))
    faults: dict[str, str] = {}
    for name, modality in schema.modalities.items():
        fault = _fault(name, modality, schema.data, head)
        if fault and len(table) > _CHUNK * _CHUNKS:
            fault = _fault(name, modality, schema.data, table.chunks(modality.source_columns(name), _CHUNK))
        if fault:
            faults[name] = fault
    return faults


def _fault(name: str, modality: Modality, source: Source, chunks: Iterable[Mapping[str, Cells]]) -> str:
    """Why rows teach a modality nothing; empty where they do."""
    columns = [modality.assembled(name, chunk) for chunk in chunks]
    present = [[cell for cell in cells if cell is not None] for cells in columns]
    if not any(present):
        return "its few values are all in rows that are not trained on"
    try:
        fitted = modality.fit(iter(present))
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    except ValueError as error:
        return str(error)
    fault = ""
    for cells in present:
        for start in range(0, len(cells), _PIECE):
            parsed = read_cells(fitted, cells[start : start + _PIECE], source.beside("train"))
            if parsed.present.any():
                return ""
            fault = fault or next(iter(parsed.faults.values()), "")
    return fault or "nothing in it can be read"
