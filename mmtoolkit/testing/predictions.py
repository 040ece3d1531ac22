"""Checks of how a modality writes, scores and shows values and predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mmtoolkit.components import Modality, NumberModality
from mmtoolkit.testing.promises import close, finite, shape
from mmtoolkit.testing.subjects import Subject, quote


def values_come_back(subject: Subject) -> Iterator[str]:
    """`cell` writes a value as a cell that reads back as the same value, as far as storage can hold it."""
    modality, x = subject.modality, subject.x
    again = subject.read_back(x)
    if not close(again, x, 1e-6):
        row = int((again != x).flatten(1).any(1).nonzero()[0]) if x.ndim > 1 else int((again != x).nonzero()[0])
        cell = quote(modality.cell(x[row]))
        yield f"cell: prepare(parse(cell(x))) must return x, but differs for the cell {cell}; make cell undo parse"
    point = modality.point(subject.p)
    for what, values in {"point": point, "a sample": subject.p.sample()}.items():
        once = subject.read_back(values)
        if not subject.draws and not close(subject.read_back(once), once, 1e-6):
            yield (f"cell: {what} must not change after it was read back once, but changed again; make cell undo parse")
    once = subject.read_back(point).double()
    if not subject.draws and ((once - point.double()).abs() > 0.01 * point.double().abs().clamp(min=1)).any():
        yield (
            "point: must return a value that a cell can hold, but another value was read back; round or clamp it to "
            "what can be stored"
        )


def scores_favour_the_truth(subject: Subject) -> Iterator[str]:
    """`scores` returns one finite number a row, best for the truth itself by what `better` says."""
    modality, x = subject.modality, subject.x
    point = modality.point(subject.p)
    truth, other, moved = modality.scores(x, x), modality.scores(point, x), modality.scores(x.roll(1, 0), x)
    if not truth or not truth.keys() == other.keys() == moved.keys():
        yield (
            f"scores: must always return the same names, at least one, but got {list(truth)} and {list(other)}; use "
            "the same names"
        )
        return
    for name, best in truth.items():
        if best.shape != (len(x),) or not finite(other[name]) or not finite(best):
            yield (
                f"scores: {name} must be one finite number a row, ({len(x)},), but got {shape(best)}, or numbers that "
                "are not finite; reduce it to rows"
            )
            continue
        yield from _best_for_the_truth(modality, name, best, (other[name], moved[name]))
    details, other_details = modality.detailed_scores(x, x), modality.detailed_scores(point, x)
    if {name: value.shape for name, value in details.items()} != {n: v.shape for n, v in other_details.items()}:
        yield (
            "detailed_scores: must score rows that depend only on x, but they changed with the prediction; choose the "
            "rows by x"
        )
        return
    for name, best in details.items():
        yield from _best_for_the_truth(modality, name, best, (other_details[name],), "detailed_scores")


def _best_for_the_truth(
    modality: Modality, name: str, truth: Tensor, others: Sequence[Tensor], method: str = "scores"
) -> Iterator[str]:
    """Whether a score states its direction, and by that no prediction has a better mean than the truth."""
    better: Any = modality.better().get(name)
    if better not in ("high", "low"):
        yield (
            f"{method}: must say whether high or low is better, but `better` returns {better!r} for {name}; return "
            "'high' or 'low'"
        )
        return
    best, sign = truth.double().mean(), 1 if better == "high" else -1
    for other in (score.double().mean() for score in others):
        if sign * (other - best) > 1e-6:
            yield (
                f"{method}: {name} must be best for the truth, and `better` says {better}, but is {best:.3g} for the "
                f"truth and {other:.3g} for another value; correct `better`, or change the sign of the score"
            )
            return


def baseline_is_a_value(subject: Subject) -> Iterator[str]:
    """`baseline` returns one finite value, the same for any division of the rows into chunks."""
    modality, x = subject.modality, subject.x
    whole, parts = modality.baseline(iter([x])), modality.baseline(iter([x[:1], x[1:5], x[5:]]))
    if tuple(whole.shape) != subject.event or not finite(whole):
        yield (
            f"baseline: must return one finite value of event_shape {subject.event}, but got {shape(whole)}, or it is "
            "not finite; reduce over rows"
        )
        return
    if not close(whole, parts):
        yield (
            "baseline: must not depend on how the rows are divided into chunks, but does; sum over all chunks, then "
            "divide"
        )
    if any(score.shape != (len(x),) for score in modality.scores(whole.expand(len(x), *whole.shape), x).values()):
        yield "scores: must accept the baseline as a prediction, but returned other shapes for it; return (N,) for it"


def spreads_are_in_the_unit(subject: Subject) -> Iterator[str]:
    """`spread` returns standard deviations in the unit of the table's cells."""
    modality = subject.modality
    if not isinstance(modality, NumberModality):
        return
    spread = modality.spread("it", subject.p, 1)
    for cell in subject.cells:
        entries = {modality.source_columns("it")[0]: cell} if modality.single else cell
        for place, column in enumerate(modality.source_columns("it")):
            entry = entries.get(column)
            if "std" not in spread.get(column, {}) or isinstance(entry, bool) or not isinstance(entry, (int, float)):
                continue
            number = modality.number(entry, place)
            if abs(number - entry) > 1e-6 * max(1.0, abs(entry)):
                yield (
                    f"number: must keep the unit of the cells, as spread returns standard deviations in it, but "
                    f"{entry:g} became {number:g}; convert in prepare or in the networks, or write spread"
                )
                return


def values_are_drawn(subject: Subject) -> Iterator[str]:
    """`text` and `draw` show values, and predictions too."""
    from matplotlib.figure import Figure

    modality = subject.modality
    for value in (subject.x[0], modality.point(subject.p)[0], modality.baseline(iter([subject.x]))):
        texts: dict[str, Any] = {"text": modality.text(value), "named": modality.named("it", value)}
        for what, text in texts.items():
            if not isinstance(text, str):
                yield f"{what}: must return a text, but got {type(text).__name__}; return str"
        figure = Figure(figsize=(1, 1))
        axes = figure.subplots()
        modality.draw(value, axes)
        figure.canvas.draw()


def effects_are_numbers(subject: Subject) -> Iterator[str]:
    """`effect` returns a finite number a row, and 0 where nothing changed."""
    modality, p, rows = subject.modality, subject.p, len(subject.x)
    with torch.no_grad():
        other = subject.decoder()(subject.z.flip(0))
    same, changed = modality.effect(p, p, 1), modality.effect(p, other, 1)
    if same.shape != (rows,) or changed.shape != (rows,) or not finite(changed):
        yield (
            f"effect: must return one finite number a row, ({rows},), but got {shape(changed)}, or numbers that are "
            "not finite; reduce it to rows"
        )
    elif same.abs().max() > 0:
        yield "effect: must be 0 if both predictions are the same, but differs; compare the two in the same way"


CHECKS = (
    values_come_back,
    scores_favour_the_truth,
    baseline_is_a_value,
    spreads_are_in_the_unit,
    values_are_drawn,
    effects_are_numbers,
)
