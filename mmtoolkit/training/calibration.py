"""Fits the learned scales of likelihoods to validation cells, so that the model is no surer than it should be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, ScaledHead
from mmtoolkit.core.batch import Batch
from mmtoolkit.training.validation import VALIDATION_ROWS, Validation
from mmtoolkit.training.weights import to_bytes

_DRAWS = 32
"""Of z for each row. The mean density of few draws is too low where z spreads more than the likelihood, and the scale
would make up for it."""
_PAIRS = 1 << 15  # (draw, row) pairs to decode for one value of the objective, unless one mask has more
_CELLS = 10.0
"""How many validation cells what training learned is worth, so that few rows change it little."""
_STEPS = 50


@dataclass(frozen=True, eq=False)
class _Masked:
    """Validation rows of which some cells are hidden.

    Attributes:
        hidden: the rows with only these cells.
        visible: the rows with the others.
        z: draws of q(z | what is visible), (K B, D), draw-major.
    """

    hidden: Batch
    visible: Batch
    z: Tensor


def calibrate(network: Network, validation: Validation, seed: int) -> bytes:
    """Fit the scales of all `ScaledHead`s of a network's decoders, in place; all other weights stay.

    They maximise the sum of log p(cell | the rest of its row), by draws of z, over the cells of the validation rows, or
    as many of each row as the time allows, drawn at random. To this come `_CELLS` cells for each scale s that are
    distributed as training learned it, s0: of normal ones, the expected log-density is -log(s / s0) - (s0 / s)² / 2 and
    a constant. No scale becomes smaller than s0: errors of rows that selected the weights are rather too small than too
    large.

    Args:
        network: in evaluation mode.
        validation: has the rows.
        seed: of the masks and the draws.

    Returns:
        The weights, as a safetensors file.
    """
    heads_of = {unit: _heads(network.decoders.of(unit)) for unit in network.decoders.names}
    heads = [head for of_unit in heads_of.values() for head in of_unit]
    if heads:
        units = [unit for unit, of_unit in heads_of.items() if of_unit]
        _fit(network, units, heads, list(masked_rows(network, validation, seed)))
    return to_bytes(network)


def _heads(decoder: nn.Module) -> list[ScaledHead]:
    """Those of a decoder that learn scales."""
    return [head for head in decoder.modules() if isinstance(head, ScaledHead) and head.scales is not None]


def _fit(network: Network, units: Sequence[str], heads: Sequence[ScaledHead], masked: Sequence[_Masked]) -> None:
    """Fit the scales of heads, which are those of these units, to hidden cells."""
    learned = [_scales(head).detach().clone() for head in heads]
    scaled = [parameter for head in heads for parameter in head.parameters()]
    least = [parameter.detach().clone() for parameter in scaled]
    fixed = [p for p in network.parameters() if p.requires_grad and not any(p is other for other in scaled)]
    optimizer = torch.optim.LBFGS(scaled, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = -_log_p(network, units, masked)
        for head, before in zip(heads, learned, strict=True):
            ratio = _scales(head) / before
            total = total + _CELLS * (ratio.log() + 0.5 / ratio.square()).sum()
        total.backward()
        return total

    for parameter in fixed:
        parameter.requires_grad_(False)
    optimizer.step(loss)
    optimizer.zero_grad()
    with torch.no_grad():
        for parameter, before in zip(scaled, least, strict=True):
            parameter.clamp_(min=before)
    for parameter in fixed:
        parameter.requires_grad_(True)


def _scales(head: ScaledHead) -> Tensor:
    scales = head.scales
    assert scales is not None, "others are left out"
    return scales


def _log_p(network: Network, units: Sequence[str], masked: Sequence[_Masked]) -> Tensor:
    """The sum of log p(hidden cell | visible cells): (), nats."""
    total = torch.zeros((), dtype=torch.float64, device=masked[0].z.device)
    for part in masked:
        of_draws = network.log_prob(part.z, part.hidden, units, part.visible)
        for log_p in of_draws.values():  # 0 where the cell is visible
            total = total + (log_p.double().unflatten(0, (_DRAWS, -1)).logsumexp(0) - math.log(_DRAWS)).sum()
    return total


@torch.no_grad()
def masked_rows(network: Network, validation: Validation, seed: int) -> Iterator[_Masked]:
    """The validation rows several times, each time with another cell of a row hidden; at most as often as it has cells.

    It is one cell at a time since scales do not depend on what is visible: they should be right for rows as they are.
    """
    device = validation.fabric.device
    order = torch.Generator().manual_seed(seed_for("calibration", "order", seed))
    generator = torch.Generator(device).manual_seed(seed_for("calibration", "z", seed))
    masks = min(max(_PAIRS // (_DRAWS * len(validation.split)), 1), len(network.modalities))
    for batch in validation.split.batches(VALIDATION_ROWS, device):
        ranks = torch.rand(batch.present.shape, generator=order).where(batch.present, torch.inf).argsort(1).argsort(1)
        for rank in range(masks):
            hidden = batch.present & (ranks == rank)
            hidden &= network.usable(batch.present & ~hidden).unsqueeze(1)
            visible = batch.where(~hidden)
            noise = torch.randn(_DRAWS, batch.size, network.latent_dim, generator=generator, device=device)
            z = network.infer_all(visible).rsample(noise).flatten(0, 1)
            yield _Masked(batch.where(hidden), visible, z)
