"""Checks that two sides do the same work: the same parameters, the same loss and the same gradients of one batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from bench.floor import Floor
from bench.work import Work
from mmtoolkit.components import Network, TermsNetwork
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.subsets import draw_subsets
from mmtoolkit.training.networks import build

_LOSS, _GRADIENT = 1e-4, 1e-3  # relative errors; sums in float32 differ in their order


def copied(source: Iterable[nn.Parameter], target: Iterable[nn.Parameter]) -> int:
    """Copy weights in order; return how many numbers there are.

    Raises:
        ValueError: the numbers or the shapes of the parameters differ.
    """
    count = 0
    with torch.no_grad():
        for place, (a, b) in enumerate(zip(source, target, strict=True)):
            if a.shape != b.shape:
                raise ValueError(f"parameter {place} has shape {tuple(a.shape)} here and {tuple(b.shape)} there")
            b.copy_(a)
            count += a.numel()
    return count


def first_batch(work: Work) -> tuple[Tensor, Batch]:
    """The rows of a first batch, and the batch."""
    split = work.dataset.splits["train"]
    rows = torch.arange(min(work.batch_size, len(split)))
    return rows, split.batch(rows, torch.device("cpu"))


def our_loss(work: Work, network: Network, subsets: Tensor, noise: Tensor | None = None) -> tuple[Tensor, int]:
    """The loss of a first batch, by default without noise, and how many rows it is averaged over."""
    _, batch = first_batch(work)
    if noise is None:
        assert isinstance(network, TermsNetwork)
        noise = torch.zeros(network.noise_terms(len(subsets)), batch.size, network.latent_dim)
    loss, _ = network(batch, subsets=subsets, noise=noise)
    return loss, batch.size


def check_floor(work: Work, floor: Floor) -> dict[str, float]:
    """Compare the floor with ours, without noise and dropout; return facts.

    Raises:
        ValueError: they differ.
    """
    network = build(work.model, work.dataset.modalities, seed=0).eval()
    training, _ = floor.training, floor.eval()
    count = copied(network.parameters(), floor.parameters())
    subsets = draw_subsets(len(work.dataset.modalities), work.random_subsets, torch.Generator().manual_seed(7))
    rows, _ = first_batch(work)
    ours, _ = our_loss(work, network, subsets)
    theirs = floor.loss(rows, subsets, draw=torch.zeros_like)
    ours.backward()
    theirs.backward()
    check_close("loss", ours, theirs, _LOSS)
    check_close("gradients", gradients(network.parameters()), gradients(floor.parameters()), _GRADIENT)
    floor.zero_grad(set_to_none=True)
    floor.train(training)
    return {"parameters": count, "loss of one batch": ours.item(), "loss of the other side": theirs.item()}


def gradients(parameters: Iterable[nn.Parameter]) -> Tensor:
    """All gradients in one row."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])


def check_close(what: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Compare two numbers or rows of numbers.

    Raises:
        ValueError: their distance is more than `tolerance` of their size.
    """
    ours, theirs = ours.detach(), theirs.detach()
    error = float((ours - theirs).norm() / ours.norm())
    if not error <= tolerance:
        raise ValueError(f"the {what} of the two sides differ by {error:.2g} of their size, more than {tolerance:g}")
