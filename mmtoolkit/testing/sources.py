"""Checks of a source."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtoolkit.components import Source, Table
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing.promises import round_trip

_CHUNKS = (7, 1000)
_MOST_ROWS = 3000  # of a split, to compare


def options_come_back(source: Source) -> Iterator[str]:
    """Options survive JSON unchanged."""
    yield from round_trip(source)


def splits_are_named(source: Source) -> Iterator[str]:
    """`splits` lists each split once, and train is one of them."""
    splits: Any = source.splits()
    if not isinstance(splits, tuple) or not all(isinstance(split, str) for split in splits):
        yield f"splits: must return a tuple of names, but got {splits!r}; return one such as ('train', 'test')"
        return
    if "train" not in splits or len(set(splits)) < len(splits):
        yield (
            f"splits: must list each split once, and train must be one of them, but got {splits}; add train, or remove "
            "repeated names"
        )


def files_are_there(source: Source) -> Iterator[str]:
    """`files` lists paths of files that exist; `notes` is a list of lines."""
    file: Any
    for file in source.files():
        if not isinstance(file, Path):
            yield f"files: must return paths, but got {type(file).__name__}; wrap it in pathlib.Path"
        elif not file.is_file():
            yield (
                f"files: must list the files that rows are read from, but {file} is no file; correct the list, or "
                "raise UserError if a file is missing"
            )
    notes: Any = source.notes()
    if isinstance(notes, str) or not all(isinstance(note, str) for note in notes):
        yield f"notes: must return a list of lines, but got {notes!r}; put the lines into a list"


def columns_have_one_length(source: Source) -> Iterator[str]:
    """Each split is a table with the same columns, all as long as the table."""
    names: tuple[str, ...] | None = None
    for split in source.splits():
        table = source.load(split)
        if not len(table) and split == "train":
            yield "load: the training split must have rows, but is empty; add rows"
        if not isinstance(table.names, tuple) or not all(isinstance(name, str) for name in table.names):
            yield f"load({split!r}): names must be a tuple of texts, but got {table.names!r}; name the columns"
            return
        names = names if names is not None else table.names
        if set(table.names) != set(names):
            yield (
                f"load({split!r}): must have the columns of train, {', '.join(names)}, but has "
                f"{', '.join(table.names)}; fill a column that a split lacks with None"
            )
        for name in table.names:
            if (length := len(table.column(name))) != len(table):
                yield (
                    f"load({split!r}): column {name!r} must be as long as the table, {len(table)}, but has length "
                    f"{length}; use None for a missing cell"
                )


def chunks_are_the_columns(source: Source) -> Iterator[str]:
    """`chunks` yields the named columns, at most `size` rows at a time, in order."""
    for split in source.splits():
        table = source.load(split)
        for size in _CHUNKS:
            read: dict[str, list[Any]] = {name: [] for name in table.names}
            for chunk in table.chunks(table.names, size):
                if set(chunk) != set(table.names) or len({len(cells) for cells in chunk.values()}) != 1:
                    yield (
                        "chunks: must yield the named columns, all of one length, but got "
                        f"{[(n, len(c)) for n, c in chunk.items()]} for {split}; slice all columns alike"
                    )
                    return
                if len(next(iter(chunk.values()))) > size:
                    yield f"chunks: must yield at most {size} rows, but yielded more for {split}; use `size`"
                for name, cells in chunk.items():
                    read[name] += list(cells)
                if len(read[table.names[0]]) >= _MOST_ROWS:
                    break
            for name, cells in read.items():
                whole = table.column(name)[: len(cells)]
                if not _same(cells, whole) or len(cells) < min(len(table), _MOST_ROWS):
                    yield (
                        f"chunks: must yield what column returns, but {name!r} of {split} differs; read both from one "
                        "place"
                    )
        some = table.names[-1:]
        if any(set(chunk) != set(some) for chunk in table.chunks(some, _CHUNKS[1])):
            yield f"chunks: must yield only the named columns, but yielded others for {split}; use `names`"


def rows_are_the_same_each_time(source: Source) -> Iterator[str]:
    """Rows depend only on options and files: they are the same each time, whatever the random state."""
    again = type(source).model_validate_json(source.model_dump_json())
    states = random.getstate(), np.random.get_state()
    for split in source.splits():
        first = source.load(split)
        torch.manual_seed(99)
        random.seed(99)
        np.random.seed(99)
        second = again.load(split)
        random.setstate(states[0])
        np.random.set_state(states[1])
        if len(first) != len(second) or any(not _same(*columns) for columns in _pairs(first, second)):
            yield (
                f"load({split!r}): rows must be the same each time, but changed; draw from a generator seeded by an "
                "option"
            )


def _pairs(first: Table, second: Table) -> Iterator[tuple[Cells, Cells]]:
    for name in first.names:
        yield first.column(name)[:_MOST_ROWS], second.column(name)[:_MOST_ROWS]


def missing_is_none(source: Source) -> Iterator[str]:
    """A missing cell is None, and a column that is an array has no missing cell."""
    for split in source.splits():
        table = source.load(split)
        for name in table.names:
            cells = table.column(name)[:_MOST_ROWS]
            if isinstance(cells, np.ndarray):
                if cells.dtype == object and any(cell is None for cell in cells):
                    yield f"column: an array must have no missing cell, but {name!r} of {split} has None; return a list"
            elif any(type(cell) is float and cell != cell for cell in cells):
                yield f"column: a missing cell must be None, but {name!r} of {split} has NaN; return None"


def core_options_are_ignored(source: Source) -> Iterator[str]:
    """`load` returns all rows: the core applies the options `rows`, `supervision` and `on_bad_cell`."""
    if not source.rows:
        few = source.model_copy(update={"rows": dict.fromkeys(source.splits(), 1)})
        for split in source.splits():
            if len(few.load(split)) != len(source.load(split)):
                yield (f"load({split!r}): must leave the option `rows` to the core, but applied it; return all rows")


def located_source_is_unchanged(source: Source) -> Iterator[str]:
    """`located` returns self if there is nothing to locate."""

    def find(name: str) -> Path:
        raise AssertionError(f"located looked for {name} although the data is here")

    if source.located(find) != source:
        yield "located: must return self if every folder is set, but returned another source; return self"


def _same(a: Cells, b: Cells) -> bool:
    return len(a) == len(b) and all(_same_cell(x, y) for x, y in zip(a, b, strict=True))


def _same_cell(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(_same_cell(a[k], b[k]) for k in a)
    return bool(a == b) or (a != a and b != b)


CHECKS = (
    splits_are_named,
    options_come_back,
    files_are_there,
    columns_have_one_length,
    chunks_are_the_columns,
    rows_are_the_same_each_time,
    missing_is_none,
    core_options_are_ignored,
    located_source_is_unchanged,
)
