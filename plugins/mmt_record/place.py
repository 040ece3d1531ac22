"""The distribution at one place of several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit import parameters_of


class Place(Distribution):
    """One of K independent numbers.

    Args:
        base: of all of them, batch (N, K).
        k: which.
        places: the shape of one, () or (1,).
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, base: Distribution, k: int, places: tuple[int, ...]) -> None:
        self.base, self.k, self.places = base, k, places
        super().__init__(torch.Size([base.batch_shape[0], *places]), validate_args=False)

    def own(self, numbers: Tensor) -> Tensor:
        """The number of numbers (..., N, K): (..., N, *places)."""
        own = numbers[..., self.k]
        return own.reshape(*own.shape, *self.places)

    @property
    def mean(self) -> Tensor:
        """(N, *places)."""
        return self.own(self.base.mean)

    @property
    def mode(self) -> Tensor:
        """(N, *places)."""
        return self.own(self.base.mode)

    @property
    def variance(self) -> Tensor:
        """(N, *places)."""
        return self.own(self.base.variance)

    @property
    def support(self) -> Any:
        """That of all."""
        return self.base.support

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws: (*sample_shape, N, *places)."""
        return self.own(self.base.sample(sample_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        """Of x (..., N, *places), nats."""
        leading = x.shape[: x.dim() - len(self.places)]
        numbers = x.reshape(*leading, 1).expand(*leading, self.base.batch_shape[1])
        return self.own(self.base.log_prob(numbers))

    def cdf(self, x: Tensor) -> Tensor:
        """Of x (..., N, *places)."""
        leading = x.shape[: x.dim() - len(self.places)]
        return self.own(self.base.cdf(x.reshape(*leading, 1).expand(*leading, self.base.batch_shape[1])))


@parameters_of.register
def _(p: Place) -> dict[str, Tensor]:
    return {name: p.own(numbers) for name, numbers in parameters_of(p.base).items()}
