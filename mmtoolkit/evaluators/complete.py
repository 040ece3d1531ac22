"""Which rows evaluators read: those that have some modalities, a few at random, those of a classifier's steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Run


def complete_rows(run: Run, split: str, names: Collection[str]) -> Tensor:
    """The rows of a split that have all of these modalities: (n,) int64, ascending, on the host."""
    places = [place for place, name in enumerate(run.modalities) if name in names]
    return run.present[split][:, places].all(1).nonzero().squeeze(1)


def some_rows(rows: Tensor, most: int, *seed: int | str) -> Tensor:
    """Up to `most` of these rows, drawn at random by the parts of a seed: (n,) int64, ascending, on the host."""
    draw = torch.Generator().manual_seed(seed_for(*seed))
    return rows[torch.randperm(len(rows), generator=draw)[:most]].sort().values


def steps_of_rows(rows: Tensor, size: int, steps: int) -> Iterator[Tensor]:
    """The rows of each step: all rows in a new random order, again and again, up to `size` at once."""
    remaining = steps
    while remaining:
        parts = rows[torch.randperm(len(rows))].split(size)[:remaining]
        yield from parts
        remaining -= len(parts)
