"""What the networks of a record read of a row: the features of what is known, and flags of which it is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtoolkit import Classes, Parted


class RecordReader(nn.Module):
    """From values (N, 2, K) to features (N, F), zero where a column is unknown, and K flags, 1 where it is known.

    The features of a number are what its modality's own network reads, and those of a class are one-hot. An unknown
    column so adds nothing to a first linear layer.

    Args:
        columns: name -> modality.
    """

    def __init__(self, columns: Mapping[str, Parted]) -> None:
        super().__init__()
        forms = [column.form() for column in columns.values()]
        self.readers = nn.ModuleList(column.reader() for column in columns.values())
        self.classes = [form.count if isinstance(form, Classes) else 0 for form in forms]
        self.sizes = [count or math.prod(form.shape) for count, form in zip(self.classes, forms, strict=True)]
        owners = torch.repeat_interleave(torch.arange(len(forms)), torch.tensor(self.sizes))
        self.register_buffer("owners", owners, persistent=False)  # the column of each feature

    owners: Tensor

    @property
    def size(self) -> int:
        """F + K."""
        return len(self.owners) + len(self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, F + K), in float64."""
        values, flags = x.double().unbind(1)
        features = []
        for reader, count, value in zip(self.readers, self.classes, values.unbind(1), strict=True):
            read = reader(value)
            features.append(F.one_hot(read.long(), count) if count else read.flatten(1))
        known = flags.index_select(1, self.owners) > 0.5
        joined = torch.cat([feature.to(values.dtype) for feature in features], dim=1)
        return torch.cat([torch.where(known, joined, torch.zeros_like(joined)), flags], dim=1)
