"""The decoder of a record: one network to the outputs of all columns, and the likelihoods of these."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_record.groups import grouped
from mmtoolkit import Architecture, JointDistribution, Numbers, Parted


class RecordDecoder(nn.Module):
    """From z (N, size) to the distribution of a record.

    Args:
        columns: name -> modality.
        network: the architecture of the trunk, whose last layer has outputs for all columns.
        size: of z.
    """

    order: Tensor
    places: Tensor

    def __init__(self, columns: Mapping[str, Parted], network: Architecture, size: int) -> None:
        super().__init__()
        self.columns = dict(columns)
        groups = grouped(list(columns.values()))
        self.raw = network.raw(Numbers(sum(group.outputs for group in groups)), size, 1)
        self.groups, self.heads = groups, nn.ModuleList(groups)
        self.outputs = [group.outputs for group in groups]
        self.sizes = [len(group.columns) for group in groups]
        order = torch.tensor([k for group in groups for k in group.columns])
        self.register_buffer("order", order, persistent=False)  # the columns, group by group
        self.register_buffer("places", order.argsort(), persistent=False)  # where each column stands among these

    def forward(self, z: Tensor) -> RecordDistribution:
        """Batch (N,), event (2, K)."""
        return RecordDistribution(self, self.raw(z).squeeze(1))


class RecordDistribution(JointDistribution):
    """The columns of a record, independent given z.

    Args:
        decoder: has the heads.
        raw: the outputs for all columns (N, outputs).
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, decoder: RecordDecoder, raw: Tensor) -> None:
        self.decoder, self.raw = decoder, raw.split(decoder.outputs, dim=1)
        size = torch.Size([2, len(decoder.columns)])
        super().__init__(raw.shape[:1], size, validate_args=False)

    def log_probs(self, x: Tensor) -> Tensor:
        """The log-probability of each column of x (N, 2, K), 0 where it is unknown: (N, K), nats."""
        decoder = self.decoder
        values, flags = x.index_select(2, decoder.order).unbind(1)
        known = flags > 0.5
        parts = zip(self.raw, values.split(decoder.sizes, 1), known.split(decoder.sizes, 1), strict=True)
        scored = [group.log_probs(*part).double() for group, part in zip(decoder.groups, parts, strict=True)]
        log_probs = torch.cat(scored, dim=1)
        return torch.where(known, log_probs, torch.zeros_like(log_probs)).index_select(1, decoder.places)

    def log_prob(self, x: Tensor) -> Tensor:
        """The sum over the known columns: (N,), nats."""
        return self.log_probs(x).sum(1)

    def column(self, name: str) -> Distribution:
        """The distribution of one column: batch (N,), and the event of that modality."""
        k = list(self.decoder.columns).index(name)
        pairs = zip(self.decoder.groups, self.raw, strict=True)
        group, raw = next((group, raw) for group, raw in pairs if k in group.columns)
        return self.decoder.columns[name].joined(group.column(raw, group.columns.index(k)))

    def _columns(self) -> list[Distribution]:
        return [self.column(name) for name in self.decoder.columns]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every column; all are known: (*sample_shape, N, 2, K), float64."""
        drawn = torch.stack([p.sample(sample_shape).double() for p in self._columns()], dim=-1)
        return torch.stack([drawn, torch.ones_like(drawn)], dim=-2)

    @cached_property
    def mean(self) -> Tensor:
        """The point of every column; all are known: (N, 2, K), float64."""
        pairs = zip(self.decoder.columns.values(), self._columns(), strict=True)
        points = torch.stack([modality.point(p).double() for modality, p in pairs], dim=-1)
        return torch.stack([points, torch.ones_like(points)], dim=-2)
