"""The decoder of a record: one network to the outputs of all columns, and the likelihoods of these."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.utils.parametrize import register_parametrization

from mmt_record.place import Place
from mmtoolkit import Architecture, Classes, Form, JointDistribution, Likelihood, Modality, Numbers, Parted

_QUICK = 10.0


class Group(NamedTuple):
    """Columns that one head serves.

    Attributes:
        columns: the indices of its columns.
        form: of all of them together.
        likelihood: of each.
        numbers: the outputs for each column.
    """

    columns: tuple[int, ...]
    form: Form
    likelihood: Likelihood
    numbers: int

    @property
    def outputs(self) -> int:
        """The outputs for all its columns."""
        return self.numbers * math.prod(self.form.places)


def grouped(columns: list[Parted]) -> list[Group]:
    """Put columns of numbers with equal likelihoods together, so that one call scores them; others stand alone."""
    groups: dict[Any, list[int]] = {}
    forms = [_as_numbers(column) for column in columns]
    for k, (column, form) in enumerate(zip(columns, forms, strict=True)):
        alike = isinstance(form, Numbers) and _is_by_place(column.likelihood, form)
        key = (column.likelihood, form.support, bool(form.shift), bool(form.scale)) if alike else k
        groups.setdefault(key, []).append(k)
    result = []
    for members in groups.values():
        first, likelihood = forms[members[0]], columns[members[0]].likelihood
        if len(members) > 1:
            shift, scale = (tuple(n for k in members for n in getattr(forms[k], of)) for of in ("shift", "scale"))
            assert isinstance(first, Numbers)
            first = replace(first, size=len(members), shift=shift, scale=scale)
        result.append(Group(tuple(members), first, likelihood, likelihood.numbers(first)))
    return result


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


class _Times(nn.Module):
    """A parameter as a multiple of what the optimiser changes."""

    def forward(self, original: Tensor) -> Tensor:
        return original * _QUICK

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / _QUICK


def _with_quick_scales(head: nn.Module) -> nn.Module:
    """A head whose own parameters, such as scales, change by tenfold steps.

    Adam changes a parameter by its step size at most, so that in a thousand steps of 0.001 the logarithm of a scale
    would hardly move by one.
    """
    for module in list(head.modules()):
        for name, _ in list(module.named_parameters(recurse=False)):
            register_parametrization(module, name, _Times())
    return head


class RecordDecoder(nn.Module):
    """From z (N, size) to the distribution of a record.

    Args:
        columns: name -> modality.
        network: the architecture of the trunk, whose last layer has outputs for all columns.
        size: of z.
    """

    def __init__(self, columns: Mapping[str, Parted], network: Architecture, size: int) -> None:
        super().__init__()
        self.columns = dict(columns)
        self.groups = grouped(list(columns.values()))
        outputs = [group.outputs for group in self.groups]
        self.outputs = outputs
        self.raw = network.raw(Numbers(sum(outputs)), size, 1)
        self.heads = nn.ModuleList(_with_quick_scales(group.likelihood.head(group.form)) for group in self.groups)
        order = torch.tensor([k for group in self.groups for k in group.columns])
        # Where each column stands among those of all groups; None where that is its own place.
        self.places = None if (order == torch.arange(len(order))).all() else order.argsort()

    def forward(self, z: Tensor) -> RecordDistribution:
        """Batch (N,), event (2, K)."""
        parts = self.raw(z).squeeze(1).split(self.outputs, dim=1)
        return RecordDistribution(self, list(parts))


class RecordDistribution(JointDistribution):
    """The columns of a record, independent given z.

    Args:
        decoder: has the heads.
        raw: the outputs of each group (N, outputs).
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, decoder: RecordDecoder, raw: list[Tensor]) -> None:
        self.decoder, self.raw = decoder, raw
        size = torch.Size([2, len(decoder.columns)])
        super().__init__(torch.Size([len(raw[0])]), size, validate_args=False)
        self._parts: dict[int, Distribution] = {}

    def _part(self, g: int) -> Distribution:
        """The distribution of a group, batch (N, *places), computed once."""
        if g not in self._parts:
            group = self.decoder.groups[g]
            places = (group.numbers, *group.form.places)
            self._parts[g] = self.decoder.heads[g](self.raw[g].unflatten(1, places))
        return self._parts[g]

    def log_probs(self, x: Tensor) -> Tensor:
        """The log-probability of each column of x (N, 2, K), 0 where it is unknown: (N, K), nats."""
        values, flags = x.unbind(1)
        known = flags > 0.5
        parts = []
        for g, group in enumerate(self.decoder.groups):
            p, columns = self._part(g), list(group.columns)
            value = values[:, columns]
            if isinstance(group.form, Classes):
                log_prob = p.log_prob(value.squeeze(1).long()).unsqueeze(1)  # unknown is 0, a class like any other
            else:
                # At 0 a density may overflow, and gradients become NaN in spite of the mask. At its mean it is finite.
                safe = torch.where(known[:, columns], value, p.mean.detach().to(value).reshape(value.shape))
                log_prob = p.log_prob(safe).reshape(value.shape)
            parts.append(log_prob.double())
        log_probs = torch.cat(parts, dim=1)
        if self.decoder.places is not None:
            log_probs = log_probs.index_select(1, self.decoder.places.to(log_probs.device))
        return torch.where(known, log_probs, torch.zeros_like(log_probs))

    def log_prob(self, x: Tensor) -> Tensor:
        """The sum over the known columns: (N,), nats."""
        return self.log_probs(x).sum(1)

    def column(self, name: str) -> Distribution:
        """The distribution of one column: batch (N,), and the event of that modality."""
        k = list(self.decoder.columns).index(name)
        g, group = next((g, group) for g, group in enumerate(self.decoder.groups) if k in group.columns)
        modality, p = self.decoder.columns[name], self._part(g)
        if not isinstance(group.form, Numbers):
            return modality.joined(p)
        places = modality.form().places
        return modality.joined(Place(p, group.columns.index(k), places))

    def _columns(self) -> list[Distribution]:
        return [self.column(name) for name in self.decoder.columns]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every column; all are known: (*sample_shape, N, 2, K), float64."""
        drawn = torch.stack([p.sample(sample_shape).double() for p in self._columns()], dim=-1)
        return torch.stack([drawn, torch.ones_like(drawn)], dim=-2)

    @cached_property
    def mean(self) -> Tensor:  # type: ignore[override]
        """The point of every column; all are known: (N, 2, K), float64."""
        pairs = zip(self.decoder.columns.values(), self._columns(), strict=True)
        points = torch.stack([_point(modality, p) for modality, p in pairs], dim=-1)
        return torch.stack([points, torch.ones_like(points)], dim=-2)


def _point(modality: Modality, p: Distribution) -> Tensor:
    return modality.point(p).double()
