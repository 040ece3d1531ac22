"""What a source promises."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtoolkit.components import Source, Table
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing.cells import round_trip

_CHUNKS = (7, 1000)
_MOST_ROWS = 3000  # compared of a split


def options_come_back(source: Source) -> Iterator[str]:
    """Options come back from JSON as they were."""
    yield from round_trip(source)


def splits_are_named(source: Source) -> Iterator[str]:
    """`splits` names different splits, train among them."""
    splits: Any = source.splits()
    if not isinstance(splits, tuple) or not all(isinstance(split, str) for split in splits):
        yield f"splits: gives a tuple of names, but {splits!r} came; return one such as ('train', 'test')"
        return
    if "train" not in splits or len(set(splits)) < len(splits):
        yield f"splits: names each split once, train among them, but {splits} came; add train, from which is learned"


def files_are_there(source: Source) -> Iterator[str]:
    """`files` lists paths of files that exist."""
    file: Any
    for file in source.files():
        if not isinstance(file, Path):
            yield f"files: gives paths, but {type(file).__name__} came; wrap it in pathlib.Path"
        elif not file.is_file():
            yield (
                f"files: lists the files that rows are read from, but {file} is none; list what is read, or raise "
                "UserError"
            )
    notes: Any = source.notes()
    if isinstance(notes, str) or not all(isinstance(note, str) for note in notes):
        yield f"notes: gives a list of lines, but {notes!r} came; put each line into a list"


def columns_have_one_length(source: Source) -> Iterator[str]:
    """Each split is a table whose columns, the same in all splits, have its length."""
    names: tuple[str, ...] | None = None
    for split in source.splits():
        table = source.load(split)
        if not len(table) and split == "train":
            yield "load: the training split has rows, but it is empty; give it some"
        if not isinstance(table.names, tuple) or not all(isinstance(name, str) for name in table.names):
            yield f"load({split!r}): names is a tuple of texts, but {table.names!r} came; name the columns"
            return
        names = names if names is not None else table.names
        if set(table.names) != set(names):
            yield (
                f"load({split!r}): all splits have the columns of train, {', '.join(names)}, but "
                f"{', '.join(table.names)} came; give None where a split lacks one"
            )
        for name in table.names:
            if (length := len(table.column(name))) != len(table):
                yield (
                    f"load({split!r}): column {name!r} has the table's length, {len(table)}, but {length}; give None "
                    "where a cell is missing"
                )


def chunks_are_the_columns(source: Source) -> Iterator[str]:
    """`chunks` gives the named columns, no more than `size` rows at a time, in order."""
    for split in source.splits():
        table = source.load(split)
        for size in _CHUNKS:
            read: dict[str, list[Any]] = {name: [] for name in table.names}
            for chunk in table.chunks(table.names, size):
                if set(chunk) != set(table.names) or len({len(cells) for cells in chunk.values()}) != 1:
                    yield (
                        "chunks: gives the named columns, of one length, but "
                        f"{[(n, len(c)) for n, c in chunk.items()]} came for {split}; slice all alike"
                    )
                    return
                if len(next(iter(chunk.values()))) > size:
                    yield f"chunks: gives {size} rows at most, but more came for {split}; heed `size`"
                for name, cells in chunk.items():
                    read[name] += list(cells)
                if len(read[table.names[0]]) >= _MOST_ROWS:
                    break
            for name, cells in read.items():
                whole = table.column(name)[: len(cells)]
                if not _same(cells, whole) or len(cells) < min(len(table), _MOST_ROWS):
                    yield f"chunks: gives what column gives, but {name!r} of {split} differs; read both from one place"
        some = table.names[-1:]
        if any(set(chunk) != set(some) for chunk in table.chunks(some, _CHUNKS[1])):
            yield f"chunks: gives the columns that are named, but others came for {split}; heed `names`"


def rows_are_the_same_each_time(source: Source) -> Iterator[str]:
    """Rows follow from the options and files alone: the same each time, whatever was drawn before."""
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
                f"load({split!r}): rows are the same each time, but they changed; draw from a generator seeded by an "
                "option"
            )


def _pairs(first: Table, second: Table) -> Iterator[tuple[Cells, Cells]]:
    for name in first.names:
        yield first.column(name)[:_MOST_ROWS], second.column(name)[:_MOST_ROWS]


def missing_is_none(source: Source) -> Iterator[str]:
    """A missing cell is None, and a column that is an array has none."""
    for split in source.splits():
        table = source.load(split)
        for name in table.names:
            cells = table.column(name)[:_MOST_ROWS]
            if isinstance(cells, np.ndarray):
                if cells.dtype == object and any(cell is None for cell in cells):
                    yield f"column: an array has no missing cell, but {name!r} of {split} has None; give a list"
            elif any(type(cell) is float and cell != cell for cell in cells):
                yield f"column: a missing cell is None, but {name!r} of {split} has NaN; give None"


def no_other_split(source: Source) -> Iterator[str]:
    """Options `rows`, `supervision` and `on_bad_cell` are the core's: load gives all rows."""
    if not source.rows:
        few = source.model_copy(update={"rows": dict.fromkeys(source.splits(), 1)})
        for split in source.splits():
            if len(few.load(split)) != len(source.load(split)):
                yield (
                    f"load({split!r}): leaves `rows` to the core, which takes the first, but took it itself; give all "
                    "rows"
                )


def located_is_a_copy(source: Source) -> Iterator[str]:
    """`located` gives itself where nothing is to be found."""

    def find(name: str) -> Path:
        raise AssertionError(f"{name} was looked for though the data is here")

    if source.located(find) != source:
        yield "located: gives itself where no folder is left out, but another came; return self"


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
    no_other_split,
    located_is_a_copy,
)
