"""Checks of a modality's options and of how it reads cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtoolkit.components import Modality, Parsed
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing.promises import finite, round_trip, shape
from mmtoolkit.testing.subjects import Subject, Untouchable, is_open, quote

# Cells that stand in tables by mistake; a modality may read some of them.
_STRANGE: tuple[Any, ...] = (
    object(),
    "",
    "\0?",
    b"\xff",
    float("nan"),
    float("inf"),
    -1,
    2.5,
    10**400,
    [],
    {},
    (None,),
)


def cells_are_at_hand(subject: Subject) -> Iterator[str]:
    """The modality has example cells, learns its open options from them, and reads and prepares them."""
    x: Any = subject.x
    if not isinstance(x, Tensor):
        yield f"prepare: must return a tensor, but got {type(x).__name__}; return the values (N, *event_shape)"


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged, before fit and after it."""
    yield from round_trip(subject.original, "before fit")
    yield from round_trip(subject.modality, "after fit")


def fit_learns(subject: Subject) -> Iterator[str]:
    """`fit` returns a validated copy that leaves nothing open and changes no option that the user set."""
    original, before = subject.original, subject.original.model_dump()
    fitted = subject.modality
    if type(fitted) is not type(original):
        yield f"fit: must return a {type(original).__name__}, but got a {type(fitted).__name__}; return a copy of self"
        return
    if original.model_dump() != before:
        yield "fit: must not change self, but changed its options; return a copy instead"
    after = fitted.model_dump()
    if changed := [name for name, value in before.items() if value is not None and after[name] != value]:
        yield (
            f"fit: may only fill options that are None, but changed {', '.join(changed)}; keep the options that the "
            "user set"
        )
    if fitted.with_options() != fitted:
        yield "fit: must return a validated copy, but validation changes it; return self.with_options(...)"
    if is_open(fitted):
        yield (
            "fit: must fill all open options, but fit of the result reads the cells again; learn all at once, and "
            "return self without iterating over chunks if no option is None"
        )
    elif fitted.fit(Untouchable()) != fitted:
        yield "fit: must return self if nothing is open, but returned something else; return self"


def fit_bears_faults(subject: Subject) -> Iterator[str]:
    """`fit` leaves out cells that it cannot read, or raises a ValueError that says what is wrong."""
    if not is_open(subject.original):
        return
    for cell in (*_STRANGE, *subject.bad):
        try:
            subject.original.fit(iter([[*subject.cells, cell]]))
        except ValueError as error:
            if not str(error):
                yield f"fit: must say why it cannot learn, but ValueError has no text for {quote(cell)}; add one"
        except Exception as error:
            yield (
                f"fit: must leave out a cell that it cannot read, or raise ValueError, but raised "
                f"{type(error).__name__} for {quote(cell)}; learn from parse_column's present rows"
            )


def cells_are_read(subject: Subject) -> Iterator[str]:
    """`parse` and `parse_column` read every example cell, with the same shape and type."""
    modality, event, parsed = subject.modality, subject.event, subject.parsed
    if not all(isinstance(size, int) for size in event):
        yield f"event_shape: must be a tuple of whole numbers, but got {event}; return the shape of one value"
    for row, fault in list(parsed.faults.items())[:3]:
        cell = quote(subject.cells[row])
        yield f"parse_column: must read the example cells, but rejects {cell}: {fault}; fix parse, or the example"
    values = [modality.parse(cell) for row, cell in enumerate(subject.cells) if row not in parsed.faults]
    for value in values:
        if not isinstance(value, Tensor) or value.shape != event:
            yield f"parse: must return a tensor of event_shape {event}, but got {shape(value)}; make the two agree"
            return
    if len(types := {value.dtype for value in values}) > 1:
        yield (
            f"parse: must return tensors of one type, but got {' and '.join(sorted(map(str, types)))}; convert all to "
            "one"
        )
    yield from _column_shapes(parsed, len(subject.cells), event)


def columns_equal_cells(subject: Subject) -> Iterator[str]:
    """`parse_column` returns what parse returns for each cell, for lists and arrays, with None anywhere."""
    modality, good = (
        subject.modality,
        [cell for row, cell in enumerate(subject.cells) if row not in subject.parsed.faults],
    )
    each = torch.stack([modality.parse(cell) for cell in good])
    holes: list[Any] = [None, *good[:1], None, None, *good[1:], None]
    for what, cells in (
        ("a list", good),
        ("a list with None in it", holes),
        *_arrays(good),
        *_assembled(modality, good),
    ):
        parsed = modality.parse_column(cells)
        yield from _column_shapes(parsed, len(cells), subject.event)
        known = torch.tensor([cells is not holes or cell is not None for cell in cells])
        if not torch.equal(parsed.present.cpu(), known) or parsed.faults:
            yield (
                f"parse_column: for {what}, present must be True exactly for cells that are not None, without faults, "
                f"but present is {parsed.present.tolist()} and faults is {dict(parsed.faults)}; treat None as missing"
            )
        elif not torch.equal(parsed.stored[parsed.present].double(), each.double()):
            yield (
                f"parse_column: for {what}, must return what parse returns for each cell, but values differ; make the "
                "two agree"
            )
        elif what == "a list" and parsed.stored.dtype != each.dtype and each.dtype.is_floating_point:
            yield (
                f"parse_column: must store numbers as precisely as parse, in {each.dtype}, but got "
                f"{parsed.stored.dtype}; use one type"
            )
    nothing = modality.parse_column([None, None, None])
    yield from _column_shapes(nothing, 3, subject.event)
    if nothing.present.any() or nothing.faults:
        yield (
            "parse_column: for a list of None, must return no present row and no fault, but returned some; treat None "
            "as missing"
        )


def _column_shapes(parsed: Parsed, rows: int, event: tuple[int, ...]) -> Iterator[str]:
    stored, present = parsed.stored, parsed.present
    if tuple(stored.shape) != (rows, *event):
        yield (
            f"parse_column: stored must have shape ({rows}, *event_shape), {(rows, *event)}, but got {shape(stored)}; "
            "correct stored"
        )
    if present.dtype != torch.bool or tuple(present.shape) != (rows,):
        yield f"parse_column: present must be bool ({rows},), but got {present.dtype} {shape(present)}; correct present"


def _arrays(good: Sequence[Any]) -> list[tuple[str, Cells]]:
    """The cells as an array, if a source could pass them as one."""
    if len({type(cell) for cell in good}) > 1 or isinstance(good[0], (Mapping, list, tuple, bool)):
        return []
    try:
        array = np.asarray(good)
    except (ValueError, OverflowError):
        return []
    return [("an array", array)] if array.dtype.kind in "biufU" else []


def _assembled(modality: Modality, good: Sequence[Any]) -> list[tuple[str, Cells]]:
    """The cells, split into columns and joined again."""
    columns = modality.by_column("it", good)
    if set(columns) != set(modality.source_columns("it")):
        raise ValueError(
            f"by_column returns the columns {list(columns)}, and source_columns {list(modality.source_columns('it'))}"
        )
    return [("the cells that assembled joins from by_column", modality.assembled("it", columns))]


def bad_cells_are_reported(subject: Subject) -> Iterator[str]:
    """`parse_column` reports a bad cell by its row; it raises no error and affects no other row."""
    modality, good = subject.modality, next(c for r, c in enumerate(subject.cells) if r not in subject.parsed.faults)
    for cell in (*_STRANGE, *subject.bad):
        try:
            parsed = modality.parse_column([good, cell, None, good])
        except Exception as error:
            yield (
                f"parse_column: must report a bad cell by its row, but raised {type(error).__name__} for "
                f"{quote(cell)}; let parse raise ValueError for every cell that it cannot read"
            )
            continue
        if parsed.present.tolist()[::3] != [True, True] or set(parsed.faults) - {1}:
            yield (
                f"parse_column: a bad cell must not affect other rows, but {quote(cell)} did; read each row on its own"
            )
        if not all(isinstance(text, str) and text.strip() for text in parsed.faults.values()):
            yield f"parse_column: must say what is wrong with a cell, but {quote(cell)} has an empty fault; add a text"
    for cell in subject.bad:
        if 1 not in modality.parse_column([good, cell]).faults:
            yield f"parse_column: must reject {quote(cell)}, but read it; let parse raise ValueError for it"


def preparing_is_sound(subject: Subject) -> Iterator[str]:
    """`prepare` returns finite values of event_shape, the same for the same keys in any order."""
    modality, stored, keys, x = subject.modality, subject.stored, subject.keys, subject.x
    if x.shape != stored.shape:
        yield (
            f"prepare: must return (N, *event_shape), {shape(stored)}, but got {shape(x)}; keep the shape of what is "
            "stored"
        )
        return
    if not finite(x):
        yield "prepare: must return finite values, but got NaN or infinity; let parse reject such cells"
    copy = stored.clone()
    order = torch.arange(len(stored)).flip(0)
    if not torch.equal(modality.prepare(stored[order], None, keys[order]), x[order]):
        yield (
            "prepare: must depend only on a row's value and key, but the order of rows changed the result; draw from "
            "the keys"
        )
    torch.manual_seed(7)
    if not torch.equal(modality.prepare(stored, None, keys), x):
        yield (
            "prepare: must draw the same values for the same keys, but they changed; draw with "
            "mmtoolkit.keyed_uniform(keys, ...)"
        )
    if not torch.equal(modality.prepare(stored[:1], None, keys[:1]), x[:1]):
        yield "prepare: must treat each row on its own, but a row alone gave another result; use no other rows"
    if not torch.equal(stored, copy):
        yield "prepare: must not change the stored values, but did; do not work in place"
    if modality.redraws:
        yield from _redraws(modality, stored)


def _redraws(modality: Modality, stored: Tensor) -> Iterator[str]:
    state = torch.get_rng_state()
    first, again = (modality.prepare(stored, torch.Generator().manual_seed(3), None) for _ in range(2))
    if not torch.equal(first, again) or not torch.equal(torch.get_rng_state(), state):
        yield "prepare: must draw only from `generator`, but used another; pass `generator` to every draw"
    if all(torch.equal(modality.prepare(stored, None, None), first) for _ in range(5)):
        yield (
            "prepare: must draw anew if redraws is True, but returned the same values each time; remove redraws, or "
            "draw"
        )


def typed_cells_are_read(subject: Subject) -> Iterator[str]:
    """`typed` reads cells from text, as typed on the command line."""
    modality = subject.modality
    for cell in subject.cells:
        if isinstance(cell, Mapping):
            text = json.dumps(cell)
        elif isinstance(cell, (str, int, float)) and not isinstance(cell, bool):
            text = str(cell)
        else:
            continue
        if not torch.equal(modality.parse(modality.typed(text)), modality.parse(cell)):
            yield (
                f"typed: must read the text {quote(text)} as the cell {quote(cell)}, but read another; write typed, or "
                "let parse read text"
            )
            return


CHECKS = (
    cells_are_at_hand,
    options_come_back,
    fit_learns,
    fit_bears_faults,
    cells_are_read,
    columns_equal_cells,
    bad_cells_are_reported,
    preparing_is_sound,
    typed_cells_are_read,
)
