"""What the networks of a record read of a row: the features of what is known, and flags of which it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby

import torch
from torch import Tensor, nn

from mmtoolkit import Classes, Parted


class RecordReader(nn.Module):
    """From values (N, 2, K) to features (N, F), zero where a column is unknown, and K flags, 1 where it is known.

    The features of a number are what its modality's own network reads, and those of a class are one-hot. An unknown
    column so adds nothing to a first linear layer.

    Args:
        columns: name -> modality.

    Attributes:
        owners: the column of each feature, (F,) int64.
    """

    owners: Tensor
    first_class: Tensor

    def __init__(self, columns: Mapping[str, Parted]) -> None:
        super().__init__()
        self.width = len(columns)
        forms = [column.form() for column in columns.values()]
        numbers = {k: column for k, column in enumerate(columns.values()) if not isinstance(forms[k], Classes)}
        groups = _alike(numbers)
        self.numbers = [list(group) for group in groups]
        self.readers = nn.ModuleList(_reader(group) for group in groups)
        self.classes = [k for k in range(self.width) if k not in numbers]
        counts = [form.count for form in forms if isinstance(form, Classes)]
        self.class_readers = nn.ModuleList(
            column.reader() for k, column in enumerate(columns.values()) if k in self.classes
        )
        self.count = sum(counts)
        first = torch.tensor([0, *counts[:-1]]).cumsum(0) if counts else torch.zeros(0, dtype=torch.int64)
        self.register_buffer("first_class", first, persistent=False)
        owners = [k for group in self.numbers for k in group for _ in range(math.prod(forms[k].shape))]
        owners += [k for k, count in zip(self.classes, counts, strict=True) for _ in range(count)]
        self.register_buffer("owners", torch.tensor(owners, dtype=torch.int64), persistent=False)

    @property
    def size(self) -> int:
        """F + K."""
        return len(self.owners) + self.width

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, F + K), in float64."""
        x = x.double()
        values, flags = x.unbind(1)
        features = []
        for reader, group in zip(self.readers, self.numbers, strict=True):
            if len(group) > 1:
                features.append(reader(x[:, :, group])[:, : len(group)])
            else:
                read = reader(values[:, group[0]]).flatten(1)
                features.append(torch.where(flags[:, group] > 0.5, read, torch.zeros_like(read)))
        if self.classes:
            features.append(self._one_hot(values, flags))
        return torch.cat([*features, flags], dim=1)

    def _one_hot(self, values: Tensor, flags: Tensor) -> Tensor:
        """The classes of all columns of classes side by side, one-hot, zeros where unknown: (N, the sum of counts)."""
        read = [reader(values[:, k]).long() for reader, k in zip(self.class_readers, self.classes, strict=True)]
        places = torch.stack(read, dim=1) + self.first_class
        return values.new_zeros(values.shape[0], self.count).scatter_(1, places, flags[:, self.classes])


def _alike(columns: Mapping[int, Parted]) -> list[dict[int, Parted]]:
    """The columns of numbers, in groups that one reader serves."""
    groups = []
    by_class = sorted(columns, key=lambda k: (repr(type(columns[k])), repr(columns[k].likelihood), k))
    for _, places in groupby(by_class, key=lambda k: (type(columns[k]), columns[k].likelihood)):
        group = {k: columns[k] for k in places}
        alone = len(group) < 2 or _together(group) is None
        groups += [{k: column} for k, column in group.items()] if alone else [group]
    return groups


def _reader(group: Mapping[int, Parted]) -> nn.Module:
    together = _together(group) if len(group) > 1 else None
    return next(iter(group.values())).reader() if together is None else together.reader()


def _together(group: Mapping[int, Parted]) -> Parted | None:
    first = next(iter(group.values()))
    return type(first).together({str(k): column for k, column in group.items()})
