"""Checks of values that may be partly known: which parts are known, hiding them and filling them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mmtoolkit.testing.promises import close, shape
from mmtoolkit.testing.subjects import Subject


def parts_are_known(subject: Subject) -> Iterator[str]:
    """`known_parts` says which parts of each value are known: all of them in predictions, some in every cell."""
    modality, x = subject.modality, subject.x
    numbers = modality.part_numbers(x)
    if numbers is not None and (numbers.shape != modality.known_parts(x).shape or numbers.dtype != torch.float64):
        yield (
            f"part_numbers: must be float64 with the shape of known_parts, {shape(modality.known_parts(x))}, but got "
            f"{numbers.dtype} {shape(numbers)}; return a number a part, or None"
        )
    known, none = modality.known_parts(x), modality.known_parts(x[:0])
    if known.dtype != torch.bool or known.ndim != 2 or len(known) != len(x):
        yield f"known_parts: must be bool ({len(x)}, P), but got {known.dtype} {shape(known)}; return a flag a part"
        return
    if none.shape != (0, known.shape[1]):
        yield f"known_parts: must have P = {known.shape[1]} columns for no rows too, but got {shape(none)}; keep P"
    if not known.any(1).all():
        yield "known_parts: must know a part of every present value, but knows none; let such a cell be missing"
    for what, values in {"point": modality.point(subject.p), "a sample": subject.p.sample()}.items():
        if not modality.known_parts(values).all():
            yield f"known_parts: must know all parts of {what}, but does not; let the decoder set all flags"


def parts_are_hidden_and_filled(subject: Subject) -> Iterator[str]:
    """`without_parts` makes parts unknown, `filled` takes them from another value; no other part changes."""
    modality, x = subject.modality, subject.x
    known, point = modality.known_parts(x), modality.point(subject.p)
    filled = modality.filled(x, point)
    if filled.shape != x.shape:
        yield f"filled: must return values {shape(x)}, but got {shape(filled)}; keep the shape of the observed values"
        return
    if known.shape[1] == 1:
        return
    if not modality.known_parts(filled).all():
        yield "filled: must leave no part unknown, but does; take every unknown part from `made`"
    mask = torch.rand(known.shape) < 0.5
    mask[torch.arange(len(x)), known.double().argmax(1)] = False  # a known part stays
    hidden = modality.without_parts(x, mask)
    if not torch.equal(modality.known_parts(hidden), known & ~mask):
        yield "without_parts: must make exactly the parts of the mask unknown too, but does not; set their flags"
        return
    nothing = torch.zeros_like(mask)
    if not close(modality.without_parts(x, nothing), x):
        yield "without_parts: must return x for an empty mask, but changed it; change only the parts of the mask"
    if not close(modality.filled(modality.without_parts(filled, mask), filled), filled):
        yield "filled: must undo without_parts, but the values differ; keep known parts, take the others from `made`"
    truth, scores = modality.scores(x, x), modality.scores(filled, x)
    if any(not close(scores[name], truth[name]) for name in truth):
        yield "filled: must return known parts as they are, but changed them; fill unknown parts alone"
    yield from _unknown_parts_say_nothing(subject, hidden, mask)
    if not subject.draws and not torch.equal(modality.known_parts(subject.read_back(hidden)), known & ~mask):
        yield "cell: must leave out unknown parts, but they came back known; write null for each"


def _unknown_parts_say_nothing(subject: Subject, hidden: Tensor, mask: Tensor) -> Iterator[str]:
    """Sentences if scores, networks, likelihood or baseline read numbers that are unknown."""
    modality, x, point = subject.modality, subject.x, subject.modality.point(subject.p)
    other = modality.filled(modality.without_parts(point, mask), point.roll(1, 0))
    before, after = modality.scores(point, hidden), modality.scores(other, hidden)
    if any(not close(before[name], after[name]) for name in before):
        yield "scores: must score known parts alone, but the prediction of an unknown one changed them; leave it out"
    twin = modality.without_parts(modality.filled(hidden, point), ~modality.known_parts(hidden))
    readers: dict[str, Callable[[Tensor], Tensor]] = {
        "log_prob": subject.p.log_prob,
        "encoder": subject.encoder(),
        "condition": modality.condition,
    }
    for what, reader in readers.items():
        if not close(reader(hidden), reader(twin)):
            yield f"{what}: must not depend on what stands in unknown parts, but does; leave them out"
    first = torch.zeros_like(mask)
    first[:, 0] = True
    whole = x[modality.known_parts(x)[:, 1:].any(1)]
    partly = modality.without_parts(whole, first[: len(whole)])
    if len(whole) and not close(modality.baseline(iter([whole])), modality.baseline(iter([whole, partly]))):
        yield "baseline: must be that of the known values of each part, but unknown ones changed it; leave them out"


CHECKS = (parts_are_known, parts_are_hidden_and_filled)
