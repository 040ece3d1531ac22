"""Sums the loss of an epoch and its parts, records every step, and finds the first that is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class _Pending(NamedTuple):
    """A batch whose values are still on their device."""

    step: int
    rows: int
    values: Tensor  # (names,)
    facts: Mapping[str, float]


class Tally:
    """Sums the loss and its parts over an epoch, and records the step at which each first was not finite.

    `add` only stores tensors on their device, so a step does not wait for the device. `totals`, `steps` and
    `first_fault` read them, in the order of the steps.

    Args:
        sums: name -> sum of the epoch so far; empty at its start.
    """

    def __init__(self, sums: Mapping[str, float]) -> None:
        self._sums = dict(sums)
        self._faults: dict[str, int] = {}
        self._pending: list[_Pending] = []
        self._steps: dict[int, list[tuple[_Pending, list[float]]]] = {}  # the batches of each

    def add(
        self, loss: Tensor, parts: Mapping[str, Tensor], rows: int, step: int, facts: Mapping[str, float] | None = None
    ) -> None:
        """Add a batch of a step.

        Args:
            loss: a scalar, the mean over the batch's rows.
            parts: name -> the same for a part of the loss.
            rows: how many rows it has.
            step: the number of its step over all epochs, from 0.
            facts: name -> what else is known of the step, on the host.
        """
        if not self._sums:
            self._sums = dict.fromkeys(["loss", *parts], 0.0)
        self._pending.append(_Pending(step, rows, torch.stack([loss.detach(), *parts.values()]), facts or {}))

    def _sum_pending(self) -> None:
        """Sum the steps that were added since the last call."""
        if not self._pending:
            return
        means = torch.stack([pending.values for pending in self._pending]).cpu().double()  # (steps, names)
        rows = torch.tensor([pending.rows for pending in self._pending], dtype=torch.float64)
        before = torch.tensor(list(self._sums.values()), dtype=torch.float64)
        # Sum step by step, so that a resumed run has the same sums to the last bit.
        totals = torch.cat([before.unsqueeze(0), means * rows.unsqueeze(1)]).cumsum(0)[-1]
        self._sums = dict(zip(self._sums, totals.tolist(), strict=True))
        for place, fault in (~means.isfinite()).nonzero().tolist():
            self._faults.setdefault(list(self._sums)[fault], self._pending[place].step)
        for pending, values in zip(self._pending, means.tolist(), strict=True):
            self._steps.setdefault(pending.step + 1, []).append((pending, values))
        self._pending = []

    def totals(self) -> dict[str, float]:
        """Name -> the sum over steps of mean times rows."""
        self._sum_pending()
        return dict(self._sums)

    def steps(self) -> dict[int, dict[str, float]]:
        """Number of the step, from 1 -> its values, means over its rows, for all steps since the last call."""
        self._sum_pending()
        steps, self._steps = self._steps, {}
        return {number: self._mean(batches) for number, batches in steps.items()}

    def _mean(self, batches: list[tuple[_Pending, list[float]]]) -> dict[str, float]:
        """The values of a step from those of its batches."""
        rows = sum(batch.rows for batch, _ in batches) or 1  # a process may have no rows of a small batch
        columns = zip(*(values for _, values in batches), strict=True)
        shares = [batch.rows / rows for batch, _ in batches]
        means = (sum(x * share for x, share in zip(column, shares, strict=True)) for column in columns)
        return {**dict(zip(self._sums, means, strict=True)), **batches[0][0].facts}

    def first_fault(self) -> tuple[int, list[str]] | None:
        """The first step with a value that is not finite, and the names of such parts, or else of the loss."""
        self._sum_pending()
        if not self._faults:
            return None
        first = min(self._faults.values())
        names = [name for name in self._sums if self._faults.get(name) == first]
        return first, [name for name in names if name != "loss"] or names
