"""Tensors of K numbers a row of which some may be unknown, and the distribution that scores the known ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from mmtoolkit.core.parameters import parameters_of


def split_entries(x: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """Split a tensor of numbers into the values and a mask of the known ones.

    Args:
        x: (N, 2, K), the values, and a flag for each, 1 if known, else 0; with `single`, (N,), all known.
        single: whether each row has a single number.

    Returns:
        The values, (N, K), zero if unknown, and the mask, (N, K) bool. K is 1 for single numbers.
    """
    if single:
        # len(x) would fix the number of rows in an exported network.
        return x.unsqueeze(1), torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)
    values, known = x.unbind(1)
    known = known > 0.5
    return torch.where(known, values, torch.zeros((), dtype=x.dtype, device=x.device)), known


def packed_entries(values: Tensor, known: Tensor, single: bool) -> Tensor:
    """The inverse of `split_entries`: values and mask (..., N, K) as (..., N, 2, K); with `single`, as (..., N)."""
    return values.squeeze(-1) if single else torch.stack([values, known.to(values.dtype)], dim=-2)


class Entries(Distribution):
    """A distribution of independent numbers that scores only the known ones.

    Args:
        base: the distribution of each number, batch (N, K), with a finite mean inside its support.
        single: whether values are single numbers, (N,) with K = 1, rather than (N, 2, K).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012

    def __init__(self, base: Distribution, single: bool) -> None:
        self.base, self.single = base, single
        rows, size = base.batch_shape
        super().__init__(torch.Size([rows]), torch.Size([] if single else [2, size]), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-probability, summed over the known numbers of each row: (N,), nats."""
        if self.single:
            return self.base.log_prob(x.unsqueeze(1)).squeeze(1)
        values, known = split_entries(x, self.single)
        # At 0 a density may overflow, and gradients become NaN in spite of the mask. At its mean it is finite.
        log_probs = self.base.log_prob(torch.where(known, values, self.base.mean.detach().to(values)))
        return torch.where(known, log_probs, torch.zeros_like(log_probs)).sum(1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every number; all are known."""
        return self.whole(self.base.sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        """The mean of every number; all are known."""
        return self.whole(self.base.mean)

    def whole(self, values: Tensor) -> Tensor:
        """Pack numbers (..., N, K) as values with all numbers known: (..., N) if single, else (..., N, 2, K)."""
        return packed_entries(values, torch.ones_like(values), self.single)


@parameters_of.register
def _(p: Entries) -> dict[str, Tensor]:
    return parameters_of(p.base)
