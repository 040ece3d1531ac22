"""Draws and compares the subsets of modalities on which the terms of a step condition."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_SAMPLINGS = ("uniform", "by_size")


def draw_subsets(
    m: int,
    k: int,
    generator: torch.Generator | None = None,
    sampling: Literal["uniform", "by_size"] = "uniform",
) -> Tensor:
    """Draw k random subsets of m modalities, each with more than one and fewer than all of them.

    Memory is O(k m): the function makes no list of the 2^m subsets.

    Args:
        m: number of modalities, 3 or more unless k is 0 (two modalities have no such subset).
        k: number of subsets, drawn with replacement.
        generator: a CPU generator; by default, PyTorch's own.
        sampling: "uniform" draws uniformly from all such subsets (Wu & Goodman 2018, section 2.4); "by_size" first
            draws the size uniformly from 2 to m - 1, then a subset of that size, as their released code does.

    Returns:
        (k, m) bool, on the host.

    Raises:
        ValueError: k is negative, k is positive and m is under 3, or `sampling` has another name.
    """
    if sampling not in _SAMPLINGS:
        raise ValueError(f"there is no sampling {sampling!r}; it is {' or '.join(map(repr, _SAMPLINGS))}")
    if k < 0:
        raise ValueError(f"the number of subsets is {k}; it must be 0 or more")
    if k == 0:
        return torch.zeros(0, m, dtype=torch.bool)
    if m < 3:
        raise ValueError(f"{m} modalities have no subset between one and all of them; take k = 0")
    if sampling == "by_size":
        sizes = torch.randint(2, m, (k, 1), generator=generator)
        ranks = torch.rand(k, m, generator=generator).argsort(dim=1).argsort(dim=1)
        return ranks < sizes
    # m fair coins are uniform over all 2^m subsets; subsets of none, one or all are drawn again.
    subsets = torch.rand(k, m, generator=generator) < 0.5
    while (again := ~_between(subsets)).any():
        subsets[again] = torch.rand(int(again.sum()), m, generator=generator) < 0.5
    return subsets


def _between(subsets: Tensor) -> Tensor:
    """Whether each subset (k, m) has more than one and fewer than all members: (k,)."""
    size = subsets.sum(1)
    return (size > 1) & (size < subsets.shape[1])


def supports(subsets: Collection[frozenset[str]] | None, given: Collection[str]) -> bool:
    """Whether a model that infers z from these sets (None: from any) can infer it from `given`; from nothing always."""
    return subsets is None or not given or frozenset(given) in subsets


def largest_supported(
    present: Tensor, names: Sequence[str], given: Collection[str], subsets: Collection[frozenset[str]]
) -> list[tuple[frozenset[str], Tensor]]:
    """Find for each row the set from which to infer z: the largest supported part of the given that the row has.

    Among sets of equal size, the one whose members come first in the schema wins. A row without such a part is in no
    set.

    Args:
        present: (B, M) bool, the modalities that each row has.
        names: the M modalities, in schema order.
        given: the modalities from which to infer z.
        subsets: the supported sets.

    Returns:
        Each set that a row uses, with its rows (n,), ascending; all on the host.
    """
    remaining = torch.ones(len(present), dtype=torch.bool)
    chosen = []
    for subset, columns in by_size(names, given, subsets):
        rows = remaining & present[:, columns].all(1)
        if rows.any():
            chosen.append((subset, rows.nonzero().squeeze(1)))
            remaining &= ~rows
    return chosen


def by_size(
    names: Sequence[str], given: Collection[str], subsets: Collection[frozenset[str]]
) -> list[tuple[frozenset[str], list[int]]]:
    """The supported sets within the given, with the places of their members: the largest first, then in schema order.

    The arguments are those of `largest_supported`.
    """
    place = {name: m for m, name in enumerate(names)}
    columns = {subset: sorted(place[name] for name in subset) for subset in subsets if subset and subset <= set(given)}
    return sorted(columns.items(), key=lambda item: (-len(item[0]), item[1]))


def informed(
    present: Tensor, names: Sequence[str], given: Collection[str], subsets: Collection[frozenset[str]] | None
) -> Tensor:
    """Whether a row has a supported part of the given, from which to infer z: (B,) bool.

    The arguments are those of `largest_supported`. If `subsets` is None, any modality of the given is enough.
    """
    if subsets is None:
        return present[:, [m for m, name in enumerate(names) if name in given]].any(1)
    rows = present.new_zeros(present.shape[0])
    for _, columns in by_size(names, given, subsets):
        rows = rows | present[:, columns].all(1)
    return rows


@dataclass(frozen=True, eq=False)
class Terms:
    """The distinct subsets of each row's modalities, which are the terms of the MVAE loss; on the host.

    Attributes:
        joint: (B,) bool, rows that have any modality.
        alone: (B, M) bool, modalities with a term of their own: present, but not the only one of the row.
        cuts: (k, B, M) bool, the random subsets, cut to the modalities of each row; all False if the cut repeats
            another subset of the row, so that each subset counts once.
    """

    joint: Tensor
    alone: Tensor
    cuts: Tensor


def distinct_terms(present: Tensor, subsets: Tensor) -> Terms:
    """Cut the terms of a step to each row's modalities and drop repetitions (Wu & Goodman 2018, section 2.4).

    Args:
        present: (B, M) bool, the modalities that each row has.
        subsets: (k, M) bool, the random subsets, shared by all rows.
    """
    size = present.sum(1)
    cuts = subsets[:, None, :] & present  # (k, B, M)
    new = (cuts.sum(2) > 1) & (cuts != present).any(2)  # (k, B): more than one modality, but not all
    for later in range(1, len(cuts)):
        new[later] &= (cuts[:later] != cuts[later]).any(2).all(0)
    return Terms(joint=size > 0, alone=present & (size > 1)[:, None], cuts=cuts & new[:, :, None])
