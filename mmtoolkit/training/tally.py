"""The sums of an epoch, and what in them was not finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Tally:
    """Sums of the loss and its parts over an epoch, and the step at which each first was not finite.

    `add` keeps what it is given where it lies, so a step neither computes anything here nor waits for the device;
    `totals` and `first_fault` add it up, in the order of the steps.

    Args:
        sums: those of the epoch so far, by name; empty at its beginning.
    """

    def __init__(self, sums: Mapping[str, float]) -> None:
        self._sums = dict(sums)
        self._faults: dict[str, int] = {}
        self._kept: list[tuple[int, int, Tensor]] = []

    def add(self, loss: Tensor, parts: Mapping[str, Tensor], rows: int, step: int) -> None:
        """Add a step: its loss and parts, scalars, each the mean over `rows` rows."""
        if not self._sums:
            self._sums = dict.fromkeys(["loss", *parts], 0.0)
        self._kept.append((rows, step, torch.stack([loss.detach(), *parts.values()])))

    def _settle(self) -> None:
        """Add up what was kept."""
        if not self._kept:
            return
        means = torch.stack([mean for _, _, mean in self._kept]).cpu().double()  # (steps, names)
        rows = torch.tensor([rows for rows, _, _ in self._kept], dtype=torch.float64)
        before = torch.tensor(list(self._sums.values()), dtype=torch.float64)
        # One after the other: what a resumed run adds up is the same to the last bit.
        totals = torch.cat([before.unsqueeze(0), means * rows.unsqueeze(1)]).cumsum(0)[-1]
        self._sums = dict(zip(self._sums, totals.tolist(), strict=True))
        for place, fault in (~means.isfinite()).nonzero().tolist():
            self._faults.setdefault(list(self._sums)[fault], self._kept[place][1])
        self._kept = []

    def totals(self) -> dict[str, float]:
        """Name -> the sum of mean times rows."""
        self._settle()
        return dict(self._sums)

    def first_fault(self) -> tuple[int, list[str]] | None:
        """The first step at which something was not finite, and what: the loss's parts rather than the loss."""
        self._settle()
        if not self._faults:
            return None
        first = min(self._faults.values())
        names = [name for name in self._sums if self._faults.get(name) == first]
        return first, [name for name in names if name != "loss"] or names
