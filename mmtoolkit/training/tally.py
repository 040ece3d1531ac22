"""Sums the loss of an epoch and its parts, and finds the first that is not finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Tally:
    """Sums the loss and its parts over an epoch, and records the step at which each first was not finite.

    `add` only stores tensors on their device, so a step does not wait for the device. `totals` and `first_fault` sum
    them in the order of the steps.

    Args:
        sums: name -> sum of the epoch so far; empty at its start.
    """

    def __init__(self, sums: Mapping[str, float]) -> None:
        self._sums = dict(sums)
        self._faults: dict[str, int] = {}
        self._pending: list[tuple[int, int, Tensor]] = []

    def add(self, loss: Tensor, parts: Mapping[str, Tensor], rows: int, step: int) -> None:
        """Add a step: its loss and the loss's parts, scalars, each the mean over `rows` rows."""
        if not self._sums:
            self._sums = dict.fromkeys(["loss", *parts], 0.0)
        self._pending.append((rows, step, torch.stack([loss.detach(), *parts.values()])))

    def _sum_pending(self) -> None:
        """Sum the steps that were added since the last call."""
        if not self._pending:
            return
        means = torch.stack([mean for _, _, mean in self._pending]).cpu().double()  # (steps, names)
        rows = torch.tensor([rows for rows, _, _ in self._pending], dtype=torch.float64)
        before = torch.tensor(list(self._sums.values()), dtype=torch.float64)
        # Sum step by step, so that a resumed run has the same sums to the last bit.
        totals = torch.cat([before.unsqueeze(0), means * rows.unsqueeze(1)]).cumsum(0)[-1]
        self._sums = dict(zip(self._sums, totals.tolist(), strict=True))
        for place, fault in (~means.isfinite()).nonzero().tolist():
            self._faults.setdefault(list(self._sums)[fault], self._pending[place][1])
        self._pending = []

    def totals(self) -> dict[str, float]:
        """Name -> the sum over steps of mean times rows."""
        self._sum_pending()
        return dict(self._sums)

    def first_fault(self) -> tuple[int, list[str]] | None:
        """The first step with a value that is not finite, and the names of such parts, or else of the loss."""
        self._sum_pending()
        if not self._faults:
            return None
        first = min(self._faults.values())
        names = [name for name in self._sums if self._faults.get(name) == first]
        return first, [name for name in names if name != "loss"] or names
