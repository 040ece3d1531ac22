"""Checks of a modality made of parts: its form, its reader and its values agree."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.distributions import Distribution

from mmtoolkit.components import Classes, Modality, NumberModality, Parted, Tokens
from mmtoolkit.testing.forms import called
from mmtoolkit.testing.promises import finite, networks_of, shape
from mmtoolkit.testing.subjects import SIZE, Subject


def parts_agree(subject: Subject) -> Iterator[str]:
    """If it is made of parts: `form` is what `gives` says, `reader` returns its shape, decoders have its places."""
    modality, x = subject.modality, subject.x
    if not isinstance(modality, Parted):
        return
    form, rows = modality.form(), len(subject.x)
    if not isinstance(form, modality.gives):
        yield (
            f"form: must be of the type that gives says, {modality.gives.__name__}, but is {called(form)}; correct "
            "gives"
        )
    with torch.no_grad():
        read = networks_of(modality.reader)(x)
    if tuple(read.shape) != (rows, *form.shape):
        yield (
            f"reader: must return (N, *form.shape), {(rows, *form.shape)}, but got {shape(read)}; make form and reader "
            "agree"
        )
    elif isinstance(form, (Classes, Tokens)):
        if read.dtype != torch.int64:
            yield f"reader: must return int64, as {called(form)} has indices, but got {read.dtype}; convert by x.long()"
    elif not read.is_floating_point() or not finite(read):
        yield f"reader: must return finite floats, but got {read.dtype}, or numbers that are not finite; scale them"
    with torch.no_grad():
        p = networks_of(lambda: modality.network.decoder(form, SIZE, modality.likelihood))(subject.z)
        whole = modality.joined(p)
    batches = ((rows, *form.places), ()), ((rows,), form.places)
    if (tuple(p.batch_shape), tuple(p.event_shape)) not in batches:
        yield (
            f"network: its decoder must return a distribution over the places {form.places}, but it has batch "
            f"{tuple(p.batch_shape)} and event {tuple(p.event_shape)}; check the parts by check_architecture and "
            "check_likelihood"
        )
    elif not isinstance(whole, Distribution) or (tuple(whole.batch_shape), tuple(whole.event_shape)) != (
        (rows,),
        subject.event,
    ):
        yield (
            f"joined: must make of the places {form.places} one value of event_shape {subject.event} a row, but does "
            "not; make form, joined and event_shape agree"
        )


# What averages numbers, or takes their differences, as if they lay on a line.
_LINEAR: dict[str, tuple[object, ...]] = {
    "baseline": (Modality.baseline, NumberModality.baseline),
    "pooled": (Modality.pooled,),
    "spread": (NumberModality.spread,),
    "scores": (Modality.scores,),
    "entry_scores": (NumberModality.entry_scores,),
    "part_numbers": (Modality.part_numbers, NumberModality.part_numbers),
}


def cycles_are_no_lines(subject: Subject) -> Iterator[str]:
    """If its numbers are those of a cycle: means, spreads and errors are taken around it."""
    modality = subject.modality
    if not isinstance(modality, Parted) or modality.form().support != "cyclic":
        return
    linear = [name for name, known in _LINEAR.items() if getattr(type(modality), name, None) in known]
    if linear:
        yield (
            f"{', '.join(linear)}: must go around the cycle, as form has the support cyclic, but are the defaults, for "
            "which 359° and 1° lie 358° apart; write them (part_numbers may return None)"
        )


REQUIRED = (parts_agree,)
CHECKS = (parts_agree, cycles_are_no_lines)
