"""Numbers at L times of which some are unknown: the distribution of the known ones, and what networks read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from mmtoolkit import Form, Likelihood, parameters_of

_FAR, _FAR_IF_ROBUST = 1000.0, 10.0
"""Where what networks read is cut off, in standard deviations; among outliers, how far says little."""


def split_known(x: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers (N, C, L) of x (N, 2, L) or (N, 2, C, L), 0 where unknown, and which are known, bool."""
    values, known = x.unbind(1)
    if values.ndim == 2:
        values, known = values.unsqueeze(1), known.unsqueeze(1)
    known = known > 0.5
    return torch.where(known, values, torch.zeros_like(values)), known


class KnownPlaces(Distribution):
    """A distribution of independent numbers at places (C, L) that scores only the known ones.

    Args:
        base: the distribution of each number, batch (N, C, L), with a finite mean inside its support.
        event: (2, C, L), or (2, L) for one channel: the numbers, and a flag for each, 1 if known, else 0.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012

    def __init__(self, base: Distribution, event: tuple[int, ...]) -> None:
        self.base = base
        super().__init__(base.batch_shape[:1], torch.Size(event), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-probability, summed over the known numbers of each row: (N,), nats."""
        values, known = split_known(x)
        # 0 may lie outside the support, and the gradient of its density be NaN in spite of the mask.
        log_probs = self.base.log_prob(torch.where(known, values, self.base.mean.detach().to(values)))
        return torch.where(known, log_probs, torch.zeros_like(log_probs)).sum((1, 2))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every number; all are known."""
        return self._whole(self.base.sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        """The mean of every number; all are known."""
        return self._whole(self.base.mean)

    def _whole(self, values: Tensor) -> Tensor:
        """Numbers (..., N, C, L) with a flag for each: (..., N, *event)."""
        return torch.stack([values, torch.ones_like(values)], dim=-3).reshape(*values.shape[:-2], *self.event_shape)


@parameters_of.register
def _(p: KnownPlaces) -> dict[str, Tensor]:
    return parameters_of(p.base)


class Standardised(nn.Module):
    """What networks read: (read(x) - shift) / scale, 0 where unknown, and a flag for each number, 1 if known, else 0.

    In float64, so that small changes of large numbers keep their digits.

    Args:
        form: with shift and scale.
        likelihood: whose `read` it takes.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, form: Form, likelihood: Likelihood) -> None:
        super().__init__()
        for name, numbers in (("shift", form.shift), ("scale", form.scale)):
            # Not saved with the weights: the options keep them.
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64).unsqueeze(1), persistent=False)
        self.read = likelihood.read
        self.farthest = _FAR_IF_ROBUST if likelihood.robust else _FAR

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 2, L) or (N, 2, C, L) to (N, 2 C, L), float64."""
        values, known = split_known(x.double())
        read = self.read(torch.where(known, values, torch.ones_like(values)))  # 1 belongs to every support
        read = ((read - self.shift) / self.scale).clamp(-self.farthest, self.farthest)
        return torch.cat([torch.where(known, read, torch.zeros_like(read)), known.to(read)], dim=1)
