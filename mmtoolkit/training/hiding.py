"""Hides known cells from the encoders, so that a model learns to infer z from parts of a row."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.schema.train import HideOptions
from mmtoolkit.training.processes import Share


def draw_visible(
    network: Network,
    present: Tensor,
    options: HideOptions,
    generator: torch.Generator | None = None,
    share: Share | None = None,
) -> Tensor:
    """Draw which cells of rows stay visible: (B, M) bool, on the host.

    Each row draws a rate uniformly from 0 to `rate`, and each of its known cells is hidden with that probability; of a
    share `whole` of the rows nothing is hidden. A row of which the model could not use what stays visible stays whole.

    Args:
        network: says which rows it can use.
        present: (B, M) bool, on the host.
        options: how much to hide.
        generator: of the host; by default PyTorch's own.
        share: the places of the rows in a larger batch, for all of which numbers are drawn. By default they are all.
    """
    size, m = present.shape
    numbers = torch.rand(size if share is None else share.size, m + 2, generator=generator)
    if share is not None:
        numbers = numbers[share.places]
    rates, shares, draws = numbers.split([1, 1, m], dim=1)
    visible = present & (draws >= torch.where(shares < options.whole, 0.0, rates * options.rate))
    unusable = network.usable(present) & ~network.usable(visible)
    return torch.where(unusable.unsqueeze(1), present, visible) if unusable.any() else visible


def visible_part(
    network: Network,
    batch: Batch,
    options: HideOptions | None,
    generator: torch.Generator | None = None,
    share: Share | None = None,
) -> dict[str, Batch]:
    """The argument `visible` of a network's `forward` and `bound`: what stays visible. None if nothing is ever hidden.

    A model that does not take it works where nothing is hidden.
    """
    if options is None:
        return {}
    return {"visible": batch.where(draw_visible(network, batch.present, options, generator, share))}
