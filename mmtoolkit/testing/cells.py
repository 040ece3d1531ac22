"""What a modality promises of its options and its cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtoolkit.components import Component, Modality, NumberModality, Parsed
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing.promises import close, finite, shape
from mmtoolkit.testing.subjects import Subject, Untouchable, is_open, shown

# What stands in tables by mistake; a modality may read some of it.
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
    """There are cells to try it with, from which it learns what is open and which it reads and prepares."""
    x: Any = subject.x
    if not isinstance(x, Tensor):
        yield f"prepare: gives a tensor, but {type(x).__name__} came; return the values (N, *event_shape)"


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options come back from JSON as they were, before fit and after it."""
    yield from round_trip(subject.given, "before fit")
    yield from round_trip(subject.modality, "after fit")


def round_trip(component: Component, when: str = "") -> Iterator[str]:
    """A sentence where a component's options do not come back from JSON."""
    again = type(component).model_validate_json(component.model_dump_json())
    if again != component:
        different = [name for name in type(component).model_fields if getattr(again, name) != getattr(component, name)]
        yield (
            f"options: model_validate_json(model_dump_json()) gives the same options{' ' if when else ''}{when}, but "
            f"{', '.join(different)} came back as another; give them types that JSON holds, or a serialiser"
        )


def fit_learns(subject: Subject) -> Iterator[str]:
    """`fit` gives a validated copy that leaves nothing open and changes no option that was given."""
    given, before = subject.given, subject.given.model_dump()
    learned = subject.modality
    if type(learned) is not type(given):
        yield f"fit: gives a {type(given).__name__}, but a {type(learned).__name__} came; return a copy of itself"
        return
    if given.model_dump() != before:
        yield "fit: leaves the instance as it is, but its options changed; return a copy instead"
    after = learned.model_dump()
    if changed := [name for name, value in before.items() if value is not None and after[name] != value]:
        yield f"fit: fills only options left None, but it changed {', '.join(changed)}; leave what is given as it is"
    if type(learned).model_validate(after) != learned:
        yield "fit: gives a validated copy, but validation changes it; return type(self).model_validate({...})"
    if is_open(learned):
        yield (
            "fit: fills all that is open, but what it gave reads the cells again; learn it all at once, and return "
            "self without iterating over chunks where nothing is None"
        )
    elif learned.fit(Untouchable()) != learned:
        yield "fit: gives itself where nothing is open, but something else came; return self"


def fit_bears_faults(subject: Subject) -> Iterator[str]:
    """`fit` gets cells as they are: what cannot be read is left out, or a ValueError says what is wrong."""
    if not is_open(subject.given):
        return
    for cell in (*_STRANGE, *subject.bad):
        try:
            subject.given.fit(iter([[*subject.cells, cell]]))
        except ValueError as error:
            if not str(error):
                yield f"fit: says why it cannot learn, but an empty ValueError came for {shown(cell)}; give it a text"
        except Exception as error:
            yield (
                f"fit: leaves out cells that cannot be read, or raises ValueError, but {type(error).__name__} came "
                f"for {shown(cell)}; learn from parse_column's present rows"
            )


def cells_are_read(subject: Subject) -> Iterator[str]:
    """`parse` and `parse_column` read every example cell, to one shape and type."""
    modality, event, parsed = subject.modality, subject.event, subject.parsed
    if not all(isinstance(size, int) for size in event):
        yield f"event_shape: is a tuple of whole numbers, but {event} came; give the shape of one value"
    for row, fault in list(parsed.faults.items())[:3]:
        cell = shown(subject.cells[row])
        yield f"parse_column: reads the example cells, but {cell} is at fault: {fault}; mend parse, or the example"
    values = [modality.parse(cell) for row, cell in enumerate(subject.cells) if row not in parsed.faults]
    for value in values:
        if not isinstance(value, Tensor) or value.shape != event:
            yield f"parse: gives a tensor of event_shape {event}, but {shape(value)} came; make the two agree"
            return
    if len(types := {value.dtype for value in values}) > 1:
        yield f"parse: gives one type of tensor, but {' and '.join(sorted(map(str, types)))} came; convert to one"
    yield from _whole(parsed, len(subject.cells), event)


def columns_equal_cells(subject: Subject) -> Iterator[str]:
    """`parse_column` gives what parse gives cell by cell, of lists and of arrays, with None anywhere."""
    modality, good = (
        subject.modality,
        [cell for row, cell in enumerate(subject.cells) if row not in subject.parsed.faults],
    )
    each = torch.stack([modality.parse(cell) for cell in good])
    holes: list[Any] = [None, *good[:1], None, None, *good[1:], None]
    for what, cells in (
        ("a list", good),
        ("a list with None among it", holes),
        *_arrays(good),
        *_assembled(modality, good),
    ):
        parsed = modality.parse_column(cells)
        yield from _whole(parsed, len(cells), subject.event)
        known = torch.tensor([cells is not holes or cell is not None for cell in cells])
        if not torch.equal(parsed.present.cpu(), known) or parsed.faults:
            yield (
                f"parse_column: of {what} exactly the cells that are not None are present and none is at fault, but "
                f"present is {parsed.present.tolist()} and the faults are {dict(parsed.faults)}; treat None as missing"
            )
        elif not torch.equal(parsed.stored[parsed.present].double(), each.double()):
            yield f"parse_column: of {what} gives what parse gives cell by cell, but values differ; make the two agree"
        elif what == "a list" and parsed.stored.dtype != each.dtype and each.dtype.is_floating_point:
            yield f"parse_column: keeps the digits of parse, {each.dtype}, but {parsed.stored.dtype} came; use one type"
    nothing = modality.parse_column([None, None, None])
    yield from _whole(nothing, 3, subject.event)
    if nothing.present.any() or nothing.faults:
        yield "parse_column: of None alone nothing is present or at fault, but something was; treat None as missing"


def _whole(parsed: Parsed, rows: int, event: tuple[int, ...]) -> Iterator[str]:
    stored, present = parsed.stored, parsed.present
    if tuple(stored.shape) != (rows, *event):
        yield f"parse_column: stores ({rows}, *event_shape), {(rows, *event)}, but {shape(stored)} came; correct stored"
    if present.dtype != torch.bool or tuple(present.shape) != (rows,):
        yield f"parse_column: present is bool ({rows},), but {present.dtype} {shape(present)} came; correct present"


def _arrays(good: Sequence[Any]) -> list[tuple[str, Cells]]:
    """The cells as one array, where a source could give them as one."""
    if len({type(cell) for cell in good}) > 1 or isinstance(good[0], (Mapping, list, tuple, bool)):
        return []
    try:
        array = np.asarray(good)
    except (ValueError, OverflowError):
        return []
    return [("an array", array)] if array.dtype.kind in "biufU" else []


def _assembled(modality: Modality, good: Sequence[Any]) -> list[tuple[str, Cells]]:
    """The cells taken apart into columns and joined again."""
    columns = modality.by_column("it", good)
    if set(columns) != set(modality.source_columns("it")):
        raise ValueError(f"by_column gives {list(columns)}, and source_columns {list(modality.source_columns('it'))}")
    return [("its columns, by_column and assembled again,", modality.assembled("it", columns))]


def bad_cells_are_told(subject: Subject) -> Iterator[str]:
    """A bad cell is told by its row, never raised, and costs no other row."""
    modality, good = subject.modality, next(c for r, c in enumerate(subject.cells) if r not in subject.parsed.faults)
    for cell in (*_STRANGE, *subject.bad):
        try:
            parsed = modality.parse_column([good, cell, None, good])
        except Exception as error:
            yield (
                f"parse_column: tells a bad cell by its row, but {type(error).__name__} was raised for {shown(cell)}; "
                "let parse raise ValueError for whatever it cannot read"
            )
            continue
        if parsed.present.tolist()[::3] != [True, True] or set(parsed.faults) - {1}:
            yield f"parse_column: a bad cell costs no other row, but {shown(cell)} did; look at each row by itself"
        if not all(isinstance(text, str) and text.strip() for text in parsed.faults.values()):
            yield f"parse_column: says what is wrong with a cell, but nothing is said of {shown(cell)}; give a text"
    for cell in subject.bad:
        if 1 not in modality.parse_column([good, cell]).faults:
            yield f"parse_column: {shown(cell)} is at fault, but it was read; let parse raise ValueError for it"


def preparing_is_sound(subject: Subject) -> Iterator[str]:
    """`prepare` gives finite values of event_shape, the same for the same keys in any order."""
    modality, stored, keys, x = subject.modality, subject.stored, subject.keys, subject.x
    if x.shape != stored.shape:
        yield f"prepare: gives (N, *event_shape), {shape(stored)}, but {shape(x)} came; keep one shape all the way"
        return
    if not finite(x):
        yield "prepare: gives finite values, but NaN or infinity came; let parse refuse such cells"
    kept = stored.clone()
    order = torch.arange(len(stored)).flip(0)
    if not torch.equal(modality.prepare(stored[order], None, keys[order]), x[order]):
        yield "prepare: depends on a row's value and key alone, but the order of rows mattered; draw from keys"
    torch.manual_seed(7)
    if not torch.equal(modality.prepare(stored, None, keys), x):
        yield "prepare: with keys a draw is fixed for good, but it changed; draw by mmtoolkit.keyed_uniform(keys, ...)"
    if not torch.equal(modality.prepare(stored[:1], None, keys[:1]), x[:1]):
        yield "prepare: of one row gives what it gives of many, but it differs; look at each row by itself"
    if not torch.equal(stored, kept):
        yield "prepare: leaves what is stored as it is, but changed it; do not work in place"
    if modality.redraws:
        yield from _redraws(modality, stored)


def _redraws(modality: Modality, stored: Tensor) -> Iterator[str]:
    state = torch.get_rng_state()
    first, again = (modality.prepare(stored, torch.Generator().manual_seed(3), None) for _ in range(2))
    if not torch.equal(first, again) or not torch.equal(torch.get_rng_state(), state):
        yield "prepare: draws from the generator alone, but another was used; hand `generator` to every draw"
    if all(torch.equal(modality.prepare(stored, None, None), first) for _ in range(5)):
        yield "prepare: draws anew where redraws is True, but gave the same each time; drop redraws, or draw"


def values_come_back(subject: Subject) -> Iterator[str]:
    """A value becomes a cell, and that cell the value again, as far as storage can hold it."""
    modality, x = subject.modality, subject.x
    again = subject.back(x)
    if not close(again, x, 1e-6):
        row = int((again != x).flatten(1).any(1).nonzero()[0]) if x.ndim > 1 else int((again != x).nonzero()[0])
        cell = shown(modality.cell(x[row]))
        yield f"cell: prepare(parse(cell(x))) gives x again, but it differs for the cell {cell}; make cell undo parse"
    point = modality.point(subject.p)
    made = {"point": point, "a sample": subject.p.sample()}
    for what, values in made.items():
        once = subject.back(values)
        if not subject.draws and not close(subject.back(once), once, 1e-6):
            yield f"cell: {what} once read back stays as it is, but it changed again; make cell undo parse"
    once = subject.back(point).double()
    if not subject.draws and ((once - point.double()).abs() > 0.01 * point.double().abs().clamp(min=1)).any():
        yield (
            "point: gives a value that a cell can hold, but another was read back; round or clamp it to what is stored"
        )


def typed_cells_are_read(subject: Subject) -> Iterator[str]:
    """Cells may be text, as the command line has it."""
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
                f"typed: the text {shown(text)} is the cell {shown(cell)}, but another was read; write typed, or let "
                "parse read text"
            )
            return


def scores_tell(subject: Subject) -> Iterator[str]:
    """`scores` gives one finite number a row, best for the truth itself by what `better` says."""
    modality, x = subject.modality, subject.x
    point = modality.point(subject.p)
    truth, other, moved = modality.scores(x, x), modality.scores(point, x), modality.scores(x.roll(1, 0), x)
    if not truth or not truth.keys() == other.keys() == moved.keys():
        yield (
            f"scores: always has the same names, one or more, but {list(truth)} and {list(other)} came; name them alike"
        )
        return
    for name, best in truth.items():
        if best.shape != (len(x),) or not finite(other[name]) or not finite(best):
            yield (
                f"scores: {name} is one finite number a row, ({len(x)},), but {shape(best)} came, or it is not finite; "
                "reduce it to rows"
            )
            continue
        yield from _best_for_the_truth(modality, name, best, (other[name], moved[name]))
    details, other_details = modality.detailed_scores(x, x), modality.detailed_scores(point, x)
    if {name: value.shape for name, value in details.items()} != {n: v.shape for n, v in other_details.items()}:
        yield (
            "detailed_scores: which rows they are of depends on x alone, but it changed with the prediction; choose "
            "them by x"
        )
        return
    for name, best in details.items():
        yield from _best_for_the_truth(modality, name, best, (other_details[name],), "detailed_scores")


def _best_for_the_truth(
    modality: Modality, name: str, truth: Tensor, others: Sequence[Tensor], method: str = "scores"
) -> Iterator[str]:
    """Whether a score says which way it is better, and its mean for the truth is none the worse by that."""
    better: Any = modality.better().get(name)
    if better not in ("high", "low"):
        yield (
            f"{method}: say whether high or low is better, but `better` gives {better!r} for {name}; let it give "
            "'high' or 'low'"
        )
        return
    best, sign = truth.double().mean(), 1 if better == "high" else -1
    for other in (score.double().mean() for score in others):
        if sign * (other - best) > 1e-6:
            yield (
                f"{method}: {name} is best for the truth, and `better` says {better}, but {best:.3g} came for it and "
                f"{other:.3g} for another; correct `better`, or turn the score round"
            )
            return


def baseline_is_a_value(subject: Subject) -> Iterator[str]:
    """`baseline` gives one finite value, however the rows are cut into chunks."""
    modality, x = subject.modality, subject.x
    whole, parts = modality.baseline(iter([x])), modality.baseline(iter([x[:1], x[1:5], x[5:]]))
    if tuple(whole.shape) != subject.event or not finite(whole):
        yield (
            f"baseline: gives one finite value of event_shape {subject.event}, but {shape(whole)} came; reduce over "
            "rows"
        )
        return
    if not close(whole, parts):
        yield "baseline: does not depend on how rows are cut into chunks, but it does; sum over all chunks first"
    if any(score.shape != (len(x),) for score in modality.scores(whole.expand(len(x), *whole.shape), x).values()):
        yield "scores: takes the baseline as a prediction, but gave other shapes for it; use the shapes of values"


def spreads_are_in_the_unit(subject: Subject) -> Iterator[str]:
    """A standard deviation that `spread` tells is in the unit of the table's cells."""
    modality = subject.modality
    if not isinstance(modality, NumberModality):
        return
    told = modality.spread("it", subject.p, 1)
    for cell in subject.cells:
        entries = {modality.source_columns("it")[0]: cell} if modality.single else cell
        for place, column in enumerate(modality.source_columns("it")):
            entry = entries.get(column)
            if "std" not in told.get(column, {}) or isinstance(entry, bool) or not isinstance(entry, (int, float)):
                continue
            number = modality.number(entry, place)
            if abs(number - entry) > 1e-6 * max(1.0, abs(entry)):
                yield (
                    f"number: keeps the unit of the cells, for spread tells standard deviations in it, but {entry:g} "
                    f"became {number:g}; convert in prepare or in the networks, or write spread"
                )
                return


def values_are_shown(subject: Subject) -> Iterator[str]:
    """Values can be shown as text and drawn, predictions too."""
    from matplotlib.figure import Figure

    modality = subject.modality
    for value in (subject.x[0], modality.point(subject.p)[0], modality.baseline(iter([subject.x]))):
        texts: dict[str, Any] = {"text": modality.text(value), "named": modality.named("it", value)}
        for what, text in texts.items():
            if not isinstance(text, str):
                yield f"{what}: gives a text, but {type(text).__name__} came; return str"
        figure = Figure(figsize=(1, 1))
        axes = figure.subplots()
        modality.draw(value, axes)
        figure.canvas.draw()
    known = modality.filled(subject.x, modality.point(subject.p))
    if known.shape != subject.x.shape:
        yield f"filled: gives values {shape(subject.x)}, but {shape(known)} came; keep one shape all the way"


OF_CELLS = (
    cells_are_at_hand,
    options_come_back,
    fit_learns,
    fit_bears_faults,
    cells_are_read,
    columns_equal_cells,
    bad_cells_are_told,
    preparing_is_sound,
    typed_cells_are_read,
)
OF_PREDICTIONS = (values_come_back, scores_tell, baseline_is_a_value, spreads_are_in_the_unit, values_are_shown)
