"""Plans, on the host, which rows draw z in which term of a training step, and what each draw reconstructs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.core.batch import sent


@dataclass(frozen=True, eq=False)
class Pairs:
    """The N (term, row) pairs of a step whose z is drawn, term after term.

    Attributes:
        rows: the row of each pair, (N,) int64, on the host.
        noise: the place of each pair's noise among all (term, row) pairs, (N,) int64, on the device.
        targets: the pairs that reconstruct a unit, those of each unit in turn, (n,) int64, on the device.
        counts: how many there are of each unit.
        places: for each unit, where the row of each of its targets stands among the rows that have the unit; None if
            each of those rows is a target once.
    """

    rows: Tensor
    noise: Tensor
    targets: Tensor
    counts: Sequence[int]
    places: Sequence[Tensor | None]


def plan_pairs(
    scores: Tensor,
    present: Tensor,
    device: torch.device,
    draws: Tensor | None = None,
    noise: Sequence[int] | None = None,
) -> Pairs:
    """Plan the pairs of T terms, B rows and U units.

    Args:
        scores: (T, B, U) bool, on the host: which units a draw of a row in a term reconstructs, of those it has.
        present: (B, U) bool, on the host: what rows have.
        device: of the result.
        draws: (T, B) bool, on the host: which rows draw in which term. By default those that reconstruct anything.
        noise: the place of each term in the noise of the step. By default its own.
    """
    scores = scores & present
    drawn = (scores.any(2) if draws is None else draws).flatten().nonzero().squeeze(1)  # (N,)
    size, units = present.shape
    terms, rows = drawn.div(size, rounding_mode="floor"), drawn % size
    places = drawn if noise is None else torch.tensor(noise)[terms] * size + rows
    reconstructs = scores.flatten(0, 1)[drawn].T  # (U, N)
    owners, targets = reconstructs.nonzero().unbind(1)
    ranks = (present.cumsum(0) - 1).flatten()  # of (B U)
    ranks = ranks.index_select(0, rows.index_select(0, targets) * units + owners)
    counts = reconstructs.sum(1).tolist()
    each = [
        None if torch.equal(own, torch.arange(had)) else sent(own, device)
        for own, had in zip(ranks.split(counts), present.sum(0).tolist(), strict=True)
    ]
    return Pairs(rows, sent(places, device), sent(targets, device), counts, each)
