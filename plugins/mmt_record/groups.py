"""Groups of a record's columns, each of which one call scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from mmt_record.place import Place
from mmtoolkit import Classes, Form, Likelihood, Numbers, Parted

_QUICK = 10.0
_FEW = 16  # classes: columns of as many or fewer share a call


class _Times(nn.Module):
    """A parameter as a multiple of what the optimiser changes."""

    def forward(self, original: Tensor) -> Tensor:
        return original * _QUICK

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / _QUICK


def head_of(likelihood: Likelihood, form: Form) -> nn.Module:
    """The head of a likelihood, whose own parameters, such as scales, change by tenfold steps.

    Adam changes a parameter by its step size at most, so that in a thousand steps of 0.001 the logarithm of a scale
    would hardly move by one.
    """
    head = likelihood.head(form)
    for module in list(head.modules()):
        for name, _ in list(module.named_parameters(recurse=False)):
            register_parametrization(module, name, _Times())
    return head


class Group(nn.Module):
    """The likelihood of some columns, from their outputs.

    Args:
        columns: the indices of its columns, in ascending order.
        outputs: how many a row has.
    """

    def __init__(self, columns: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.columns, self.outputs = tuple(columns), outputs

    def log_probs(self, raw: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """The log-probability of each column, any finite number where it is unknown: (N, columns).

        Args:
            raw: (N, outputs).
            x: (N, columns) float64, 0 where unknown.
            known: (N, columns) bool.
        """
        raise NotImplementedError

    def column(self, raw: Tensor, place: int) -> Distribution:
        """The distribution of the column at index `place`, as the head of its own modality gives it."""
        raise NotImplementedError


class NumbersGroup(Group):
    """Columns of numbers with equal likelihoods; or a single one of any likelihood.

    Args:
        columns: the indices of its columns.
        modalities: theirs.
        forms: theirs; numbers, all with a shift and a scale or none.
    """

    def __init__(self, columns: Sequence[int], modalities: Sequence[Parted], forms: Sequence[Numbers]) -> None:
        shift, scale = (tuple(n for form in forms for n in getattr(form, of)) for of in ("shift", "scale"))
        form = replace(forms[0], size=len(forms), shift=shift, scale=scale)
        likelihood = modalities[0].likelihood
        super().__init__(columns, likelihood.numbers(form) * len(forms))
        self.head = head_of(likelihood, form)
        self.places = [modality.form().places for modality in modalities]

    def _distribution(self, raw: Tensor) -> Distribution:
        p: Distribution = self.head(raw.unflatten(1, (-1, len(self.columns))))
        return p

    def log_probs(self, raw: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """See the base class."""
        p = self._distribution(raw)
        # At 0 a density may overflow, and gradients become NaN in spite of the mask. At its mean it is finite.
        safe = torch.where(known, x, p.mean.detach().to(x).reshape(x.shape))
        return p.log_prob(safe).reshape(x.shape)

    def column(self, raw: Tensor, place: int) -> Distribution:
        """See the base class."""
        return Place(self._distribution(raw), place, self.places[place])


class ClassesGroup(Group):
    """One column of classes.

    Args:
        column: its index.
        modality: its modality.
        form: its form.
    """

    def __init__(self, column: int, modality: Parted, form: Form) -> None:
        super().__init__([column], modality.likelihood.numbers(form))
        self.head = head_of(modality.likelihood, form)

    def log_probs(self, raw: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """See the base class; unknown is 0, a class like any other."""
        log_probs: Tensor = self.head(raw).log_prob(x.squeeze(1).long())
        return log_probs.unsqueeze(1)

    def column(self, raw: Tensor, place: int) -> Distribution:
        """See the base class."""
        p: Distribution = self.head(raw)
        return p


class PaddedGroup(Group):
    """Columns of few classes, whose outputs are padded to the same number of classes.

    Args:
        columns: the indices of its columns.
        likelihood: of each, which `pads`.
        counts: the number of classes of each.
    """

    places: Tensor

    def __init__(self, columns: Sequence[int], likelihood: Likelihood, counts: Sequence[int]) -> None:
        super().__init__(columns, sum(counts))
        self.head = head_of(likelihood, Classes(max(counts)))
        self.counts = list(counts)
        starts = [sum(counts[:k]) for k in range(len(counts))]
        pad = sum(counts)  # the place of the output that is added for all classes that there are not
        rows = zip(starts, counts, strict=True)
        places = [[start + c if c < count else pad for c in range(max(counts))] for start, count in rows]
        self.register_buffer("places", torch.tensor(places).flatten(), persistent=False)

    def log_probs(self, raw: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """See the base class; unknown is 0, a class like any other."""
        padded = F.pad(raw, (0, 1), value=-torch.inf).index_select(1, self.places)
        log_probs: Tensor = self.head(padded.reshape(x.numel(), -1)).log_prob(x.flatten().long())
        return log_probs.reshape(x.shape)

    def column(self, raw: Tensor, place: int) -> Distribution:
        """See the base class."""
        p: Distribution = self.head(raw.split(self.counts, dim=1)[place])
        return p


def grouped(columns: Sequence[Parted]) -> list[Group]:
    """Put columns together that one call can score: numbers with equal likelihoods, and few classes."""
    kinds: dict[object, list[int]] = {}
    build: dict[object, Callable[[list[int]], Group]] = {}
    forms = [_as_numbers(column) for column in columns]
    for k, (column, form) in enumerate(zip(columns, forms, strict=True)):
        likelihood, key = column.likelihood, object()
        if isinstance(form, Numbers):
            if _is_by_place(likelihood, form):
                key = (likelihood, form.support, bool(form.shift), bool(form.scale))
            build[key] = lambda places: NumbersGroup(
                places, [columns[k] for k in places], [f for k in places if isinstance(f := forms[k], Numbers)]
            )
        elif isinstance(form, Classes) and likelihood.pads and form.count <= _FEW:
            key = (likelihood, "classes")
            build[key] = lambda places: PaddedGroup(
                places, columns[places[0]].likelihood, [f.count for k in places if isinstance(f := forms[k], Classes)]
            )
        else:
            build[key] = lambda places: ClassesGroup(places[0], columns[places[0]], forms[places[0]])
        kinds.setdefault(key, []).append(k)
    return [build[key](places) for key, places in kinds.items()]


def _as_numbers(column: Parted) -> Form:
    """The form of a column; two classes that are scored as 0 and 1 are a number if the likelihood scores numbers."""
    form = column.form()
    if isinstance(form, Classes) and form.support == "unit":
        number = Numbers(1, support="unit")
        return number if column.likelihood.misfit(number) is None else form
    return form


def _is_by_place(likelihood: Likelihood, form: Numbers) -> bool:
    """Whether the likelihood of several numbers is one of each, and its options do not name each of them."""
    both = replace(form, size=2, shift=form.shift * 2, scale=form.scale * 2)
    if likelihood.misfit(both) is not None:
        return False
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        p = likelihood.head(both)(torch.zeros(1, likelihood.numbers(both), 2))
    return tuple(p.batch_shape) == (1, 2)
