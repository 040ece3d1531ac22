"""Which sets of what is given to try, by their size."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations

import torch

from mmtoolkit.base.seeds import seed_for

Names = tuple[str, ...]

_LISTED = 2000  # sets of one size that are all looked at; of more, some are drawn
_ALL_SIZES = 8


def sizes_up_to(most: int) -> list[int]:
    """The numbers of given units to try: all up to eight, else powers of two and the most."""
    if most <= _ALL_SIZES:
        return list(range(1, most + 1))
    return sorted({most, *(2**power for power in range(most.bit_length()))})


def sets_of_size(
    units: Sequence[str], size: int, most: int, allowed: Collection[frozenset[str]] | None, seed: int
) -> tuple[list[Names], int]:
    """Up to `most` sets of units of a size, and how many there are.

    Args:
        units: in schema order.
        size: of each set.
        most: how many to return; if there are more, they are drawn at random without replacement.
        allowed: the sets to choose from; None for any.
        seed: fixes the draw.

    Returns:
        The sets, sorted, each in schema order; and the number of sets that there are to choose from.
    """
    generator = torch.Generator().manual_seed(seed_for("sets", size, *units, seed))
    place = {unit: m for m, unit in enumerate(units)}

    def in_schema_order(names: Names) -> list[int]:
        return [place[name] for name in names]

    count = math.comb(len(units), size)
    if allowed is None and count > _LISTED:
        drawn: set[Names] = set()
        while len(drawn) < min(most, count):
            order = torch.randperm(len(units), generator=generator)[:size].sort().values
            drawn.add(tuple(units[m] for m in order.tolist()))
        return sorted(drawn, key=in_schema_order), count
    if allowed is None:
        every = list(combinations(units, size))
    else:
        fitting = (names for names in allowed if len(names) == size and names <= place.keys())
        every = sorted((tuple(sorted(names, key=place.__getitem__)) for names in fitting), key=in_schema_order)
    order = torch.randperm(len(every), generator=generator)[:most].sort().values
    return [every[m] for m in order.tolist()], len(every)
