"""A modality whose value may be partly known though its cell is one: lists of numbers, null where unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit import Entries, Modality, Parsed, split_entries


class Readings(Modality):
    """L numbers at each of C channels: the event is (2, C L), numbers and flags, 1 if known."""

    kind: Literal["readings"] = "readings"
    length: int = 3
    channels: int = 1

    @property
    def size(self) -> int:
        return self.channels * self.length

    def event_shape(self) -> tuple[int, ...]:
        return (2, self.size)

    def parse(self, cell: Any) -> Tensor:
        try:
            rows = json.loads(cell) if isinstance(cell, str) else cell
            rows = [rows] if self.channels == 1 else rows
            numbers = [math.nan if x is None else float(x) for row in rows for x in row]
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{cell!r} is no list of numbers; write such as [1, null]") from error
        if len(rows) != self.channels or len(numbers) != self.size:
            raise ValueError(f"{cell!r} has not {self.channels} lists of {self.length} numbers; correct it")
        if any(math.isinf(x) for x in numbers):
            raise ValueError(f"{cell!r} has an infinite number; correct it")
        values = torch.tensor(numbers, dtype=torch.float64)
        return torch.stack([values.nan_to_num(0.0), (~values.isnan()).double()])

    def parse_column(self, cells: Any) -> Parsed:
        parsed = super().parse_column(list(cells))
        return Parsed(parsed.stored.double(), parsed.present & parsed.stored[:, 1].bool().any(1), parsed.faults)

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        return stored.float()

    def cell(self, value: Tensor) -> Any:
        numbers, known = value.tolist()
        flat = [x if here > 0.5 else None for x, here in zip(numbers, known, strict=True)]
        rows = [flat[start : start + self.length] for start in range(0, self.size, self.length)]
        return rows[0] if self.channels == 1 else rows

    def example_cells(self) -> Any:
        cells: list[Any] = [
            [[float(n + 2 * c + k) for k in range(self.length)] for c in range(self.channels)] for n in range(4)
        ]
        cells[1][0][0] = None
        return [cell[0] for cell in cells] if self.channels == 1 else cells

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return _Encoder(self.size, width, extra)

    def decoder(self, size: int) -> nn.Module:
        return _Decoder(size, self.size)

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        values, known = split_entries(torch.cat(list(chunks)), single=False)
        mean = values.sum(0) / known.sum(0).clamp(min=1)
        return torch.stack([mean, torch.ones_like(mean)]).float()

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        values, known = split_entries(x, single=False)
        errors = torch.where(known, (point[:, 0] - values).square(), torch.zeros_like(values))
        return {"squared_error": errors.sum(1) / known.sum(1).clamp(min=1)}

    def condition(self, x: Tensor) -> Tensor:
        values, known = split_entries(x, single=False)
        return torch.cat([values, known.to(values)], 1).float()

    # Parts.

    def known_parts(self, x: Tensor) -> Tensor:
        return split_entries(x, single=False)[1]

    def without_parts(self, x: Tensor, parts: Tensor) -> Tensor:
        return torch.where(parts.unsqueeze(1), torch.zeros_like(x), x)

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        return torch.where(self.known_parts(value).unsqueeze(1), value, made.to(value.dtype))


class _Encoder(nn.Module):
    def __init__(self, size: int, width: int, extra: int) -> None:
        super().__init__()
        self.layers = nn.Linear(2 * size + extra, width)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        values, known = split_entries(x, single=False)
        read = [values, known.to(values)] if c is None else [values, known.to(values), c.to(values)]
        features: Tensor = self.layers(torch.cat(read, 1))
        return features


class _Decoder(nn.Module):
    def __init__(self, size: int, numbers: int) -> None:
        super().__init__()
        self.layers = nn.Linear(size, numbers)
        self.raw = nn.Parameter(torch.zeros(numbers))

    def forward(self, z: Tensor) -> Distribution:
        mean = self.layers(z).to(torch.promote_types(z.dtype, torch.float32))
        scale = (nn.functional.softplus(self.raw) + 0.1).to(mean).expand_as(mean)
        return Entries(distributions.Normal(mean, scale, validate_args=False), single=False)
