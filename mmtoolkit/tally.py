"""The sums of an epoch, and what in them was not finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Tally:
    """Sums of the loss and its parts over an epoch, on the device, and the step at which each first was not finite.

    `add` does not wait for the device; `totals` and `first_fault` do.

    Args:
        sums: those of the epoch so far, by name; empty at its beginning.
        device: where the losses lie.
    """

    def __init__(self, sums: Mapping[str, float], device: torch.device) -> None:
        self.names: list[str] = list(sums)
        start = list(sums.values())
        self.sums = torch.tensor(start, dtype=torch.float64, device=device) if start else None
        self.fault: Tensor | None = None

    def add(self, loss: Tensor, parts: Mapping[str, Tensor], rows: int, step: int) -> None:
        """Add a step: its loss and parts, scalars, each the mean over `rows` rows."""
        values = torch.stack([loss.detach(), *parts.values()]).double()
        if self.sums is None:
            self.names = ["loss", *parts]
            self.sums = torch.zeros_like(values)
        if self.fault is None:
            self.fault = torch.full_like(values, -1)
        self.sums += values * rows
        self.fault = torch.where((self.fault < 0) & ~values.isfinite(), float(step), self.fault)

    def totals(self) -> dict[str, float]:
        """Name -> the sum of mean times rows."""
        return dict(zip(self.names, self.sums.tolist(), strict=True)) if self.sums is not None else {}

    def first_fault(self) -> tuple[int, list[str]] | None:
        """The first step at which something was not finite, and what: the loss's parts rather than the loss."""
        if self.fault is None:
            return None
        steps = dict(zip(self.names, map(int, self.fault.tolist()), strict=True))
        faulty = {name: step for name, step in steps.items() if step >= 0}
        if not faulty:
            return None
        first = min(faulty.values())
        names = [name for name, step in faulty.items() if step == first]
        return first, [name for name in names if name != "loss"] or names
