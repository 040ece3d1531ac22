"""Small forms to try architectures and likelihoods with, and values that they have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, fields
from itertools import product

import torch
from torch import Tensor

from mmtoolkit.components import Architecture, Classes, Form, Grid, Likelihood, Numbers, Series, Tokens
from mmtoolkit.components.support import Support, is_within

_READ: tuple[Form, ...] = (
    Numbers(1),
    Numbers(3, gaps=True),
    Numbers(1, features=5),
    Classes(3),
    Grid(1, 8, 8, support="unit"),
    Grid(2, 9, 12),
    Grid(1, 33, 34),
    Grid(1, 2, 3),
    Series(2, 12, gaps=True),
    Series(1, 3),
    Tokens(6, 5),
)
_NUMERIC: tuple[Support, ...] = ("real", "positive", "unit", "whole", "cyclic")


def forms_read(architecture: Architecture) -> tuple[Form, ...]:
    """Small forms that an architecture reads, of the types that ship with mmtoolkit."""
    forms = (form for form in _READ if isinstance(form, architecture.reads))
    return tuple(form for form in forms if architecture.misfit(form) is None)


def forms_scored(likelihood: Likelihood) -> tuple[Form, ...]:
    """Small forms that a likelihood scores, of the types that ship with mmtoolkit and each support that it has."""
    forms = (form for form in _scored(likelihood) if isinstance(form, likelihood.scores))
    return tuple(form for form in forms if likelihood.misfit(form) is None)


def _scored(likelihood: Likelihood) -> Iterator[Form]:
    for support in (support for support in _NUMERIC if is_within(support, likelihood.support)):
        # Values from 0 to 1 are not standardised.
        one, two, three = (
            ((), ()) if support == "unit" else ((0.5, -1.0, 0.2)[:size], (2.0, 0.7, 1.0)[:size]) for size in (1, 2, 3)
        )
        yield Numbers(1, support=support, shift=one[0], scale=one[1])
        if support in (likelihood.support, "unit"):
            yield Numbers(3, support=support, shift=three[0], scale=three[1])
            yield Grid(1, 1, 1, support=support, shift=one[0], scale=one[1])
            yield Grid(2, 3, 2, support=support, shift=two[0], scale=two[1])
            yield Series(2, 3, support=support, shift=two[0], scale=two[1])
    yield Classes(2, support="unit" if likelihood.support == "unit" else "classes")
    yield Classes(4)
    yield Tokens(4, 3)


def called(form: Form) -> str:
    """A form for a sentence, without the options that have their default."""
    options = [f"{field.name}={getattr(form, field.name)!r}" for field in fields(form) if _is_set(form, field)]
    return f"{type(form).__name__}({', '.join(options)})"


def _is_set(form: Form, field: Field[object]) -> bool:
    return bool(getattr(form, field.name) != field.default)


def texts_of(form: Tokens) -> Tensor:
    """All texts of a form: (n, L), int64."""
    symbols = range(form.FIRST, form.vocabulary)
    texts = [
        [*text, *[form.STOP] * (form.length - length)]
        for length in range(form.min_length, form.length + 1)
        for text in product(symbols, repeat=length)
    ]
    return torch.tensor(texts)


def inputs_of(form: Form, rows: int, seed: int = 1) -> Tensor:
    """What an encoder may read: (N, *form.shape)."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(form, Tokens) or form.support == "classes":
        return _indices(form, rows, generator)
    if isinstance(form, Classes):
        return torch.randint(form.count, (rows,), generator=generator)
    x = torch.randn(rows, *form.shape, generator=generator)
    if form.support == "unit":
        x = x.sigmoid()
    if isinstance(form, (Numbers, Series)) and form.gaps:
        known = (torch.rand(rows, *form.places, generator=generator) < 0.7).to(x)
        x = torch.cat([x[:, : form.places[0]] * known, known], dim=1)
    return x


def values_of(form: Form, rows: int, seed: int = 1) -> Tensor:
    """Values that a likelihood may score: (N, *form.places); the first two rows hold the ends of the support."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(form, Tokens) or form.support == "classes":
        return _indices(form, rows, generator)
    x = torch.randn(rows, *form.places, generator=generator)
    if form.support == "cyclic":
        x = x.remainder(2 * math.pi)
    if form.shift:
        by_channel = (-1, *[1] * (len(form.places) - 1))
        x = torch.tensor(form.shift).reshape(by_channel) + torch.tensor(form.scale).reshape(by_channel) * x
    match form.support:
        case "positive":
            x = x.exp()
        case "unit":
            x = x.sigmoid()
            x[:1], x[1:2] = 0.0, 1.0
        case "whole":
            x = x.exp().floor()
            x[:1], x[1:2] = 0.0, 40.0
    return x


def _indices(form: Form, rows: int, generator: torch.Generator) -> Tensor:
    """Texts, classes, or zeros and ones where the form is a plugin's own: int64."""
    if isinstance(form, Tokens):
        length = torch.randint(form.min_length, form.length + 1, (rows, 1), generator=generator)
        x = torch.randint(form.FIRST, form.vocabulary, (rows, form.length), generator=generator)
        return torch.where(torch.arange(form.length) < length, x, form.STOP)
    count = form.count if isinstance(form, Classes) else 2
    return torch.randint(count, (rows, *form.places), generator=generator)


def size_of(form: Form) -> int:
    """How many places a form has."""
    return math.prod(form.places)
