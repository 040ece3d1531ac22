"""Propose a first schema for a table: it reads the table and trains without a change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import first_lines, listing, printable
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components import ColumnSummary, Modality, Source
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.components.reading import cells_of, read_cells
from mmtoolkit.first_schema import sizes
from mmtoolkit.first_schema.choose import Choice, Report, choose
from mmtoolkit.first_schema.layout import check_head, notes_on_layout
from mmtoolkit.first_schema.look import Markers, find_copies, find_markers, names_splits, texts_like_missing
from mmtoolkit.first_schema.marks import with_marks
from mmtoolkit.first_schema.write import document
from mmtoolkit.schema.schema import Schema, parse_schema
from mmtoolkit.tables import Reading, TableFile, open_table
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.compression import unpacked
from mmtoolkit.tables.parts import folder_of, is_parted
from mmtoolkit.tables.summary import summarise_columns

_CHUNK, _CHUNKS = 4096, 5
_PIECE = 64
_LONGEST_NAME = 100  # bytes
_FAR = ("..",) * 3
_MOST_LINES = 20
_MOST_SIGNS, _MOST_COLUMNS = 20, 12  # in a note


@dataclass(frozen=True)
class FirstSchema:
    """A first schema.

    Attributes:
        text: of the schema's file.
        schema: the text, parsed.
        choices: the modality chosen for each column, in the order of the columns.
        notes: what the user should know of how the table is read, and of texts that count as missing cells, line by
            line.
        copies: columns that are left out since they equal an earlier column in every row -> that column.
    """

    text: str
    schema: Schema
    choices: Sequence[Choice]
    notes: Sequence[str] = ()
    copies: Mapping[str, str] = field(default_factory=dict)


def first_schema(
    path: Path,
    out: Path,
    reading: Reading,
    plugins: Plugins,
    report: Report = lambda line: None,
    minutes: float | None = None,
) -> FirstSchema:
    """Propose a commented schema that reads a table and trains a model on it.

    Args:
        path: the table's file, or a folder or pattern of Parquet files.
        out: the path that the schema will have; paths in the schema are relative to its folder.
        reading: how to read the table.
        plugins: their modalities propose how to read a column.
        report: receives a line for each plugin that fails.
        minutes: the time that training may take on two cores. By default what such a table needs.

    Raises:
        UserError: the table cannot be read or is empty, its head looks like a row, or no column can be used.
    """
    real, folder = _resolved(path), _resolved(out.parent)
    table_path = _relative(real, folder)
    table = open_table(real, reading)
    columns = summarise_columns(table, beside=reading.files_in(folder_of(real)))
    rows = columns[0].rows
    if not rows:
        raise UserError(f"{path}: has a head but no rows; add rows")
    markers = find_markers(columns, table.has_null)
    columns = [column.without(markers.of(column.name)) for column in columns]
    check_head(table, columns)
    signs = _notes_on_signs(str(path), columns, table.has_null)
    notes = [*table.notes(), *notes_on_layout(str(path), table, columns), *signs]
    split_column = next((column.name for column in columns if names_splits(column)), None)
    columns = [column for column in columns if column.name != split_column]
    copies = find_copies(table, columns)
    choices = choices_with_signs(columns, copies, markers, plugins, report)
    data = {"kind": "table", "path": table_path, **_reading_options(table, markers.table)}
    data |= {"split": split_column or sizes.split(rows), "on_bad_cell": "missing"}

    def parse(text: str) -> Schema:
        return parse_schema(read_yaml(text, str(out)).data, folder=folder, plugins=plugins)

    first = trainable(str(path), name_of(path), data, choices, minutes, parse)
    return replace(first, notes=notes, copies=copies)


def choices_with_signs(
    columns: Sequence[ColumnSummary], copies: Mapping[str, str], markers: Markers, plugins: Plugins, report: Report
) -> list[Choice]:
    """Choose a modality for each column, with the texts that mean a missing cell in this column alone."""
    return [_with_signs(choice, markers) for choice in choose(with_marks(columns), copies, markers, plugins, report)]


def trainable(
    called: str,
    name: str,
    data: Mapping[str, Any],
    choices: Sequence[Choice],
    minutes: float | None,
    parse: Callable[[str], Schema],
) -> FirstSchema:
    """A schema of those chosen modalities that learn something from the training rows.

    Args:
        called: the table, as errors and the head of the schema name it.
        name: of the schema.
        data: options of the source.
        choices: the modality chosen for each column.
        minutes: the time that training may take; see `first_schema`.
        parse: makes a schema of its text.

    Raises:
        UserError: no column can be used.
    """
    rows = choices[0].column.rows
    while True:
        used = [choice for choice in choices if choice.used]
        if not used:
            raise UserError(_no_usable_column(called, choices))
        text = document(
            called, name, data, choices, sizes.model(used), sizes.train(used, rows, minutes), sizes.evaluate(used)
        )
        schema = parse(text)
        faults = _untrainable(schema)
        if not faults:
            return FirstSchema(text, schema, choices)
        # Nothing can be learned from it, so there is no line to use it by.
        choices = [
            replace(c.leave_out(faults[c.name]), kind=None) if c.used and c.name in faults else c for c in choices
        ]


def name_of(path: Path) -> str:
    """The name of a table's schema: that of the file without its endings, or of the folder of its files.

    It is valid as the name of a run's folder.
    """
    name = "".join("_" if c in "/\\" or not c.isprintable() else c for c in _stem(path))
    return name.lstrip(".").encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore") or "table"


def _stem(path: Path) -> str:
    return folder_of(path).absolute().name if is_parted(path) else unpacked(path).stem


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise UserError(f"{path}: cannot be read: {error}; correct the path") from error


def _relative(path: Path, folder: Path) -> str:
    """The table's path in the schema: relative to the schema's folder unless that is far away.

    Raises:
        UserError: the path is not UTF-8.
    """
    near = os.path.relpath(path, folder)
    text = str(path) if near.startswith(os.path.join(*_FAR)) else near
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{text!r}: is not UTF-8, but a schema must be; rename the file or its folder") from None
    return text


def _reading_options(table: TableFile, markers: Sequence[str]) -> dict[str, Any]:
    """The options of reading that differ from their defaults."""
    options = table.reading.model_dump(mode="json", exclude_defaults=True)
    return {**options, "missing": [*table.missing, *markers]} if markers else options


def _with_signs(choice: Choice, markers: Markers) -> Choice:
    """The choice, with the texts that mean a missing cell in its columns alone."""
    own = list(markers.own.get(choice.name, ()))
    if choice.kind is None or not own:
        return choice
    return replace(choice, proposal=replace(choice.proposal, options={**choice.proposal.options, "missing": own}))


def _notes_on_signs(path: str, columns: Sequence[ColumnSummary], has_null: bool) -> list[str]:
    """Which texts count as missing cells, and which look so but are values: NA may also mean Namibia."""
    counting = _by_sign({column.name: column.signs for column in columns})
    values = _by_sign({column.name: texts_like_missing(column, has_null) for column in columns})
    lines = []
    if counting:
        lines.append(
            f"{path}: these texts count as missing cells: {counting}. If one of them is a value, let data.missing list "
            "the others alone, and list it as missing of the modalities where it does mean a missing cell"
        )
    if values:
        lines.append(
            f"{path}: these texts look like missing cells and are kept as values: {values}. If one of them means a "
            "missing cell, list it as missing of the modality"
        )
    return lines


def _by_sign(signs: Mapping[str, Mapping[str, int]]) -> str:
    """For column -> sign -> count: each sign with its columns and their counts; empty if there is none."""
    columns: dict[str, list[str]] = {}
    for column, counts in signs.items():
        for sign, count in counts.items():
            columns.setdefault(sign, []).append(f"{printable(column)} ({count:,})")
    return "; ".join(
        [
            *(f"{sign!r} in {listing(names, _MOST_COLUMNS)}" for sign, names in list(columns.items())[:_MOST_SIGNS]),
            *([f"and {len(columns) - _MOST_SIGNS} more"] if len(columns) > _MOST_SIGNS else []),
        ]
    )


def _no_usable_column(path: str, choices: Sequence[Choice]) -> list[str]:
    lines = [f"{path}, column {choice.name or '(no name)'}: {choice.about}" for choice in choices]
    more = f"{path}: and {len(lines) - _MOST_LINES} more columns like these"
    return [
        f"{path}: no column can be used as it is; mend one of them:",
        *first_lines(lines, _MOST_LINES, more),
    ]


def _untrainable(schema: Schema) -> dict[str, str]:
    """Modalities that learn nothing from the training rows: name -> why.

    As training does, it calls `fit` and `parse_column` on training rows. It reads all of them only if the first ones
    show a fault.
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
    """Why a modality learns nothing from these rows; empty if it learns something."""
    columns = [cells_of(name, modality, chunk) for chunk in chunks]
    present = [[cell for cell in cells if cell is not None] for cells in columns]
    if not any(present):
        return "its few values all lie outside the training rows"
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
    return fault or "none of its cells can be read"
